"""`python -m korean_llm_assets <command>`: the platform on this machine, and operations on its runs."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from korean_llm_assets.home import Home
from trainers.contract import StageError
from trainers.contract.artifacts import ArtifactStore


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    options = _parser().parse_args(arguments)
    home = Home.from_environment().prepare()
    try:
        return _run(options, home)
    except StageError as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return int(error.code)


def _run(options: argparse.Namespace, home: Home) -> int:
    match options.command:
        case "demo":
            from korean_llm_assets.commands.demo import demo

            return demo(home)
        case "ui":
            from korean_llm_assets.commands.ui import ui

            return ui(home, options.dagster_port, options.mlflow_port)
        case "check":
            from korean_llm_assets.commands.ui import tell_what_is_missing
            from korean_llm_assets.definitions import defs  # the recipes and the environment are read here

            tell_what_is_missing()
            print(f"{len(list(defs.resolve_all_asset_specs()))} assets, recipes read; state in {home.root}")
        case "serve":
            from korean_llm_assets.assets.deployment import registered_name
            from korean_llm_assets.commands.serve import serve
            from korean_llm_assets.resources import resources

            name = registered_name(options.model)
            return serve(home, resources()["registry"], name, options.port, options.once)
        case "approve":
            from korean_llm_assets.serving.approvals import approve, find_report

            store = ArtifactStore(home.artifacts)
            report = find_report(store, options.model, options.release, options.report)
            print(approve(store, report, options.who, options.why).in_words)
            print("materialize eval_report and deployed_model again: the checks warn, and no longer block")
        case "rollback":
            from korean_llm_assets.assets.deployment import registered_name
            from korean_llm_assets.resources import resources

            version = resources()["registry"].roll_back(registered_name(options.model))
            print(f"{version.name} version {version.number} ({version.artifact.path}) is the champion again")
        case "env":
            for name, value in home.environment().items():
                print(f"export {name}={shlex.quote(value)}")
            print(f"# workspace: {home.workspace}")
        case "costs" | "remake" as operation:
            from korean_llm_assets.commands import remake as backfill

            made: int = getattr(backfill, operation)(options, home)
            return made
        case "takedown":
            from korean_llm_assets.commands.takedown import takedown

            return takedown(options, home)
        case "clean":
            from korean_llm_assets.triggers.housekeeping import clean

            return clean(options, home)
        case "start":
            from korean_llm_assets.assets.proposals import start

            return start(options, home)
        case operation:
            from korean_llm_assets.commands import runs as operations

            code: int = getattr(operations, operation)(options, home)
            return code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m korean_llm_assets",
        description="Korean language models from drops of text. All state lies below KOREAN_LLM_HOME (default: var).",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="sample drop -> corpus -> CPT -> SFT -> RLHF -> eval report -> registered model")
    served = commands.add_parser("ui", help="serve Dagster's and MLflow's UI on this machine's state")
    served.add_argument("--dagster-port", type=int, default=3000, help="%(default)s, or a free one")
    served.add_argument("--mlflow-port", type=int, default=5000, help="%(default)s, or a free one")
    commands.add_parser("check", help="read the recipes, look at the landing areas and alert channels, and end")
    server = commands.add_parser("serve", help="serve the champion over OpenAI's API on this machine's CPU")
    server.add_argument("--model", default="tiny", help="%(default)s")
    server.add_argument("--port", type=int, default=8000, help="%(default)s")
    server.add_argument("--once", action="store_true", help="stop after the smoke test")
    approved = commands.add_parser("approve", help="deploy a model in spite of its failed gate: who, and why")
    approved.add_argument("--model", required=True)
    approved.add_argument("--release", required=True)
    approved.add_argument(
        "--report", default="", metavar="DIGEST", help="the report's first letters, if there are more"
    )
    approved.add_argument("--who", required=True, help="the person who answers for it")
    approved.add_argument("--why", required=True, help="a reason that another person can judge")
    back = commands.add_parser("rollback", help="make the version under 'previous' the champion again")
    back.add_argument("--model", required=True)
    commands.add_parser("env", help="print the variables for Dagster's own command line: eval $(... env)")
    _add_operations(commands)
    return parser


def _add_operations(commands: Any) -> None:
    """Commands of korean_llm_assets.commands.runs; each has the name of its function."""
    landed = commands.add_parser("release", help="make a landed folder known as a release, without waiting for _READY")
    landed.add_argument("name", help="the folder's name below the landing root")
    agreed = commands.add_parser("start", help="agree to make a model that says automation: ask, on one release")
    agreed.add_argument("--model", required=True)
    agreed.add_argument("--release", required=True)
    listed = commands.add_parser("status", help="the newest runs, or one run step by step")
    listed.add_argument("run", nargs="?", help="a run's id, or how it begins")
    listed.add_argument("--limit", type=int, default=20, help="how many runs (%(default)s)")
    told = commands.add_parser("logs", help="what a run said")
    told.add_argument("run")
    told.add_argument("--follow", action="store_true", help="until the run ends")
    waited = commands.add_parser("wait", help="wait for a run: exit 0 success, 1 failure, 124 timeout")
    waited.add_argument("run")
    waited.add_argument("--timeout", type=float, default=86400, help="seconds (%(default)s)")
    again = commands.add_parser("remake", help="make assets again for models and releases; shows the cost first")
    again.add_argument("--assets", required=True, help="by name, separated by commas, e.g. sft_model,rlhf_model")
    again.add_argument("--models", default="all", help="names, or %(default)s")
    again.add_argument("--releases", default="all", help="partition keys, or %(default)s")
    again.add_argument("--yes", action="store_true", help="start it")
    summed = commands.add_parser("costs", help="hours, GPU-hours, goodput and money by model and release")
    for command in (again, summed):
        command.add_argument("--price", type=float, help="US dollars per GPU and hour (else the cluster profile's)")
    taken = commands.add_parser("takedown", help="exclude documents from every later build; list what has them")
    taken.add_argument("--ids", type=Path, required=True, help="a file: one id or text sha256 per line")
    cleaned = commands.add_parser("clean", help="show what housekeeping would remove: superseded, left over, finished")
    cleaned.add_argument("--days", type=float, default=14, help="nothing younger is touched (%(default)s)")
    cleaned.add_argument("--keep", type=int, default=2, help="artifacts kept of each cell at least (%(default)s)")
    cleaned.add_argument("--yes", action="store_true", help="remove it")
    commands.add_parser("cancel", help="cancel a run; its stage saves what it can").add_argument("run")


if __name__ == "__main__":
    sys.exit(main())
