"""Command `rollback`: the version under `previous` becomes the champion again."""

from argparse import Namespace
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.home import Home
from korean_llm_assets.partitions.recipes import registered_name
from korean_llm_assets.resources import Platform
from korean_llm_assets.serving.approvals import check_approver
from korean_llm_assets.serving.events import event, record


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("rollback", help="make the version under 'previous' the champion again")
    parser.add_argument("--model", required=True)
    parser.add_argument("--who", default="", help="the person who answers for it (whoever is logged in)")
    parser.add_argument("--why", default="", help="for whoever reads the record")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Move the aliases back, through the rollout where the model is served."""
    check_approver(options.who)
    platform, name = Platform.from_environment(), registered_name(options.model)
    version = platform.registry.roll_back(name, lambda each: platform.store.verify(each.artifact))
    done = event("rollback", f"{name} to version {version.number} ({version.artifact.path})", options.who, options.why)
    with DagsterInstance.get() as instance:
        record(platform.store, instance, done)
    platform.registry.note(name, done.when, done.in_words)
    print(f"{version.name} version {version.number} ({version.artifact.path}) is the champion again")
    return 0
