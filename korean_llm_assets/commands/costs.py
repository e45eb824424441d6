"""Command `costs`: what was spent, by model and release."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from korean_llm_assets.commands.korean import Language
from korean_llm_assets.commands.printing import add_output, print_json, table
from korean_llm_assets.compute.profiles import ClusterProfile, Price, load_profile
from korean_llm_assets.costs import Estimate, all_costs, report, totals
from korean_llm_assets.home import Home
from trainers.contract import settings
from trainers.contract.artifacts import ArtifactStore


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("costs", help="hours, GPU-hours, goodput and money by model and release")
    add_price(parser)
    add_output(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Totals by model and release; also kept as costs.md."""
    rows = list(all_costs(ArtifactStore(home.artifacts)))
    (home.root / "costs.md").write_text(report(rows, price(options)) + "\n", encoding="utf-8")
    columns, lines = totals(rows, price(options))
    if options.json:
        print_json([dict(zip(columns, line, strict=True)) for line in lines])
    else:
        print("\n".join(table(columns, lines, options.lang)))
    return 0


def estimate_lines(estimates: Sequence[Estimate], releases: int, price: float, language: Language) -> Iterator[str]:
    """What making these assets for so many releases is expected to take, by asset and in all."""
    rows = [
        [row.asset, row.model, str(releases), *_expected(row.hours, row.gpu_hours, releases, price), row.source]
        for row in estimates
    ]
    hours, gpu_hours = (sum(getattr(row, name) for row in estimates) for name in ("hours", "gpu_hours"))
    rows.append(["in all", "", "", *_expected(hours, gpu_hours, releases, price), ""])
    columns = ("asset", "model", "releases", "hours", "GPU-hours", "US dollars", "known from")
    return table(columns, rows, language)


def _expected(hours: float, gpu_hours: float, releases: int, price: float) -> list[str]:
    return [f"{value * releases:,.2f}" for value in (hours, gpu_hours, gpu_hours * price)]


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
