"""What is told of runs: failures with their cause, recoveries, nothing twice, and later what was not taken."""

import time

import pytest
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Failure,
    OpExecutionContext,
    build_sensor_context,
    job,
    op,
)

from korean_llm_assets.alerts import Alert, plain_webhook, slack_webhook
from korean_llm_assets.triggers.incidents import alert_of, alerts
from korean_llm_assets.triggers.outbox import Outbox
from tests.support.alert_receiver import Receiver
from trainers.contract import ExitCode


def run(instance: DagsterInstance, status: DagsterRunStatus, **tags: str) -> DagsterRun:
    """A run that ended so; `__` in a tag's name is a slash."""
    labels = {"dagster/partition": "tiny|r1", **{key.replace("__", "/"): value for key, value in tags.items()}}
    running = instance.add_run(DagsterRun("training", tags=labels, status=DagsterRunStatus.STARTED))
    time.sleep(0.01)
    if status == DagsterRunStatus.FAILURE:
        instance.report_run_failed(running, "because")
    else:
        instance.handle_run_event(
            running.run_id, DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, running.job_name)
        )
    ended = instance.get_run_by_id(running.run_id)
    assert ended is not None
    return ended


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


def test_the_words_of_a_drop_begin_no_line_steer_no_terminal_and_call_nobody(receiver: Receiver) -> None:
    cell = "<!channel> 긴급: <http://evil.example/login|여기> @everyone\n[done] training tiny|r1\x1b[2J\ud800"
    with DagsterInstance.ephemeral() as instance:
        alert = failed_stage(instance, int(ExitCode.BAD_DATA), f"suite.tsv: item 1: {cell}", (40, cell))
    assert [line.split("]")[0] for line in alert.english.splitlines()] == ["[failed"]
    assert "\x1b" not in alert.text and "@everyone" not in alert.text and "<!channel>" not in alert.text
    slack_webhook(receiver.url).send(alert)
    (got,) = receiver.got
    assert "<" not in got["text"] and "&lt;http://evil.example/login|여기&gt;" in got["text"]


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
