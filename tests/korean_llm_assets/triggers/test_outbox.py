"""The outbox of alerts: every channel, and every recipient of a mail, hears of an incident once, whatever fails."""

import re
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import ClassVar

import pytest
from dagster import DagsterInstance

from korean_llm_assets.alerts import configured_channels, plain_webhook, slack_webhook
from korean_llm_assets.triggers.incidents import Outbox
from tests.support.alert_receiver import ALERT, Receiver, receiving


def test_the_key_survives_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    for _ in range(2):  # each time another daemon, on the same storage
        with DagsterInstance.local_temp(str(tmp_path)) as instance:
            assert Outbox(instance, [plain_webhook(receiver.url)]).tell(ALERT)
    assert len(receiver.got) == 1


@pytest.mark.usefixtures("impatient")
def test_a_receiver_that_hangs_keeps_no_other_from_hearing_once(receiver: Receiver) -> None:
    with receiving("hang") as slow, DagsterInstance.ephemeral() as instance:
        outbox = Outbox(instance, [slack_webhook(slow.url), plain_webhook(receiver.url)])
        for tries in (1, 2):
            assert not outbox.tell(ALERT), "tried again at the next tick"
            assert slow.held == tries, "nobody waits for its answer"
    assert len(receiver.got) == 1


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
