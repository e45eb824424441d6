"""When an asset is made by itself: what changed, what must be there first, and what its model's recipe allows."""

from collections.abc import Iterable
from typing import Any

from dagster import AssetKey, AssetSelection, AutomationCondition, AutomationContext, AutomationResult

from korean_llm_assets.assets.proposals import may_make
from trainers.contract import STAGES


class MayBeMade(AutomationCondition[AssetKey]):
    """True for partitions of models that say `automation: auto`, and of `ask` once a person agreed to them."""

    @property
    def description(self) -> str:
        """Shown in the UI."""
        return "the model's recipe says automation: auto, or ask and a person started it"

    def evaluate(self, context: AutomationContext[AssetKey]) -> AutomationResult[AssetKey]:
        """Keep the candidates that may be made; all the other conditions hold for them (this is asked last)."""
        view = context.asset_graph_view
        candidates = {each.partition_key: each for each in _partitions(context)}
        allowed = may_make(view.instance, context.key.to_user_string(), candidates)
        subset = {candidates[partition] for partition in allowed}
        return AutomationResult(context, view.get_asset_subset_from_asset_partitions(context.key, subset))


def _partitions(context: AutomationContext[AssetKey]) -> Iterable[Any]:
    return context.candidate_subset.expensively_compute_asset_partitions()


def data_condition() -> AutomationCondition[AssetKey]:
    """Make a release's data again when the recipe of the data assets changed. New releases are the sensor's."""
    is_ = AutomationCondition
    changed: AutomationCondition = is_.code_version_changed() | is_.any_deps_updated()
    return changed.since_last_handled() & ~is_.missing() & _idle()


def model_condition() -> AutomationCondition[AssetKey]:
    """Make what is missing or outdated, once everything before it is there and passed its checks.

    Of models that say `automation: ask`, once a person agreed; of those that say off, never.
    A failed run is not repeated by itself: only a new recipe or new upstream data starts the next one.
    """
    is_ = AutomationCondition
    changed: AutomationCondition = is_.code_version_changed() | is_.any_deps_updated()
    due: AutomationCondition = (is_.missing() & ~is_.execution_failed()) | changed.since_last_handled()
    return due & _idle() & is_.all_deps_blocking_checks_passed() & MayBeMade()


def _idle() -> AutomationCondition:
    """Nothing that this reads is missing or being made, and no run of this waits or works.

    What another run of this tick will make is waited for too, where it has other partitions (and so another run).
    """
    is_ = AutomationCondition
    elsewhere = AssetSelection.assets(*(s.asset for s in STAGES.values() if not (s.by_model and s.by_release)))
    coming = is_.any_deps_match(is_.will_be_requested()).allow(elsewhere)
    return ~is_.any_deps_missing() & ~is_.any_deps_in_progress() & ~is_.in_progress() & ~coming
