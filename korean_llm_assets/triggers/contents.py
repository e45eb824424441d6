"""For which content each release was started: read from Dagster's runs once, and then only what is new of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dagster import DagsterInstance, DagsterRun, RunsFilter

from korean_llm_assets.assets.ledger import database_of
from korean_llm_assets.triggers.incidents import CONTENT_TAG
from korean_llm_assets.triggers.jobs import data_job

_DATA_RUNS = RunsFilter(job_name=data_job.name)


@dataclass(frozen=True)
class Contents:
    """What the runs of the data say.

    Args:
        seen: how many runs there were.
        newest: id of the last of them.
        last: release -> the content that its newest run with one was started for, and that run's id.
        all: every content that a run was started for.
    """

    seen: int = 0
    newest: str | None = None
    last: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    all: frozenset[str] = frozenset()

    def and_then(self, runs: Sequence[DagsterRun]) -> "Contents":
        """With these newer runs, oldest first."""
        if not runs:
            return self
        started = [run for run in runs if CONTENT_TAG in run.tags and "dagster/partition" in run.tags]
        last = {run.tags["dagster/partition"]: (run.tags[CONTENT_TAG], run.run_id) for run in started}
        contents = {run.tags[CONTENT_TAG] for run in started}
        return Contents(self.seen + len(runs), runs[-1].run_id, {**self.last, **last}, self.all | contents)


_READ: dict[str, Contents] = {}
"""Database -> what was read of it: one query for each release would be thousands at every tick."""


def contents(instance: DagsterInstance) -> Contents:
    """What the runs say now, in two queries however many there are; all are read again where some were deleted."""
    database = database_of(instance)
    known = _READ.get(database, Contents())
    now = known.and_then(instance.get_runs(_DATA_RUNS, cursor=known.newest, ascending=True))
    if now.seen != instance.get_runs_count(_DATA_RUNS):
        now = Contents().and_then(instance.get_runs(_DATA_RUNS, ascending=True))
    _READ[database] = now
    return now
