"""Alerts against a real HTTP receiver that fails in every way, and mail against a real SMTP exchange."""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
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
    Mail,
    NotDelivered,
    Notifier,
    PlainWebhook,
    SlackBot,
    SlackWebhook,
    configured_notifiers,
)
from korean_llm_assets.resources import cluster_sensors
from korean_llm_assets.triggers.incidents import KOREAN_MEANING, Outbox, alert_of, alerts
from trainers.contract import BadRequest, ExitCode

ALERT = Alert(
    "failure:training tiny|r1:1", "failure", "[실패] 손실이 NaN", "[failed] loss is NaN", "http://dagster/runs/1"
)


class Receiver(ThreadingHTTPServer):
    """Keeps what it got; behaves as told."""

    behaviour: str = "ok"

    def __init__(self) -> None:
        self.got: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    """One POST, answered as the receiver was told to."""

    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        behaviour = self.server.behaviour  # a test may change it as soon as it has its answer
        match behaviour:
            case "hang":
                time.sleep(3)
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
            self.server.got.append({**json.loads(body), "authorization": self.headers.get("Authorization", "")})

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(alerts_module, "_TIMEOUT_SECONDS", 1)
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


CHANNELS: list[Callable[[str], Notifier]] = [
    SlackWebhook,
    PlainWebhook,
    lambda url: SlackBot("xoxb-1", "#llm", api=url),
]


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_message_arrives_in_both_languages(receiver: Receiver, channel: Callable[[str], Notifier]) -> None:
    channel(receiver.url).send(ALERT)
    (got,) = receiver.got
    told = got.get("text", "") + got.get("korean", "") + got.get("english", "")
    assert "손실이 NaN" in told and "loss is NaN" in told


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("behaviour", ["500", "403", "429", "hang", "close"])
def test_every_trouble_of_a_receiver_is_not_delivered_within_its_time(
    receiver: Receiver, channel: Callable[[str], Notifier], behaviour: str
) -> None:
    receiver.behaviour = behaviour
    started = time.monotonic()
    with pytest.raises(NotDelivered) as told:
        channel(receiver.url).send(ALERT)
    assert time.monotonic() - started < 2.5
    assert receiver.url not in str(told.value), "a webhook's URL is a secret"


@pytest.mark.parametrize("behaviour", ["refuse", "garbage"])
def test_slack_says_ok_false_with_status_200(receiver: Receiver, behaviour: str) -> None:
    receiver.behaviour = behaviour
    with pytest.raises(NotDelivered, match=r"Slack"):
        SlackBot("xoxb-1", "#llm", api=receiver.url).send(ALERT)


def test_a_receiver_that_is_not_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(NotDelivered):
        PlainWebhook(f"http://127.0.0.1:{port}/").send(ALERT)


class SmtpHandler(socketserver.StreamRequestHandler):
    """Just enough of SMTP to take one mail."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        in_data, lines = False, []
        for line in self.rfile:
            if in_data and line != b".\r\n":
                lines.append(line)
                continue
            if line.upper().startswith(b"DATA"):
                in_data = True
                self.wfile.write(b"354 go on\r\n")
                continue
            in_data = False
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")
        self.server.got = b"".join(lines)  # type: ignore[attr-defined]


def test_mail_arrives() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), SmtpHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Mail(("team@example.com",), "127.0.0.1", server.server_address[1]).send(ALERT)
        time.sleep(0.3)
        assert b"To: team@example.com" in server.got  # type: ignore[attr-defined]
        server.shutdown()


def test_half_a_channel_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_notifiers() == []
    monkeypatch.setenv("KOREAN_LLM_SLACK_TOKEN", "xoxb-1")
    with pytest.raises(BadRequest, match="KOREAN_LLM_SLACK_CHANNEL is not; this channel needs both"):
        configured_notifiers()
    monkeypatch.setenv("KOREAN_LLM_ENV", "cluster")
    with pytest.raises(BadRequest, match="needs both"):
        cluster_sensors()  # the code location does not even start


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
        outbox = Outbox(instance, [PlainWebhook(receiver.url)])
        for status in (DagsterRunStatus.FAILURE, DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS):
            alert = alert_of(instance, run(instance, status))
            assert alert is not None
            assert outbox.tell(alert) and outbox.tell(alert)
        assert [got["kind"] for got in receiver.got] == ["failure", "recovery"]


def failed_stage(instance: DagsterInstance, code: int, reason: str, *said: tuple[int, str]) -> Alert:
    """What is told of a run whose stage ended with an exit code."""

    @op
    def sft_model(context: OpExecutionContext) -> None:
        for level, line in said:
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
    said = ((20, "step 1/8"), (30, "out of GPU memory: going on with 2 x 3 rows"), (40, "NCCL error in peer 3"))
    with DagsterInstance.ephemeral() as instance:
        alert = failed_stage(
            instance, int(ExitCode.LOSS_IS_NAN), "sft_model tiny|r1: the loss became nan in step 7", *said
        )
        assert alert.korean == "[실패] training tiny|r1: sft_model: 손실이 NaN 또는 무한대가 되었습니다"
        assert alert.english == (
            "[failed] training tiny|r1: sft_model tiny|r1: the loss became nan in step 7\n> NCCL error in peer 3"
        )
    with DagsterInstance.ephemeral() as instance:
        assert "going on with" in failed_stage(instance, 70, "why", *said[:2]).english
    with DagsterInstance.ephemeral() as instance:
        quiet = failed_stage(instance, -9, "killed by SIGKILL", (20, "step 1/8"))
        assert quiet.english == "[failed] training tiny|r1: killed by SIGKILL" and "오류" in quiet.korean


def test_every_exit_code_speaks_korean() -> None:
    assert KOREAN_MEANING.keys() == set(ExitCode) - {ExitCode.OK}


def test_the_key_survives_a_restart(receiver: Receiver, tmp_path: Path) -> None:
    for _ in range(2):  # each time another daemon, on the same storage
        with DagsterInstance.local_temp(str(tmp_path)) as instance:
            assert Outbox(instance, [PlainWebhook(receiver.url)]).tell(ALERT)
    assert len(receiver.got) == 1


def test_a_receiver_that_hangs_keeps_no_other_from_hearing_once(receiver: Receiver) -> None:
    with Receiver() as slow, DagsterInstance.ephemeral() as instance:
        slow.behaviour = "hang"
        threading.Thread(target=slow.serve_forever, daemon=True).start()
        outbox = Outbox(instance, [SlackWebhook(slow.url), PlainWebhook(receiver.url)])
        for _ in range(2):
            started = time.monotonic()
            assert not outbox.tell(ALERT), "tried again at the next tick"
            assert time.monotonic() - started < 2.5
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
    # An answer that comes after the time limit has been heard all the same; a loaded machine must not answer so late.
    monkeypatch.setattr(alerts_module, "_TIMEOUT_SECONDS", 30)
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
