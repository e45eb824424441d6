"""The state of each partition in words: what is there, since when, what it took, and what the rest waits for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dagster import DagsterInstance, DagsterRunStatus

from korean_llm_assets.assets.due import is_due, is_missing_backlog, is_outdated, is_overtaken
from korean_llm_assets.assets.ledger import Ledger
from korean_llm_assets.assets.presentation import headline
from korean_llm_assets.assets.proposals import proposed_releases
from korean_llm_assets.compute.profiles import Price
from korean_llm_assets.costs import Cost
from korean_llm_assets.partitions.keys import model_and_release, partition_of
from korean_llm_assets.partitions.recipes import DATA
from trainers.contract import STAGES, EvaluationDetails, Manifest, Stage
from trainers.contract.artifacts import ArtifactStore

Kind = Literal["made", "outdated", "at work", "in line", "failed", "cancelled", "missing"]
_AT_WORK = (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)


@dataclass(frozen=True)
class State:
    """A partition of a stage's asset at one moment.

    Args:
        since: Unix seconds at which what is there was made; None where nothing is.
        why: what it waits for, or what changed; empty where there is nothing to say.
        run: that works, or worked in vain.
        manifest: of what is there; None where nothing is, or it is no longer in the store.
    """

    stage: Stage
    partition: str
    kind: Kind
    since: float | None
    why: str
    run: str | None
    manifest: Manifest | None

    @property
    def figure(self) -> str:
        """The one figure of what is there."""
        return headline(self.manifest.details) if self.manifest else ""

    def dollars(self, price: Price) -> float:
        """What it took."""
        return Cost.of(self.manifest).money(price) if self.manifest else 0.0

    def to_json(self, price: Price) -> dict[str, Any]:
        """For programs."""
        model, release = model_and_release(self.stage, self.partition)
        return {
            "asset": self.stage.asset,
            "model": model,
            "release": release,
            "state": self.kind,
            "since": self.since,
            "why": self.why,
            "run": self.run,
            "figure": self.figure,
            "seconds": self.manifest.timings.get("seconds", 0.0) if self.manifest else 0.0,
            "dollars": self.dollars(price),
            "digest": self.manifest.digest if self.manifest else None,
        }


@dataclass(frozen=True)
class Board:
    """The states of all partitions at one moment.

    Args:
        proposed: model -> releases that wait for a person's word.
    """

    ledger: Ledger
    store: ArtifactStore
    proposed: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, instance: DagsterInstance, store: ArtifactStore) -> "Board":
        """Read now."""
        ledger = Ledger.of(instance)
        return cls(ledger, store, proposed_releases(ledger))

    def manifest(self, stage: Stage, partition: str) -> Manifest | None:
        """What is there of a partition; None where nothing is, or it is no longer in the store."""
        made = self.ledger.made[stage.asset].get(partition)
        return self.store.read_manifest(made.path) if made and made.path else None

    def lineage(self, model: str, release: str) -> Iterator[State]:
        """All that one model on one release rests on, from the data to the deployment."""
        for stage in STAGES.values():
            yield self.state(stage, partition_of(stage, model, release))

    def state(self, stage: Stage, partition: str) -> State:
        """Of one partition."""
        made = self.ledger.made[stage.asset].get(partition)
        kind, why, run = self._kind(stage, partition)
        return State(stage, partition, kind, made.at if made else None, why, run, self.manifest(stage, partition))

    def changes(self, stage: Stage, partition: str) -> list[str]:
        """What is no longer as it was when this was made: assets, and `recipe`."""
        made = self.ledger.made[stage.asset].get(partition)
        if made is None or not made.inputs:
            return []
        now = self.ledger.inputs_now(stage, partition)
        return [asset for asset, version in now.items() if made.inputs.get(asset) != version]

    def _kind(self, stage: Stage, partition: str) -> tuple[Kind, str, str | None]:
        """(state, why, run)."""
        if attempt := self.ledger.at_work[stage.asset].get(partition):
            if attempt.status in _AT_WORK:
                return "at work", f"`logs {attempt.run[:8]} --follow` shows it", attempt.run
            return "in line", "waits in Dagster's queue for its turn", attempt.run
        is_there = self._is_there(stage, partition)
        if not is_there and (why := self._blocked(stage, partition)):
            return "missing", why, None  # a run that failed before it came here says nothing of it
        if attempt := self.ledger.failed[stage.asset].get(partition):
            run = attempt.run[:8]
            if attempt.status == DagsterRunStatus.FAILURE:
                return "failed", f"`logs {run}` says why; it is tried again when what it reads changes", attempt.run
            return "cancelled", "materialize it again: training goes on from its last checkpoint", attempt.run
        if not is_there:
            return "missing", self._missing(stage, partition), None
        if is_outdated(self.ledger, stage, partition, only_newest=False):
            return "outdated", self._outdated(stage, partition), None
        return "made", "", None

    def _outdated(self, stage: Stage, partition: str) -> str:
        changed = ", ".join(self.changes(stage, partition)) or "what it was made from is not known"
        if is_due(self.ledger, stage, partition):
            return f"changed since: {changed}; made again at the next tick where the recipe says automation: auto"
        return f"changed since: {changed}; `remake` makes it again"

    def _blocked(self, stage: Stage, partition: str) -> str:
        """Why it cannot be made whoever asks; empty where it can."""
        model, _ = model_and_release(stage, partition)
        if self.ledger.recipe(stage, partition) is None:
            return f"its recipe cannot be used: {self.ledger.problems.get(model or DATA, 'there is none')}"
        sources = self.ledger.sources(stage, partition)
        if absent := [source.asset for source, key in sources if not self._is_there(source, key)]:
            return f"waits for {', '.join(absent)}"
        report = self.manifest(STAGES["evaluate"], partition) if stage.name == "export" else None
        if report and isinstance(report.details, EvaluationDetails) and not report.details.gate_passed:
            failed = ", ".join(row.name for row in report.details.gate if not row.passed)
            return f"the gate failed: {failed}; mend it, or `approve` and materialize it"
        return ""

    def _missing(self, stage: Stage, partition: str) -> str:
        """Why nobody has made it yet, though it can be made."""
        model, release = model_and_release(stage, partition)
        if is_overtaken(self.ledger, stage, partition):
            return "a newer release is deployed"
        if not stage.by_model:
            return "waits for its drop, or for the data job"
        proposed = self.proposed.get(str(model), ())
        waiting = [name for name in proposed if release in (name, None)]  # a base model waits with its releases
        if waiting:
            return f"waits for approval: `start --model {model} --release {waiting[-1]}`"
        if self.ledger.recipes.models[str(model)].automation == "off":
            return "its recipe says automation: off; materialize it by hand"
        if is_missing_backlog(self.ledger, stage, partition):
            return "its model came after this release; `remake` makes it"
        return "made at the next tick of the daemon"

    def _is_there(self, stage: Stage, partition: str) -> bool:
        return partition in self.ledger.made[stage.asset]
