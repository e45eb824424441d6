"""Command `start`: a person agrees to make a model that says `automation: ask`, on one release."""

from argparse import Namespace
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.assets.proposals import agree
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import cell_key, releases
from korean_llm_assets.partitions.recipes import model_recipe
from trainers.contract import BadRequest


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("start", help="agree to make a model that says automation: ask, on one release")
    parser.add_argument("--model", required=True)
    parser.add_argument("--release", required=True)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Agree; the running automation makes the cell, and its base model first."""
    automation = model_recipe(options.model).automation
    if automation != "ask":
        raise BadRequest(
            f"{options.model} says automation: {automation}; only `ask` waits for a start. "
            f"By hand: {home.launch_line('training', cell_key(options.model, options.release))}"
        )
    with DagsterInstance.get() as instance:
        registered = instance.get_dynamic_partitions(releases.name or "")
        if options.release not in registered:
            raise BadRequest(f"there is no release {options.release!r}; there are: {', '.join(registered) or 'none'}")
        cell = agree(instance, options.model, options.release)
    print(f"{cell}: what is due of it is made from now on (`make ui` must run; see `status`)")
    return 0
