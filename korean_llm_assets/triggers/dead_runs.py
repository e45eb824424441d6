"""Runs of this machine whose process is gone: after a power cut they would count as started for ever.

Dagster's launcher of a single machine looks at no process. A run is dead when none of the processes that worked on it,
by their own events, is alive; it has failed then, and Dagster's retries (`home.py`) go on with it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from dagster import DagsterEvent, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from korean_llm_assets.alerts import Alert
from trainers.contract import settings

AT_WORK = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
"""What a run is called while a process should be working on it."""
_RETRIES_TAG = "dagster/max_retries"
_WHY = "its process is gone: the machine or the session ended, or somebody killed it"


def bury(instance: DagsterInstance) -> list[DagsterRun]:
    """End the runs of this machine that nobody works on; gives those that had not been cancelled."""
    if settings.ENV.get() != "local":
        return []  # there the launcher asks Kubernetes
    ended = []
    for run in instance.get_runs(RunsFilter(statuses=AT_WORK)):
        if not is_alive(instance, run):
            end(instance, run)
            if run.status != DagsterRunStatus.CANCELING:
                ended.append(run)
    return ended


def end(instance: DagsterInstance, run: DagsterRun) -> None:
    """Record how a dead run ended: as its person wished, or failed."""
    if run.status == DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, f"cancelled; {_WHY}")
    else:
        _, group = instance.get_run_group(run.run_id) or (run.run_id, [run])
        # That a machine goes down is no fault of the run: it costs none of the retries that a dying worker has.
        retries = max(instance.run_retries_max_retries, len(list(group)))
        instance.add_run_tags(run.run_id, {_RETRIES_TAG: str(retries)})
        instance.report_run_failed(run, _WHY)


def alerts_of(runs: list[DagsterRun]) -> Iterator[Alert]:
    """One message for a crash, whatever it took along."""
    if runs:
        places = ", ".join(sorted(run.tags.get("dagster/partition", run.job_name) for run in runs))
        key = f"crash:{'+'.join(sorted(run.run_id for run in runs))[:200]}"
        korean = f"[중단 후 재개] 갑자기 끝난 실행을 이어서 합니다: {places}"
        yield Alert(key, "crash", korean, f"[crashed] runs that had ended without a word are gone on with: {places}")


def is_alive(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether a process still works on a run, or none has said yet that it does (then Dagster's own limit holds)."""
    events = (record.event_log_entry.dagster_event for record in instance.get_records_for_run(run.run_id).records)
    pids = {pid for event in events if event is not None for pid in _pids(event)}
    return not pids or any(_works_here(pid, instance) for pid in pids)


def _pids(event: DagsterEvent) -> Iterator[int]:
    """The process that an event of a run names as the one that works on it."""
    if event.step_key is not None and event.pid is not None:
        yield event.pid
    elif event.is_engine_event and (pid := event.engine_event_data.metadata.get("pid")) is not None:
        yield int(str(pid.value))


def _works_here(pid: int, instance: DagsterInstance) -> bool:
    """Whether a process of this number exists that has this Dagster's home: numbers are given out again."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return False
    return f"DAGSTER_HOME={instance.root_directory}".encode() in variables or pid == os.getpid()
