"""Command `check`: read the recipes, look at the landing areas and alert channels, and end."""

import os
from argparse import Namespace
from dataclasses import asdict, dataclass
from typing import Any

from korean_llm_assets.alerts import configured_channels
from korean_llm_assets.commands.printing import add_json, print_json
from korean_llm_assets.home import Home
from korean_llm_assets.landing.buckets import check_sources, source_urls
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.recipes import recipes
from trainers.contract import ServiceMissing, settings
from trainers.contract.names import shown
from trainers.contract.redaction import redacted
from trainers.contract.settings import unknown_variables


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser(
        "check", help="read the recipes, look at the landing areas and alert channels, and end"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Load everything that Dagster would load."""
    from korean_llm_assets.definitions import defs  # the recipes and the environment are read here

    surroundings = Surroundings.read()
    incomplete = {shown(name): words for name, words in Landing(home.landing).incomplete().items()}
    unusable = dict(recipes().problems)
    assets = len(defs.resolve_asset_graph().materializable_asset_keys)
    problems = _of_the_cluster(home)
    if options.json:
        print_json(
            {
                **asdict(surroundings),
                "incomplete_drops": incomplete,
                "unusable_recipes": unusable,
                "cluster_problems": problems,
                "assets": assets,
                "state": str(home.root),
            }
        )
    else:
        print("\n".join(surroundings.in_words))
        for name, words in incomplete.items():
            print(f"landed, but not complete: {name} {words}")
        for name, words in unusable.items():
            print(f"nothing is made of {name}, its recipe cannot be used: {words}")
    if problems:
        raise ServiceMissing("\n".join(["", *problems]))
    if not options.json:
        print(f"{assets} assets, recipes read; state in {home.root}")
    return 0


def _of_the_cluster(home: Home) -> list[str]:
    """What a first run on this cluster would find out; nothing on a laptop."""
    if settings.ENV.get() != "cluster":
        return []
    from korean_llm_assets.compute.cluster.installation import problems  # the Kubernetes client: only here

    return list(problems([home.artifacts, home.landing], os.environ.get("MLFLOW_TRACKING_URI", "")))


@dataclass(frozen=True)
class Surroundings:
    """What a night would find out: misspelt variables, sources that cannot be read, half an alert channel, or none."""

    warnings: list[str]
    landing_elsewhere: list[str]
    alert_channels: list[str]

    @classmethod
    def read(cls) -> "Surroundings":
        """Look at the environment.

        Raises:
            ServiceMissing: a landing URL cannot be read.
            BadRequest: an alert channel is half configured, or malformed.
        """
        check_sources()
        return cls(
            warnings=list(unknown_variables(os.environ)),
            landing_elsewhere=[redacted(url) for url in source_urls()],
            alert_channels=[channel.name for channel in configured_channels()],
        )

    @property
    def in_words(self) -> list[str]:
        """A line each."""
        nowhere = "none: failures show in the UI only (KOREAN_LLM_ALERT_URLS, KOREAN_LLM_SLACK_WEBHOOK, ...)"
        return [
            *(f"warning: {warning}" for warning in self.warnings),
            f"landing areas elsewhere: {', '.join(self.landing_elsewhere) or 'none'}",
            f"alert channels: {', '.join(self.alert_channels) or nowhere}",
        ]
