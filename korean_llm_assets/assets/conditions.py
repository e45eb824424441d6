"""When an asset is made by itself: the rules of `due` as conditions that Dagster evaluates, explains and combines."""

from abc import abstractmethod
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from dagster import AssetKey, AssetSelection, AutomationCondition, AutomationContext, AutomationResult

from korean_llm_assets.assets.due import is_overtaken, is_settled
from korean_llm_assets.assets.ledger import Ledger
from korean_llm_assets.assets.proposals import may_make
from korean_llm_assets.partitions.keys import stage_of
from trainers.contract import STAGES, Stage

_LEDGERS: WeakKeyDictionary[object, Ledger] = WeakKeyDictionary()
"""One for each tick, whose conditions all see the same state."""


class _Rule(AutomationCondition[AssetKey]):
    """Keeps the candidates that a rule picks. It has no memory: a restart or a lost cursor changes nothing."""

    words: ClassVar[str]

    @property
    def description(self) -> str:
        """Shown in the UI."""
        return self.words

    @property
    def requires_cursor(self) -> bool:
        """Nothing of it is kept between ticks."""
        return False

    @abstractmethod
    def pick(self, context: AutomationContext[AssetKey], stage: Stage, partitions: list[str]) -> Iterable[str]:
        """The partitions for which the rule holds."""

    def evaluate(self, context: AutomationContext[AssetKey]) -> AutomationResult[AssetKey]:
        """Ask the rule, with Dagster's own keys on both sides."""
        candidates = context.candidate_subset.expensively_compute_asset_partitions()
        keys = {str(each.partition_key): each for each in candidates}
        picked = set(self.pick(context, stage_of(context.key.to_user_string()), sorted(keys)))
        view = context.asset_graph_view
        subset = view.get_asset_subset_from_asset_partitions(context.key, {keys[name] for name in picked})
        return AutomationResult(context, subset)


class Due(_Rule):
    """Missing or outdated, of a model that is made by itself, and not tried in vain."""

    words = "missing, or made from something else than is there now; not tried in vain; automation: auto, or agreed to"

    def pick(self, context: AutomationContext[AssetKey], stage: Stage, partitions: list[str]) -> Iterable[str]:
        """Those that are due, or that a person agreed to."""
        return may_make(_ledger(context), stage, partitions)


class Settled(_Rule):
    """Nothing that it reads will be made anew by another run."""

    words = "what it reads of other runs is not itself about to be made again"

    def pick(self, context: AutomationContext[AssetKey], stage: Stage, partitions: list[str]) -> Iterable[str]:
        """Those whose sources stay as they are."""
        return filter(partial(is_settled, _ledger(context), stage), partitions)


class Overtaken(_Rule):
    """A newer release of the model is deployed."""

    words = "a newer release of this model is deployed; an older one replaces it only where a person asks"

    def pick(self, context: AutomationContext[AssetKey], stage: Stage, partitions: list[str]) -> Iterable[str]:
        """Those that came too late."""
        return filter(partial(is_overtaken, _ledger(context), stage), partitions)


def _ledger(context: AutomationContext[AssetKey]) -> Ledger:
    view = context.asset_graph_view
    if view not in _LEDGERS:
        _LEDGERS[view] = Ledger.of(view.instance)
    return _LEDGERS[view]


def data_condition() -> AutomationCondition[AssetKey]:
    """Make the newest release's data again when their recipe changed. New releases are the sensor's."""
    return (Due() | (_coming() & ~AutomationCondition.missing())) & _idle()


def model_condition() -> AutomationCondition[AssetKey]:
    """Make what is missing or outdated, once everything before it is there and passed its checks.

    Of models that say `automation: ask`, once a person agreed; of those that say off, never.
    A failed run is not repeated by itself: only a new recipe or new upstream data starts the next one.
    """
    checked = AutomationCondition.all_deps_blocking_checks_passed()
    return (Due() | _coming()) & _idle() & Settled() & checked & ~Overtaken()


def _coming() -> AutomationCondition[Any]:
    """Something that this reads will be made in the same run."""
    return AutomationCondition.any_deps_match(AutomationCondition.will_be_requested()).with_label("any_deps_coming")


def _idle() -> AutomationCondition[AssetKey]:
    """Nothing that this reads is missing or being made, and no run of this waits or works."""
    is_, stages = AutomationCondition, AssetSelection.assets(*(stage.asset for stage in STAGES.values()))
    missing, working = is_.any_deps_missing().allow(stages), is_.any_deps_in_progress().allow(stages)
    return ~missing & ~working & ~is_.in_progress()
