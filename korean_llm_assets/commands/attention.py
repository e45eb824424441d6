"""What needs a person's attention, in lines: `status` prints it below the runs."""

from collections.abc import Iterator

from dagster import DagsterInstance

from korean_llm_assets.assets.ledger import Ledger
from korean_llm_assets.assets.proposals import offered, proposed_releases
from korean_llm_assets.commands.costs import profile
from korean_llm_assets.costs import all_costs, estimate
from korean_llm_assets.home import COMMAND, Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.triggers.watch import location_trouble, troubles
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.names import shown


def needs_attention(instance: DagsterInstance, home: Home) -> Iterator[str]:
    """What does not work, what is not complete, what waits for a person's word, and what is offered with its price."""
    try:
        import korean_llm_assets.definitions  # noqa: F401 - what Dagster loads
    except Exception as error:  # noqa: BLE001 - whatever keeps it from loading is what is told
        yield location_trouble(f"{type(error).__name__}: {error}").english
        return
    ledger = Ledger.of(instance)
    yield from (trouble.english for trouble in troubles(instance, ledger.problems))
    for name, words in Landing(home.landing).incomplete().items():
        yield f"landed, but not complete: {shown(name)} {words}"
    for model, names in proposed_releases(ledger).items():
        start = f"{COMMAND} start --model {model} --release {names[-1]}"
        yield f"waiting for approval: {model} on {', '.join(names)}; to start the newest: {start}"
    yield from _offers(ledger, home)


def _offers(ledger: Ledger, home: Home) -> Iterator[str]:
    offers = {model: offer for model in ledger.recipes.models if (offer := offered(ledger, model))}
    past = list(all_costs(ArtifactStore(home.artifacts))) if offers else []
    pool, price = profile().gpu_pool, profile().price
    for model, by_release in offers.items():
        assets = list(dict.fromkeys(asset for names in by_release.values() for asset in names))
        rows = estimate(assets, model, past, pool.gpu if pool else None)
        hours, gpu_hours = (
            sum(getattr(row, name) for row in rows) * len(by_release) for name in ("hours", "gpu_hours")
        )
        remake = f"{COMMAND} remake --assets {','.join(assets)} --models {model} --releases {','.join(by_release)}"
        yield (
            f"outdated by a changed recipe, and made only where asked: {model} on {', '.join(by_release)}, about "
            f"{hours:.1f} h, {gpu_hours:.1f} GPU-h, {gpu_hours * price.gpu:.2f} US dollars: {remake}"
        )
