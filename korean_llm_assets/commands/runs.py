"""Commands on runs, as one-liners: `logs`, `wait`, `cancel`."""

import math
import time
from argparse import Namespace
from datetime import datetime
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, EventLogEntry

from korean_llm_assets.home import Home
from korean_llm_assets.triggers import dead_runs
from trainers.contract import BadRequest

_TIMED_OUT = 124
_PARTITION = "dagster/partition"
_POLL_SECONDS = 1.0
_ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


def add_parser(commands: Any) -> None:
    """Say what each of the commands takes."""
    parser = commands.add_parser("logs", help="what a run said")
    parser.add_argument("run_id", metavar="run")
    parser.add_argument("--follow", action="store_true", help="until the run ends")
    parser.set_defaults(run=logs)
    parser = commands.add_parser("wait", help="wait for a run: exit 0 success, 1 failure, 124 timeout")
    parser.add_argument("run_id", metavar="run")
    parser.add_argument("--timeout", type=float, default=86400, help="seconds (%(default)s)")
    parser.set_defaults(run=wait)
    parser = commands.add_parser("cancel", help="cancel a run; says what its stage saved, and how to go on")
    parser.add_argument("run_id", metavar="run")
    parser.add_argument("--timeout", type=float, default=150, help="seconds to wait for its end (%(default)s)")
    parser.set_defaults(run=cancel)


def logs(options: Namespace, home: Home) -> int:
    """What a run said; `--follow` goes on until it ends."""
    with DagsterInstance.get() as instance:
        run = run_named(instance, options.run_id)
        _follow(instance, run, until_end=options.follow)
        return 0


def _follow(
    instance: DagsterInstance,
    run: DagsterRun,
    until_end: bool,
    cursor: str | None = None,
    seconds: float = math.inf,
) -> DagsterRun:
    """Print what a run says, from a cursor on; returns the run as it is then."""
    deadline = time.monotonic() + seconds
    while True:
        now = run_named(instance, run.run_id)
        page = instance.get_records_for_run(run.run_id, cursor=cursor)
        for record in page.records:
            _print(record.event_log_entry)
        cursor = page.cursor
        if page.has_more:
            continue
        if not until_end or now.status in _ENDED or time.monotonic() > deadline:
            return now
        time.sleep(_POLL_SECONDS)


def _print(entry: EventLogEntry) -> None:
    event = entry.dagster_event
    if event is None or event.event_type not in (DagsterEventType.HANDLED_OUTPUT, DagsterEventType.LOADED_INPUT):
        stamp = datetime.fromtimestamp(entry.timestamp).strftime("%H:%M:%S")
        print(f"{stamp} {entry.step_key or '':<16} {entry.user_message or entry.message}", flush=True)
        if reason := _reason(event):
            print(f"{stamp} {entry.step_key or '':<16} because: {reason}", flush=True)


def _reason(event: DagsterEvent | None) -> str | None:
    """Why a step failed, or a check did not pass, in the words of whoever knows; None for any other event."""
    if event is not None and event.is_step_failure:
        failure, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
        return (failure.description if failure else None) or (error.message.strip() if error else None)
    if event is not None and event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        return None if check.passed else f"{check.check_name}: {check.description}"
    return None


def wait(options: Namespace, home: Home) -> int:
    """Wait for a run: 0 it succeeded, 1 it did not, 124 it still works after the timeout."""
    deadline = time.monotonic() + options.timeout
    with DagsterInstance.get() as instance:
        while (run := run_named(instance, options.run_id)).status not in _ENDED:
            if time.monotonic() >= deadline:
                print(f"still {run.status.value} after {options.timeout:.0f} s: {run_line(instance, run)}")
                return _TIMED_OUT
            time.sleep(_POLL_SECONDS)
        print(run_line(instance, run))
        return 0 if run.is_success else 1


def cancel(options: Namespace, home: Home) -> int:
    """Cancel a run, whether it waits or works; its stage saves what it can, which is said, and how to go on."""
    with DagsterInstance.get() as instance:
        run = run_named(instance, options.run_id)
        if run.status in _ENDED:
            print(f"has ended already: {run_line(instance, run)}")
            return 1
        if run.status in dead_runs.AT_WORK and not dead_runs.is_alive(instance, run):
            instance.report_run_canceled(run, "cancelled; nobody worked on it any more")
            print(f"cancelled {run.run_id}: its process was gone")
            return 0
        cursor = instance.get_records_for_run(run.run_id, limit=1, ascending=False).cursor
        if not instance.run_coordinator.cancel_run(run.run_id):
            raise BadRequest(f"run {run.run_id} is {run.status.value} and cannot be cancelled")
        print(f"cancelling {run.run_id}; its stage saves first (Ctrl-C leaves it to it)", flush=True)
        run = _follow(instance, run, until_end=True, cursor=cursor, seconds=options.timeout)
        if run.status not in _ENDED:
            print(f"still {run.status.value} after {options.timeout:.0f} s; `wait {run.run_id[:8]}` waits on")
            return _TIMED_OUT
        print(f"{run.status.value.lower()}; to go on from what is saved: {_again(run, home)}")
        return 0


def _again(run: DagsterRun, home: Home) -> str:
    """The command that launches the same: its stages go on, or are reused where they had ended."""
    partition = run.tags.get(_PARTITION)
    if run.job_name.startswith("__"):
        assets = ",".join(sorted(key.to_user_string() for key in run.asset_selection or ()))
        return f"dg launch --assets {assets}" + (f" --partition '{partition}'" if partition else "")
    return home.launch_line(run.job_name, partition)


def run_named(instance: DagsterInstance, prefix: str) -> DagsterRun:
    """The run whose id begins with this text.

    Raises:
        BadRequest: none does, or more than one.
    """
    exact = instance.get_run_by_id(prefix)
    matches = [exact] if exact else [run for run in instance.get_runs() if run.run_id.startswith(prefix)]
    if len(matches) != 1:
        raise BadRequest(f"{len(matches)} runs begin with {prefix!r}; `status` lists the newest")
    return matches[0]


def run_line(instance: DagsterInstance, run: DagsterRun) -> str:
    """A run in one line: id, job, partition, status, start, seconds."""
    stats = instance.get_run_stats(run.run_id)
    started = datetime.fromtimestamp(stats.start_time).strftime("%Y-%m-%d %H:%M:%S") if stats.start_time else "waiting"
    seconds = (stats.end_time or time.time()) - stats.start_time if stats.start_time else 0.0
    assets = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ()))
    what = assets if run.job_name.startswith("__") else run.job_name
    partition = run.tags.get(_PARTITION, "")
    return f"{run.run_id}  {what:<12} {partition:<24} {run.status.value:<10} {started:<19} {seconds:8.1f} s"
