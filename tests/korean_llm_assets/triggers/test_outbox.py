"""The outbox of alerts: every channel, and every recipient of a mail, hears of an incident once, whatever fails."""

import re
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import ClassVar

import pytest
from dagster import DagsterInstance

from korean_llm_assets.alerts import configured_channels, plain_webhook, slack_webhook
from korean_llm_assets.triggers import outbox as outboxes
from korean_llm_assets.triggers.outbox import Outbox
from tests.support.alert_receiver import ALERT, Receiver, receiving


def test_the_key_survives_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    for _ in range(2):  # each time another daemon, on the same storage
        with DagsterInstance.local_temp(str(tmp_path)) as instance:
            assert Outbox(instance, [plain_webhook(receiver.url)]).tell(ALERT)
    assert len(receiver.got) == 1


@pytest.mark.usefixtures("impatient")
def test_a_receiver_that_hangs_keeps_no_other_from_hearing_once(receiver: Receiver) -> None:
    with receiving("hang") as slow, DagsterInstance.ephemeral() as instance:
        for tries in (1, 2):
            outbox = Outbox(instance, [slack_webhook(slow.url), plain_webhook(receiver.url)])
            assert not outbox.tell(ALERT), "tried again at the next tick"
            assert slow.held == tries, "nobody waits for its answer"
    assert len(receiver.got) == 1


def test_a_deaf_channel_keeps_no_other_from_hearing_and_catches_up_when_it_hears_again(receiver: Receiver) -> None:
    now = time.time()
    news = [(now + number, replace(ALERT, key=str(number))) for number in range(5)]
    with receiving("410") as deaf, DagsterInstance.ephemeral() as instance:
        channels = [slack_webhook(deaf.url), plain_webhook(receiver.url)]
        cursors = {channel.name: now - 1 for channel in channels}
        for _ in range(2):
            outbox = Outbox(instance, channels)
            list(outbox.catch_up(cursors, lambda since: [row for row in news if row[0] > since]))
            assert outbox.troubles == {"SlackWebhook": "SlackWebhook refuses (HTTP 410)"}
        assert [got["key"] for got in receiver.got] == ["0", "1", "2", "3", "4"]
        deaf.behaviour = "ok"
        list(Outbox(instance, channels).catch_up(cursors, lambda since: [row for row in news if row[0] > since]))
        assert len(deaf.got) == len(receiver.got) == 5
    assert cursors == {"SlackWebhook": now + 4, "PlainWebhook": now + 4}


def test_what_is_not_taken_for_days_is_given_up_counted_and_told_through_the_others(receiver: Receiver) -> None:
    long_ago = time.time() - outboxes.GIVE_UP_SECONDS - 60
    news = [(long_ago + number, replace(ALERT, key=str(number))) for number in range(3)]
    news.append((time.time() + 1, replace(ALERT, key="new")))
    with receiving("410") as deaf, DagsterInstance.ephemeral() as instance:
        channels = [plain_webhook(receiver.url), slack_webhook(deaf.url)]
        cursors = {channel.name: long_ago - 1 for channel in channels}
        list(Outbox(instance, channels).catch_up(cursors, lambda since: [row for row in news if row[0] > since]))
        deaf.behaviour = "ok"
        list(Outbox(instance, channels).catch_up(cursors, lambda since: [row for row in news if row[0] > since]))
        assert [got["text"] for got in deaf.got] == [ALERT.text], "the one that is still news arrives"
    lost = [got for got in receiver.got if got["kind"] == "alerts"]
    assert len(lost) == 1 and "1 messages could not be delivered for 3 days" in lost[0]["english"]
    assert "HTTP 410" in lost[0]["english"] and "전달하지 못했습니다" in lost[0]["korean"]


class Relay(socketserver.StreamRequestHandler):
    """Just enough of SMTP to take mails, and to refuse one recipient."""

    taken: ClassVar[list[tuple[list[str], EmailMessage]]]

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        recipients: list[str] = []
        for line in self.rfile:
            answer = b"250 ok"
            match line.split(maxsplit=1)[0].upper():
                case b"RCPT":
                    recipients.append(re.findall(r"<(.*)>", line.decode())[0])
                    answer = b"550 no such user" if recipients[-1].startswith("gone@") else answer
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    content = b"".join(iter(self.rfile.readline, b".\r\n"))
                    self.taken.append((recipients, message_from_bytes(content, policy=default)))
                case b"QUIT":
                    answer = b"221 bye"
            self.wfile.write(answer + b"\r\n")


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Relay]]:
    monkeypatch.setattr(Relay, "taken", [], raising=False)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("KOREAN_LLM_SMTP", f"127.0.0.1:{server.server_address[1]}")
        yield Relay
        server.shutdown()


def test_mail_arrives_once_for_each_recipient(relay: type[Relay], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_ALERT_EMAIL", "team@example.com,gone@example.com, kim@example.com")
    with DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            assert not Outbox(instance, configured_channels()).tell(ALERT), "one is refused"
    assert [recipients for recipients, _ in relay.taken] == [["team@example.com"], ["kim@example.com"]]
    message = relay.taken[0][1]
    assert (message["Subject"], message["From"]) == ("[failed] loss is NaN", "korean-llm@localhost")
    assert message["To"] == "team@example.com"
    assert message.get_content().splitlines() == ALERT.text.splitlines()


def test_no_word_of_an_alert_becomes_a_head_of_a_mail(relay: type[Relay], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOREAN_LLM_ALERT_EMAIL", "team@example.com")
    words = "loss\r\nBcc: evil@example.com\x1b[2J\r\n\r\nforged"
    with DagsterInstance.ephemeral() as instance:
        Outbox(instance, configured_channels()).tell(replace(ALERT, english=words, korean=words))
    ((recipients, message),) = relay.taken
    assert recipients == ["team@example.com"] and message["Bcc"] is None
    assert "\n" not in message["Subject"] and not message.defects
