"""What is told about runs: failure with its cause, success, recovery, a failed gate. Each incident once."""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from dagster import (
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    IntMetadataValue,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from korean_llm_assets.alerts import Alert, Channel, configured_channels, quoted
from korean_llm_assets.assets.ledger import Ledger
from korean_llm_assets.assets.proposals import proposals
from korean_llm_assets.landing.quarantine import USABLE
from korean_llm_assets.triggers.outbox import Outbox
from korean_llm_assets.triggers.watch import troubles
from trainers.contract import ExitCode, settings

_ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
_PAGE = 100
CONTENT_TAG = "korean_llm/content"
"""Of a run that a drop started: the drop's content digest."""


def alert_of(instance: DagsterInstance, run: DagsterRun) -> Alert | None:
    """What to say of an ended run; None where nothing should be said (a retry follows, or a plain data success)."""
    place = _place(run)
    page = settings.DAGSTER_URL.get()
    link = f"{page}/runs/{run.run_id}" if page else None
    gate = failed_checks(instance, run)
    if gate:
        conditions = "; ".join(gate)
        return Alert(
            f"gate:{place}:{run.run_id}",
            "gate",
            f"[게이트 불합격] {place}: {conditions}",
            f"[gate failed] {place}: {conditions}",
            link,
        )
    earlier = _earlier(instance, run)
    broken_since = next((other for other in earlier if other.status == DagsterRunStatus.SUCCESS), None)
    streak = earlier[: earlier.index(broken_since)] if broken_since else earlier
    if run.status == DagsterRunStatus.FAILURE:
        if _will_be_retried(run):
            return None
        if reason := refusal(instance, run):
            content = run.tags.get(CONTENT_TAG, run.run_id)
            words = (f"[격리] {place}: {reason}", f"[quarantined] {place}: {reason}")
            return Alert(f"quarantine:{content}", "quarantine", *words, link)
        first = (streak or [run])[-1]  # a place that goes on failing is one incident
        korean, english = cause_of(instance, run)
        line = first_useful_line(instance, run)
        logged = f"\n> {line}" if line and line not in english else ""
        words = (f"[실패] {place}: {korean}", f"[failed] {place}: {english}{logged}")
        return Alert(f"failure:{place}:{first.run_id}", "failure", *words, link)
    if any(not _will_be_retried(other) for other in streak):
        words = (f"[복구] {place}: 다시 정상입니다", f"[recovered] {place} works again")
        return Alert(f"recovery:{place}:{run.run_id}", "recovery", *words, link)
    if run.job_name == "training":
        return Alert(f"success:{place}:{run.run_id}", "success", f"[완료] {place}", f"[done] {place}", link)
    return None


def cause_of(instance: DagsterInstance, run: DagsterRun) -> tuple[str, str]:
    """Why a run failed, in Korean and English: the first step that did, its exit code's meaning, its own reason."""
    for record in instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_FAILURE).records:
        event = record.event_log_entry.dagster_event
        if event is not None and (failure := event.step_failure_data.user_failure_data):
            code = failure.metadata.get("exit code")
            exit_code = ExitCode.of(code.value or 0) if isinstance(code, IntMetadataValue) else None
            english = quoted(failure.description or "")
            return f"{event.step_key}: {(exit_code or ExitCode.INTERNAL).korean}", english
        if event is not None and event.step_failure_data.error:
            message = quoted(event.step_failure_data.error.message.strip().splitlines()[0])
            return f"{event.step_key}: {ExitCode.INTERNAL.korean}", f"{event.step_key}: {message}"
    return "실행 프로세스가 이유를 남기지 않고 끝났습니다", "the run's process ended without saying why; see its log"


def first_useful_line(instance: DagsterInstance, run: DagsterRun) -> str | None:
    """The first error that a stage or its launcher logged, else the first warning; None where all was quiet."""
    entries = [entry for entry in instance.all_logs(run.run_id) if not entry.is_dagster_event]
    for level in (logging.ERROR, logging.WARNING):
        for entry in entries:
            if int(entry.level) >= level and (text := entry.user_message.strip()):
                return quoted(text.splitlines()[0])
    return None


def failed_checks(instance: DagsterInstance, run: DagsterRun) -> list[str]:
    """Conditions of the gate that did not hold, in words."""
    conditions = []
    for record in instance.get_records_for_run(run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION).records:
        event = record.event_log_entry.dagster_event
        if event is not None and not event.asset_check_evaluation_data.passed:
            check = event.asset_check_evaluation_data
            if check.check_name not in ("gate", USABLE):
                conditions.append(f"{check.check_name}: {quoted(check.description or '')}")
    return conditions


def refusal(instance: DagsterInstance, run: DagsterRun) -> str:
    """What of a drop could not be used, if nothing else failed in the run; else empty."""
    reasons = []
    for record in instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_FAILURE).records:
        event = record.event_log_entry.dagster_event
        failure = event.step_failure_data.user_failure_data if event is not None else None
        if (
            run.job_name != "data"
            or failure is None
            or failure.metadata.get("exit code") != IntMetadataValue(ExitCode.BAD_DATA)
        ):
            return ""
        reasons.append(failure.description or "")
    return quoted("; ".join(reasons))


def _place(run: DagsterRun) -> str:
    partition = run.tags.get("dagster/partition", "")
    return f"{run.job_name.strip('_').lower()} {partition}".strip()


def _will_be_retried(run: DagsterRun) -> bool:
    return run.tags.get("dagster/will_retry", "").lower() == "true"


def _earlier(instance: DagsterInstance, run: DagsterRun) -> list[DagsterRun]:
    """Ended runs of the same job and partition before this one, newest first."""
    tags = {"dagster/partition": run.tags["dagster/partition"]} if "dagster/partition" in run.tags else {}
    runs = instance.get_runs(RunsFilter(job_name=run.job_name, tags=tags, statuses=list(_ENDED)), limit=50)
    ids = [other.run_id for other in runs]
    return list(runs[ids.index(run.run_id) + 1 :]) if run.run_id in ids else list(runs)


@sensor(minimum_interval_seconds=30, default_status=DefaultSensorStatus.RUNNING)
def alerts(context: SensorEvaluationContext) -> SkipReason:
    """Tell what ended since the last look. A receiver that is down is tried again; nothing here touches a run."""
    channels = configured_channels()
    if not channels:
        return SkipReason(
            f"no alert channel is configured ({settings.ALERT_URLS.name}; trainers/SETTINGS.md names the others)"
        )
    outbox, instance = Outbox(context.instance, channels), context.instance
    ledger = Ledger.of(instance)
    for news in (*troubles(instance, ledger.problems), *proposals(instance, ledger)):
        outbox.tell(news)
    looked: dict[str, Alert | None] = {}

    def ended(since: float) -> Iterator[tuple[float, Alert | None]]:
        """When runs ended, and what to say of each; every channel hears the same words."""
        after = RunsFilter(statuses=list(_ENDED), updated_after=datetime.fromtimestamp(since, tz=UTC))
        for record in instance.get_run_records(after, limit=_PAGE, order_by="update_timestamp", ascending=True):
            run = record.dagster_run
            if run.run_id not in looked:
                looked[run.run_id] = alert_of(instance, run)
            yield record.update_timestamp.timestamp(), looked[run.run_id]

    cursors = _cursors(context.cursor, channels)
    count = sum(1 for _ in outbox.catch_up(cursors, ended))
    context.update_cursor(json.dumps(cursors))
    return SkipReason("; ".join([f"{count} told", *outbox.troubles.values()]))


def _cursors(written: str | None, channels: Sequence[Channel]) -> dict[str, float]:
    """Channel -> until when it has been told; before 0.3 one time stood for all."""
    value = json.loads(written or "{}")
    return value if isinstance(value, dict) else {channel.name: float(value) for channel in channels}
