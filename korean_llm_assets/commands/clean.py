"""Command `clean`: show what housekeeping would remove; `--yes` removes it."""

from argparse import Namespace
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.commands.printing import print_json
from korean_llm_assets.home import Home
from korean_llm_assets.resources import Platform
from korean_llm_assets.triggers.housekeeping import DAYS, KEEP, Housekeeping, finished_jobs, tidy


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("clean", help="show what housekeeping would remove: superseded, left over, finished")
    parser.add_argument("--days", type=float, default=DAYS, help="nothing younger is touched (%(default)s)")
    parser.add_argument("--keep", type=int, default=KEEP, help="artifacts kept of each cell at least (%(default)s)")
    parser.add_argument("--yes", action="store_true", help="remove it")
    parser.add_argument("--json", action="store_true", help="JSON instead of lines")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Tell what goes, and remove it where the answer is yes."""
    platform = Platform.from_environment()
    with DagsterInstance.get() as instance:
        keeper = Housekeeping(platform.store, platform.registry, instance, options.days, options.keep)
        doomed = keeper.doomed() + finished_jobs(instance, options.days)
    size = tidy(doomed, options.yes, (lambda words: None) if options.json else print)
    if options.json:
        things = [{"what": each.what, "bytes": each.size, "why": each.why} for each in doomed]
        print_json({"things": things, "bytes": size, "removed": options.yes})
    return 0
