"""Alerts against a real HTTP receiver that fails in every way, and mail against a real SMTP exchange."""

import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path
from traceback import format_exception
from typing import Any, ClassVar
from urllib.parse import parse_qs

import pytest
from apprise.plugins.custom_json import NotifyJSON
from apprise.plugins.slack import NotifySlack
from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Failure,
    OpExecutionContext,
    build_sensor_context,
    job,
    op,
)

from korean_llm_assets import alerts as alerts_module
from korean_llm_assets.alerts import (
    Alert,
    Channel,
    NotDelivered,
    by_url,
    configured_channels,
    plain_webhook,
    slack_bot,
    slack_webhook,
)
from korean_llm_assets.commands.check import tell_what_is_missing
from korean_llm_assets.resources import cluster_sensors
from korean_llm_assets.triggers.incidents import Outbox, alert_of, alerts
from trainers.contract import BadRequest, ExitCode

CANARY = "canary7f3a"
ALERT = Alert(
    "failure:training tiny|r1:1", "failure", "[실패] 손실이 NaN", "[failed] loss is NaN", "http://dagster/runs/1"
)


class Receiver(ThreadingHTTPServer):
    """Keeps what it got; behaves as told."""

    behaviour: str = "ok"

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.held, self.over = 0, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.place}/{CANARY}?sig=a%2Fb"


class Handler(BaseHTTPRequestHandler):
    """One POST, answered as the receiver was told to."""

    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        behaviour = self.server.behaviour  # a test may change it as soon as it has its answer
        match behaviour:
            case "hang" | "drip":
                self.server.held += 1
                self._hold(drips=behaviour == "drip")
                self.server.held -= 1
                return
            case "close":
                self.connection.close()
                return
            case "ok" | "refuse" | "garbage":
                self.send_response(200)
            case code:
                self.send_response(int(code))
        self.end_headers()
        answers = {"ok": b'{"ok": true}', "refuse": b'{"ok": false, "error": "channel_not_found"}'}
        self.wfile.write(answers.get(behaviour, b"<html>"))
        if behaviour == "ok":
            self.server.paths.append(self.path)
            self.server.got.append({**self._read(body), "authorization": self.headers.get("Authorization", "")})

    def _read(self, body: bytes) -> dict[str, Any]:
        if "json" in self.headers["Content-Type"]:
            return dict(json.loads(body))
        return {key: values[0] for key, values in parse_qs(body.decode()).items()}

    def _hold(self, drips: bool) -> None:
        """Answer nothing, or byte after byte of a header that never ends, until the test is over."""
        for byte in chain(b"HTTP/1.1 200 OK\r\nX-Slow: ", repeat(ord("z"), 600)):
            if drips:
                self.wfile.write(bytes([byte]))
            if self.server.over.wait(0.05):
                return

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as server:
        monkeypatch.setattr(NotifySlack, "api_url", f"http://{server.place}/{{}}")
        monkeypatch.setattr(NotifySlack, "webhook_url", f"http://{server.place}/services")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "_SECONDS", 1)


CHANNELS: list[Callable[[Receiver], Channel]] = [
    lambda to: slack_webhook(to.url),
    lambda to: plain_webhook(to.url),
    lambda to: slack_bot("xoxb-1", "#llm"),
    lambda to: by_url(f"json://user:{CANARY}@{to.place}/hook"),
    lambda to: by_url(f"form://{to.place}/{CANARY}"),
]


def words(got: object) -> str:
    """All texts of what was received, however deep."""
    if isinstance(got, dict):
        return "\n".join(words(value) for value in got.values())
    return "\n".join(words(value) for value in got) if isinstance(got, list) else str(got)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_message_arrives_in_both_languages(receiver: Receiver, channel: Callable[[Receiver], Channel]) -> None:
    channel(receiver).send(ALERT)
    (got,) = receiver.got
    assert "[실패] 손실이 NaN" in words(got) and "[failed] loss is NaN" in words(got)


def test_webhooks_get_the_documented_form_and_nothing_else(receiver: Receiver) -> None:
    slack_webhook(receiver.url).send(ALERT)
    plain_webhook(receiver.url).send(ALERT)
    plain_webhook(receiver.url).send(Alert("landing:1", "landing", "가", "a"))
    assert receiver.got == [
        {"text": ALERT.text, "authorization": ""},
        {**asdict(ALERT), "authorization": ""},
        {"key": "landing:1", "kind": "landing", "korean": "가", "english": "a", "link": None, "authorization": ""},
    ]
    assert set(receiver.paths) == {f"/{CANARY}?sig=a%2Fb"}


@pytest.mark.parametrize(
    ("channel", "sent"), [("#llm", "#llm"), ("@kim", "@kim"), ("C0123456789", "C0123456789"), ("llm", "llm")]
)
def test_slacks_bot_names_its_channel_as_it_is_configured(receiver: Receiver, channel: str, sent: str) -> None:
    slack_bot("xoxb-1", channel).send(ALERT)
    (got,) = receiver.got
    assert (got["channel"], got["authorization"]) == (sent, "Bearer xoxb-1")
    assert got["attachments"][0]["text"] == ALERT.text


def test_a_service_by_url_gets_title_text_and_weight(receiver: Receiver) -> None:
    for kind in ("failure", "success", "gate"):
        by_url(f"json://{receiver.place}/").send(Alert("1", kind, "가 <나> & 다", "[failed] a\n> b"))
    assert [(got["title"], got["message"], got["type"]) for got in receiver.got] == [
        ("[failed] a", "가 <나> & 다\n[failed] a\n> b", weight) for weight in ("failure", "success", "warning")
    ]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("behaviour", ["500", "403", "429", "hang", "close", "drip"])
def test_every_trouble_of_a_receiver_is_not_delivered_within_its_time(
    receiver: Receiver, channel: Callable[[Receiver], Channel], behaviour: str
) -> None:
    receiver.behaviour = behaviour
    with pytest.raises(NotDelivered):
        channel(receiver).send(ALERT)
    assert receiver.held == (behaviour in ("hang", "drip")), "it still holds the connection, and we go on"


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("behaviour", ["ok", "500", "close"])
def test_no_log_and_no_error_repeats_what_is_secret(
    receiver: Receiver, channel: Callable[[Receiver], Channel], behaviour: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behaviour, trouble = behaviour, ""
    with caplog.at_level(1):
        try:
            channel(receiver).send(ALERT)
        except NotDelivered as error:
            trouble = str(error)
    assert trouble or behaviour == "ok"
    assert not any(secret in trouble + caplog.text + channel(receiver).name for secret in (CANARY, "xoxb-1"))


def test_whatever_a_channel_raises_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> bool:
        raise RuntimeError("a fault of the plugin")

    monkeypatch.setattr(NotifyJSON, "send", fail)
    with pytest.raises(NotDelivered, match="json [0-9a-f]{8} does not answer, or refuses"):
        by_url("json://127.0.0.1/").send(ALERT)


@pytest.mark.parametrize("behaviour", ["refuse", "garbage"])
def test_slack_says_ok_false_with_status_200(receiver: Receiver, behaviour: str) -> None:
    receiver.behaviour = behaviour
    with pytest.raises(NotDelivered, match=r"Slack"):
        slack_bot("xoxb-1", "#llm").send(ALERT)


def test_a_receiver_that_is_not_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(NotDelivered):
        plain_webhook(f"http://127.0.0.1:{port}/").send(ALERT)


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


def test_half_a_channel_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_channels() == []
    monkeypatch.setenv("KOREAN_LLM_SLACK_TOKEN", "xoxb-1")
    with pytest.raises(BadRequest, match="KOREAN_LLM_SLACK_CHANNEL is not; this channel needs both"):
        configured_channels()
    monkeypatch.setenv("KOREAN_LLM_ENV", "cluster")
    with pytest.raises(BadRequest, match="needs both"):
        cluster_sensors()  # the code location does not even start


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ALERT_URLS": f"json://a/ {CANARY}://b"}, r"KOREAN_LLM_ALERT_URLS .* apprise knows .*; URL 2 is none"),
        ({"ALERT_URLS": CANARY}, r"KOREAN_LLM_ALERT_URLS .*; URL 1 is none"),
        ({"ALERT_URLS": f"slack://{CANARY}"}, r"KOREAN_LLM_ALERT_URLS .*; URL 1 is none"),
        ({"ALERT_URLS": f"mailto://host?to={CANARY}&from=a@b.c"}, r"KOREAN_LLM_ALERT_URLS .*; URL 1 is none"),
        ({"ALERT_URLS": f"json://[{CANARY}/"}, r"KOREAN_LLM_ALERT_URLS .*; URL 1 is none"),
        ({"SLACK_WEBHOOK": f"ftp://{CANARY}"}, r"KOREAN_LLM_SLACK_WEBHOOK .* must be an http\(s\) address"),
        ({"ALERT_WEBHOOK": f"http://host:{CANARY}/"}, r"KOREAN_LLM_ALERT_WEBHOOK .* must be an http\(s\) address"),
        ({"ALERT_WEBHOOK": f"https:///{CANARY}"}, r"KOREAN_LLM_ALERT_WEBHOOK .* must be an http\(s\) address"),
        ({"SLACK_TOKEN": CANARY, "SLACK_CHANNEL": "#llm"}, r"KOREAN_LLM_SLACK_TOKEN .* must be a bot's token"),
        ({"SLACK_TOKEN": f"xoxb-{CANARY}", "SLACK_CHANNEL": "#알림"}, r"KOREAN_LLM_SLACK_CHANNEL is '#알림'; .* ID"),
        ({"ALERT_EMAIL": f"a@b.c,{CANARY}", "SMTP": "host:25"}, r"KOREAN_LLM_ALERT_EMAIL .* must be mail addresses"),
        ({"ALERT_EMAIL": "a@b.c", "SMTP": "host"}, r"KOREAN_LLM_SMTP is 'host'; it must be host:port"),
    ],
)
def test_a_malformed_channel_is_told_by_check_without_its_value(
    settings: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"KOREAN_LLM_{name}", value)
    with caplog.at_level(1), pytest.raises(BadRequest, match=f"^{message}") as refusal:
        tell_what_is_missing()
    assert CANARY not in "".join(format_exception(refusal.value)) + caplog.text


def test_check_names_the_channels_and_nothing_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = f"discord://123456/{CANARY} tgram://123456789:{CANARY}_abcdefghijklmnopqrstuvwxyz/1\n json://a/ json://b/"
    monkeypatch.setenv("KOREAN_LLM_ALERT_URLS", urls)
    monkeypatch.setenv("KOREAN_LLM_SLACK_WEBHOOK", f"https://user:pass@hooks.slack.com/services/T/B/{CANARY}")
    tell_what_is_missing()
    line = capsys.readouterr().out.splitlines()[-1]
    kinds = [name.split()[0] for name in line.removeprefix("alert channels: ").split(", ")]
    assert kinds == ["discord", "tgram", "json", "json", "SlackWebhook"] and CANARY not in line
    assert len({channel.name for channel in configured_channels()}) == 5, "each has a place in the outbox"


def run(instance: DagsterInstance, status: DagsterRunStatus, **tags: str) -> DagsterRun:
    labels = {"dagster/partition": "tiny|r1", **{key.replace("__", "/"): value for key, value in tags.items()}}
    made = instance.add_run(DagsterRun("training", tags=labels, status=DagsterRunStatus.STARTED))
    time.sleep(0.01)
    if status == DagsterRunStatus.FAILURE:
        instance.report_run_failed(made, "because")
    else:
        instance.handle_run_event(made.run_id, _success_event(made))
    ended = instance.get_run_by_id(made.run_id)
    assert ended is not None
    return ended


def _success_event(made: DagsterRun) -> object:
    from dagster import DagsterEvent, DagsterEventType

    return DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, made.job_name)


def test_one_incident_is_one_message_and_then_its_recovery(receiver: Receiver) -> None:
    with DagsterInstance.ephemeral() as instance:
        outbox = Outbox(instance, [plain_webhook(receiver.url)])
        for status in (DagsterRunStatus.FAILURE, DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS):
            alert = alert_of(instance, run(instance, status))
            assert alert is not None
            assert outbox.tell(alert) and outbox.tell(alert)
        assert [got["kind"] for got in receiver.got] == ["failure", "recovery"]


def failed_stage(instance: DagsterInstance, code: int, reason: str, *log: tuple[int, str]) -> Alert:
    """What is told of a run whose stage ended with an exit code."""

    @op
    def sft_model(context: OpExecutionContext) -> None:
        for level, line in log:
            context.log.log(level, line)
        raise Failure(reason, metadata={"exit code": code}, allow_retries=False)

    @job
    def training() -> None:
        sft_model()

    result = training.execute_in_process(instance=instance, raise_on_error=False, tags={"dagster/partition": "tiny|r1"})
    alert = alert_of(instance, result.dagster_run)
    assert alert is not None and alert.kind == "failure"
    return alert


def test_a_failure_says_its_cause_in_both_languages_and_the_first_useful_line() -> None:
    log = ((20, "step 1/8"), (30, "out of GPU memory: going on with 2 x 3 rows"), (40, "NCCL error in peer 3"))
    with DagsterInstance.ephemeral() as instance:
        alert = failed_stage(
            instance, int(ExitCode.LOSS_IS_NAN), "sft_model tiny|r1: the loss became nan in step 7", *log
        )
        assert alert.korean == "[실패] training tiny|r1: sft_model: 손실이 NaN 또는 무한대가 되었습니다"
        assert alert.english == (
            "[failed] training tiny|r1: sft_model tiny|r1: the loss became nan in step 7\n> NCCL error in peer 3"
        )
    with DagsterInstance.ephemeral() as instance:
        assert "going on with" in failed_stage(instance, 70, "why", *log[:2]).english
    with DagsterInstance.ephemeral() as instance:
        quiet = failed_stage(instance, -9, "killed by SIGKILL", (20, "step 1/8"))
        assert quiet.english == "[failed] training tiny|r1: killed by SIGKILL" and "오류" in quiet.korean


def test_the_key_survives_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    for _ in range(2):  # each time another daemon, on the same storage
        with DagsterInstance.local_temp(str(tmp_path)) as instance:
            assert Outbox(instance, [plain_webhook(receiver.url)]).tell(ALERT)
    assert len(receiver.got) == 1


@pytest.mark.usefixtures("impatient")
def test_a_receiver_that_hangs_keeps_no_other_from_hearing_once(receiver: Receiver) -> None:
    with Receiver() as slow, DagsterInstance.ephemeral() as instance:
        slow.behaviour = "hang"
        threading.Thread(target=slow.serve_forever, daemon=True).start()
        outbox = Outbox(instance, [slack_webhook(slow.url), plain_webhook(receiver.url)])
        for tries in (1, 2):
            assert not outbox.tell(ALERT), "tried again at the next tick"
            assert slow.held == tries, "nobody waits for its answer"
        slow.over.set()
        slow.shutdown()
    assert len(receiver.got) == 1


def test_a_failure_that_is_retried_is_not_told(receiver: Receiver) -> None:
    with DagsterInstance.ephemeral() as instance:
        assert alert_of(instance, run(instance, DagsterRunStatus.FAILURE, dagster__will_retry="true")) is None
        alert = alert_of(instance, run(instance, DagsterRunStatus.SUCCESS))
        assert alert is not None and alert.kind == "success"


def test_the_sensor_tells_later_what_a_receiver_would_not_take(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOREAN_LLM_ALERT_WEBHOOK", receiver.url)
    with DagsterInstance.ephemeral() as instance:
        context = build_sensor_context(instance=instance)
        alerts(context)
        run(instance, DagsterRunStatus.FAILURE)
        receiver.behaviour = "500"
        for _ in range(3):
            context = build_sensor_context(instance=instance, cursor=context.cursor)
            alerts(context)
        assert receiver.got == []
        receiver.behaviour = "ok"
        for _ in range(3):
            context = build_sensor_context(instance=instance, cursor=context.cursor)
            alerts(context)
        assert [got["kind"] for got in receiver.got] == ["failure"]
