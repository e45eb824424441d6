"""Who watches the watcher: automation that does not work, told once and shown by `status`, though no run failed."""

import time
from collections.abc import Iterator, Mapping

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from korean_llm_assets.alerts import Alert
from trainers.contract import sha256_of

_QUEUE_SECONDS = 900
"""A run that waits so long while nothing works is not waiting for a place."""
_WAITING = DagsterRunStatus.QUEUED
_AT_WORK = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
_LONGEST = 500


def troubles(instance: DagsterInstance, recipe_problems: Mapping[str, str]) -> Iterator[Alert]:
    """What keeps automation from its work now; a trouble has the same key as long as it lasts."""
    yield from _failing_ticks(instance)
    yield from _unusable_recipes(recipe_problems)
    yield from _standing_queue(instance)


def location_trouble(reason: str) -> Alert:
    """The code location does not load: then none of its sensors is there to say anything."""
    words = reason.strip()[:_LONGEST]
    return Alert(
        f"location:{sha256_of(words)}",
        "failure",
        f"[자동화 중단] 코드 위치를 불러올 수 없습니다: {words}",
        f"[automation stopped] the code location does not load: {words}",
    )


def _failing_ticks(instance: DagsterInstance) -> Iterator[Alert]:
    if instance.schedule_storage is None:
        return  # an instance of memory alone, which no daemon serves
    for state in instance.all_instigator_state():
        if not state.is_running:
            continue
        place = (state.instigator_origin_id, state.selector_id)
        recent = instance.get_ticks(*place, limit=2)  # the first of them may be at work
        newest = next((tick for tick in recent if tick.status.value != "STARTED"), None)
        if newest is None or newest.status.value != "FAILURE":
            continue
        statuses = type(newest.status)  # nothing public names it
        good = next(iter(instance.get_ticks(*place, limit=1, statuses=[statuses.SUCCESS, statuses.SKIPPED])), None)
        reason = newest.error.message.strip().splitlines()[0][:_LONGEST] if newest.error else "no reason is known"
        yield Alert(
            f"tick:{state.name}:{good.tick_id if good else 'never'}",
            "failure",
            f"[자동화 실패] {state.name}: {reason}",
            f"[automation fails] the ticks of {state.name} fail: {reason}",
        )


def _unusable_recipes(problems: Mapping[str, str]) -> Iterator[Alert]:
    for name, reason in problems.items():
        yield Alert(
            f"recipe:{name}:{sha256_of(reason)}",
            "failure",
            f"[레시피 오류] {name}: 고칠 때까지 만들지 않습니다. {reason[:_LONGEST]}",
            f"[recipe cannot be used] nothing is made of {name} until it is mended: {reason[:_LONGEST]}",
        )


def _standing_queue(instance: DagsterInstance) -> Iterator[Alert]:
    queued = instance.get_run_records(
        RunsFilter(statuses=[_WAITING]), limit=1, order_by="create_timestamp", ascending=True
    )
    if not queued or instance.get_runs(RunsFilter(statuses=_AT_WORK), limit=1):
        return
    run, waited = queued[0].dagster_run, time.time() - queued[0].create_timestamp.timestamp()
    if waited > _QUEUE_SECONDS:
        yield Alert(
            f"queue:{run.run_id}",
            "failure",
            f"[대기열 정지] 실행 {run.run_id[:8]}이(가) {waited / 60:.0f}분째 대기하지만 진행 중인 실행이 없습니다",
            f"[queue stands] run {run.run_id[:8]} has waited for {waited / 60:.0f} min, and nothing is at work: "
            "look at the daemon (`make ui`, or the pod dagster-daemon)",
        )
