"""Commands on runs, as one-liners: `status`, `logs`, `wait`, `cancel`."""

import time
from argparse import Namespace
from datetime import datetime
from typing import Any

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, EventLogEntry

from korean_llm_assets.assets.proposals import proposed_releases
from korean_llm_assets.home import Home
from trainers.contract import BadRequest

_TIMED_OUT = 124
_POLL_SECONDS = 1.0
_ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


def add_parser(commands: Any) -> None:
    """Say what each of the commands takes."""
    parser = commands.add_parser("status", help="the newest runs, or one run step by step")
    parser.add_argument("run_id", nargs="?", metavar="run", help="a run's id, or how it begins")
    parser.add_argument("--limit", type=int, default=20, help="how many runs (%(default)s)")
    parser.set_defaults(run=status)
    parser = commands.add_parser("logs", help="what a run said")
    parser.add_argument("run_id", metavar="run")
    parser.add_argument("--follow", action="store_true", help="until the run ends")
    parser.set_defaults(run=logs)
    parser = commands.add_parser("wait", help="wait for a run: exit 0 success, 1 failure, 124 timeout")
    parser.add_argument("run_id", metavar="run")
    parser.add_argument("--timeout", type=float, default=86400, help="seconds (%(default)s)")
    parser.set_defaults(run=wait)
    parser = commands.add_parser("cancel", help="cancel a run; its stage saves what it can")
    parser.add_argument("run_id", metavar="run")
    parser.set_defaults(run=cancel)


def status(options: Namespace, home: Home) -> int:
    """The newest runs and what waits for a person's word, or one run step by step."""
    with DagsterInstance.get() as instance:
        if options.run_id is None:
            for run in instance.get_runs(limit=options.limit):
                print(_line(instance, run))
            for model, names in proposed_releases(instance).items():
                print(f"waiting for approval: {model} on {', '.join(names)} (start --model {model} --release NAME)")
            return 0
        run = _run(instance, options.run_id)
        print(_line(instance, run))
        for step in sorted(instance.get_run_step_stats(run.run_id), key=lambda step: step.start_time or 0.0):
            ended = step.end_time or time.time()
            state = step.status.value.lower() if step.status else "waiting"
            print(f"  {step.step_key:<16} {state:<12} {ended - (step.start_time or ended):8.1f} s")
        return 0


def logs(options: Namespace, home: Home) -> int:
    """What a run said; `--follow` goes on until it ends."""
    with DagsterInstance.get() as instance:
        run = _run(instance, options.run_id)
        cursor: str | None = None
        while True:
            ended = _run(instance, run.run_id).status in _ENDED
            page = instance.get_records_for_run(run.run_id, cursor=cursor)
            for record in page.records:
                _print(record.event_log_entry)
            cursor = page.cursor
            if page.has_more:
                continue
            if ended or not options.follow:
                return 0
            time.sleep(_POLL_SECONDS)


def _print(entry: EventLogEntry) -> None:
    event = entry.dagster_event
    if event is None or event.event_type not in (DagsterEventType.HANDLED_OUTPUT, DagsterEventType.LOADED_INPUT):
        stamp = datetime.fromtimestamp(entry.timestamp).strftime("%H:%M:%S")
        print(f"{stamp} {entry.step_key or '':<16} {entry.user_message or entry.message}", flush=True)


def wait(options: Namespace, home: Home) -> int:
    """Wait for a run: 0 it succeeded, 1 it did not, 124 it still works after the timeout."""
    deadline = time.monotonic() + options.timeout
    with DagsterInstance.get() as instance:
        while (run := _run(instance, options.run_id)).status not in _ENDED:
            if time.monotonic() >= deadline:
                print(f"still {run.status.value} after {options.timeout:.0f} s: {_line(instance, run)}")
                return _TIMED_OUT
            time.sleep(_POLL_SECONDS)
        print(_line(instance, run))
        return 0 if run.is_success else 1


def cancel(options: Namespace, home: Home) -> int:
    """Cancel a run, whether it waits or works; its stage saves what it can."""
    with DagsterInstance.get() as instance:
        run = _run(instance, options.run_id)
        if run.status in _ENDED:
            print(f"has ended already: {_line(instance, run)}")
            return 1
        if not instance.run_coordinator.cancel_run(run.run_id):
            raise BadRequest(f"run {run.run_id} is {run.status.value} and cannot be cancelled")
        print(f"cancelling {run.run_id}")
        return 0


def _run(instance: DagsterInstance, prefix: str) -> DagsterRun:
    """The run whose id begins with this text.

    Raises:
        BadRequest: none does, or more than one.
    """
    exact = instance.get_run_by_id(prefix)
    matches = [exact] if exact else [run for run in instance.get_runs() if run.run_id.startswith(prefix)]
    if len(matches) != 1:
        raise BadRequest(f"{len(matches)} runs begin with {prefix!r}; `status` lists the newest")
    return matches[0]


def _line(instance: DagsterInstance, run: DagsterRun) -> str:
    """A run in one line: id, job, partition, status, start, seconds."""
    stats = instance.get_run_stats(run.run_id)
    started = datetime.fromtimestamp(stats.start_time).strftime("%Y-%m-%d %H:%M:%S") if stats.start_time else "waiting"
    seconds = (stats.end_time or time.time()) - stats.start_time if stats.start_time else 0.0
    assets = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ()))
    what = assets if run.job_name.startswith("__") else run.job_name
    partition = run.tags.get("dagster/partition", "")
    return f"{run.run_id}  {what:<12} {partition:<24} {run.status.value:<10} {started:<19} {seconds:8.1f} s"
