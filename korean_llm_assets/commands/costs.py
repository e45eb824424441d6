"""Command `costs`: what was spent, by model and release."""

from argparse import ArgumentParser, Namespace
from typing import Any

from korean_llm_assets.compute.profiles import ClusterProfile, Price, load_profile
from korean_llm_assets.costs import all_costs, report
from korean_llm_assets.home import Home
from trainers.contract import settings
from trainers.contract.artifacts import ArtifactStore


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("costs", help="hours, GPU-hours, goodput and money by model and release")
    add_price(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Totals by model and release; also kept as costs.md."""
    text = report(all_costs(ArtifactStore(home.artifacts)), price(options))
    (home.root / "costs.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def add_price(parser: ArgumentParser) -> None:
    """The option that names the price of a GPU hour."""
    parser.add_argument("--price", type=float, help="US dollars per GPU and hour (else the cluster profile's)")


def price(options: Namespace) -> Price:
    """What the command line says, else the cluster profile's."""
    if options.price is not None:
        return Price(gpu=options.price)
    return profile().price


def profile() -> ClusterProfile:
    """The cluster's (KOREAN_LLM_PROFILE); on a laptop, that of the guide's cluster."""
    return load_profile(settings.PROFILE.get() or "h100")
