"""Command `release`: a landed folder becomes known as a release, without waiting for `_READY`."""

from argparse import Namespace
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.keys import release_key, releases
from trainers.contract import BadRequest


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("release", help="make a landed folder known as a release, without waiting for _READY")
    parser.add_argument("name", help="the folder's name below the landing root")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Register it; prints its partition key."""
    if options.name not in Landing(home.landing).releases().values():
        raise BadRequest(f"there is no release {options.name!r} in {home.landing}; it needs a folder with corpus/, ...")
    with DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(releases.name or "", [release_key(options.name)])
    print(release_key(options.name))
    return 0
