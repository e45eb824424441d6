"""What keeps automation from its work, though no run failed: told once for as long as it lasts."""

import itertools
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, build_sensor_context

# Ticks are the daemon's own, and nothing public writes one.
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType, TickData, TickStatus
from dagster._utils.error import SerializableErrorInfo

from korean_llm_assets.triggers import watch
from korean_llm_assets.triggers.incidents import alerts
from korean_llm_assets.triggers.watch import location_trouble, troubles
from tests.support.alert_receiver import Receiver

_CLOCK = itertools.count(1)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def tick(instance: DagsterInstance, name: str, *statuses: TickStatus, running: bool = True) -> None:
    """Ticks of a sensor, as the daemon records them."""
    place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("korean_llm"), "__repository__")
    status = InstigatorStatus.RUNNING if running else InstigatorStatus.STOPPED
    state = InstigatorState(RemoteInstigatorOrigin(place, name), InstigatorType.SENSOR, status)
    if not instance.get_instigator_state(state.instigator_origin_id, state.selector_id):
        instance.add_instigator_state(state)
    for each in statuses:
        error = SerializableErrorInfo("KeyError: 'tiny|sample'\nmore", [], None) if each == TickStatus.FAILURE else None
        instance.create_tick(
            TickData(
                instigator_origin_id=state.instigator_origin_id,
                instigator_name=name,
                instigator_type=InstigatorType.SENSOR,
                status=each,
                timestamp=float(next(_CLOCK)),
                selector_id=state.selector_id,
                error=error,
                run_ids=["run"] if each == TickStatus.SUCCESS else [],
            )
        )


def test_a_failing_tick_is_one_trouble_until_a_tick_works_again(instance: DagsterInstance) -> None:
    tick(instance, "automation", TickStatus.SUCCESS, TickStatus.FAILURE)
    tick(instance, "stopped", TickStatus.FAILURE, running=False)
    (first,) = troubles(instance, {})
    assert first.english == "[automation fails] the ticks of automation fail: KeyError: 'tiny|sample'"
    tick(instance, "automation", TickStatus.FAILURE, TickStatus.FAILURE, TickStatus.STARTED)
    assert [again.key for again in troubles(instance, {})] == [first.key]
    tick(instance, "automation", TickStatus.SKIPPED)
    assert list(troubles(instance, {})) == []
    tick(instance, "automation", TickStatus.FAILURE)
    (second,) = troubles(instance, {})
    assert second.key != first.key


def test_a_sensor_that_never_worked_is_told_too(instance: DagsterInstance) -> None:
    tick(instance, "automation", TickStatus.FAILURE)
    assert len(list(troubles(instance, {}))) == 1


def test_a_queue_that_stands_is_told_and_one_that_waits_for_a_place_is_not(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A queued run needs an origin that only a real workspace gives.
    waits = instance.add_run(DagsterRun("training", status=DagsterRunStatus.NOT_STARTED))
    monkeypatch.setattr(watch, "_WAITING", DagsterRunStatus.NOT_STARTED)
    assert list(troubles(instance, {})) == [], "it has just come"
    later = time.time() + timedelta(hours=1).total_seconds()
    monkeypatch.setattr(watch.time, "time", lambda: later)
    (alert,) = troubles(instance, {})
    assert waits.run_id[:8] in alert.english and "대기열" in alert.korean
    instance.add_run(DagsterRun("training", status=DagsterRunStatus.STARTED))
    assert list(troubles(instance, {})) == []


def test_what_keeps_the_code_location_from_loading_is_told_with_its_reason() -> None:
    assert "ImportError: no module" in location_trouble("ImportError: no module").english
    assert location_trouble("a").key != location_trouble("b").key


def test_the_sensor_tells_a_trouble_once(
    instance: DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOREAN_LLM_ALERT_WEBHOOK", receiver.url)
    tick(instance, "automation", TickStatus.FAILURE)
    context = build_sensor_context(instance=instance, cursor=str(time.time()))
    for _ in range(3):
        alerts(context)
        tick(instance, "automation", TickStatus.FAILURE)
    assert [got["english"].splitlines()[0][:20] for got in receiver.got] == ["[automation fails] t"]
