"""Command `check`: read the recipes, look at the landing areas and alert channels, and end."""

import os
from argparse import Namespace
from typing import Any

from korean_llm_assets.alerts import configured_channels
from korean_llm_assets.home import Home
from korean_llm_assets.landing.buckets import check_sources, source_urls
from trainers.contract.settings import unknown_variables


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser(
        "check", help="read the recipes, look at the landing areas and alert channels, and end"
    )
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Load everything that Dagster would load."""
    from korean_llm_assets.definitions import defs  # the recipes and the environment are read here

    tell_what_is_missing()
    print(f"{len(list(defs.resolve_all_asset_specs()))} assets, recipes read; state in {home.root}")
    return 0


def tell_what_is_missing() -> None:
    """What a night would find out: misspelt variables, sources that cannot be read, half an alert channel, or none.

    Raises:
        ServiceMissing: a landing URL cannot be read.
        BadRequest: an alert channel is half configured, or malformed.
    """
    for warning in unknown_variables(os.environ):
        print(f"warning: {warning}")
    check_sources()
    print(f"landing areas elsewhere: {', '.join(source_urls()) or 'none'}")
    channels = ", ".join(channel.name for channel in configured_channels())
    nowhere = "none: failures show in the UI only (KOREAN_LLM_ALERT_URLS, KOREAN_LLM_SLACK_WEBHOOK, ...)"
    print(f"alert channels: {channels or nowhere}")
