"""What automation should make now: rules over the ledger, with no memory of their own and no event to miss.

A partition is due where it is missing, or where what it was made from is no longer what is there. Reuse is no change:
versions are compared, not times. What the recipe says changed counts for the newest release of that model only; older
ones are offered with their price (`status`, `remake`) and never made by themselves. What was tried in vain is not tried
again from the same inputs by the same recipe.
"""

from math import inf

from korean_llm_assets.assets.ledger import Ledger, identity
from korean_llm_assets.partitions.keys import model_and_release, partition_of
from trainers.contract import STAGES, Stage


def is_due(ledger: Ledger, stage: Stage, partition: str, only_newest: bool = True) -> bool:
    """Whether a partition should be made, once all that it reads is there.

    Args:
        only_newest: False for a cell that a person asked for, whatever its release.
    """
    if ledger.recipe(stage, partition) is None:
        return False  # its recipe cannot be used
    if partition in ledger.made[stage.asset]:
        due = is_outdated(ledger, stage, partition, only_newest)
    else:
        due = stage.by_model and not (only_newest and is_missing_backlog(ledger, stage, partition))
    return due and not _was_in_vain(ledger, stage, partition)


def is_outdated(ledger: Ledger, stage: Stage, partition: str, only_newest: bool = True) -> bool:
    """Whether what is there was made from something else than what would be taken now."""
    made = ledger.made[stage.asset].get(partition)
    if made is None:
        return False
    now = ledger.inputs_now(stage, partition)
    changed = {asset for asset, version in now.items() if made.inputs and made.inputs.get(asset) != version}
    if changed & {STAGES[name].asset for name in stage.reads if STAGES[name].by_release}:
        return True  # new data, of this very release
    _, release = model_and_release(stage, partition)
    is_asked_for = not stage.by_release or not only_newest or release == ledger.newest_release
    return is_asked_for and (bool(changed) or not made.inputs)


def is_settled(ledger: Ledger, stage: Stage, partition: str) -> bool:
    """Whether nothing that it reads, and that another run makes (it has other partitions), will change of itself."""
    return not any(
        is_due(ledger, source, key)
        for source, key in ledger.sources(stage, partition)
        if (source.by_model, source.by_release) != (stage.by_model, stage.by_release)
    )


def is_overtaken(ledger: Ledger, stage: Stage, partition: str) -> bool:
    """Whether it deploys a model of which a newer release is deployed: an older one replaces it only where asked."""
    model, release = model_and_release(stage, partition)
    if stage.name != "export" or release not in ledger.releases:
        return False
    newer = ledger.releases[ledger.releases.index(release) + 1 :]
    return any(partition_of(stage, model, name) in ledger.made[stage.asset] for name in newer)


def is_missing_backlog(ledger: Ledger, stage: Stage, partition: str) -> bool:
    """Whether a cell is missing because its model came later: other models were trained on that data before.

    A new model begins with the newest release.
    """
    model, release = model_and_release(stage, partition)
    if partition in ledger.made[stage.asset]:
        return False
    if release is None or release == ledger.newest_release:
        return False
    known = ledger.known_since.get(str(model), inf)
    data = [ledger.made[each.asset].get(release) for each in STAGES.values() if not each.by_model]
    if any(made is not None and made.event >= known for made in data):
        return False  # it has new data since
    trained, others = STAGES["cpt"], (other for other in ledger.known_since if other != model)
    return any(partition_of(trained, other, release) in ledger.made[trained.asset] for other in others)


def _was_in_vain(ledger: Ledger, stage: Stage, partition: str) -> bool:
    """Whether the latest run for it failed or was cancelled, and nothing is different now."""
    attempt = ledger.failed[stage.asset].get(partition)
    if attempt is None:
        return False
    if attempt.identity is not None:
        return attempt.identity == identity(ledger.inputs_now(stage, partition))
    # It never came to that step: only what was made after the run's end is known to be different. A run that waited in
    # line, or made some of it itself, would have read what was there at its end.
    sources = (ledger.made[source.asset].get(key) for source, key in ledger.sources(stage, partition))
    return not any(made is not None and made.at > attempt.ended for made in sources)
