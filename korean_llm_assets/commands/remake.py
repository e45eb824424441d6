"""Command `remake`: a backfill that says what it costs before it starts."""

from argparse import Namespace
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.commands.costs import add_price, estimate_lines, price, profile
from korean_llm_assets.commands.korean import label
from korean_llm_assets.commands.printing import add_output, print_json
from korean_llm_assets.commands.running_ui import running_ui
from korean_llm_assets.costs import all_costs, estimate
from korean_llm_assets.home import Home
from korean_llm_assets.http import post_json
from korean_llm_assets.partitions.keys import cell_key, releases, stage_of
from korean_llm_assets.partitions.recipes import model_recipes
from trainers.contract import STAGES, BadRequest, ServiceMissing, settings
from trainers.contract.artifacts import ArtifactStore

_LAUNCH = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_TIMEOUT_SECONDS = 60


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("remake", help="make assets again for models and releases; shows the cost first")
    parser.add_argument("--assets", required=True, help="by name, separated by commas, e.g. sft_model,rlhf_model")
    parser.add_argument("--models", default="all", help="names, or %(default)s")
    parser.add_argument("--releases", default="all", help="partition keys, or %(default)s")
    parser.add_argument("--yes", action="store_true", help="start it")
    add_price(parser)
    add_output(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Show what it costs to make assets again for models and releases; `--yes` starts it as one backfill."""
    assets = [_asset(name) for name in options.assets.split(",")]
    models = _selection("model", options.models, sorted(model_recipes()))
    with DagsterInstance.get() as instance:
        registered = list(instance.get_dynamic_partitions(releases.name or ""))
    selection = _selection("release", options.releases, registered)
    past = list(all_costs(ArtifactStore(home.artifacts)))
    pool = profile().gpu_pool
    estimates = [row for model in models for row in estimate(assets, model, past, pool.gpu if pool else None)]
    names = [str(cell_key(model, release)) for model in models for release in selection]
    if not options.json:
        print("\n".join(estimate_lines(estimates, len(selection), price(options).gpu, options.lang)))
    backfill = _launch(_server(home), assets, names) if options.yes else None
    if options.json:
        print_json({"of each release": [vars(row) for row in estimates], "partitions": names, "backfill": backfill})
    elif backfill is None:
        print(label("nothing was started; the same with --yes starts it", options.lang))
    else:
        print(f"backfill {backfill} of {len(names)} partitions started")
    return 0


def _asset(name: str) -> str:
    able = [stage.asset for stage in STAGES.values() if stage.by_model and stage.by_release]
    if name not in able:
        raise BadRequest(f"asset {name!r} is not made by model and release; these are: {', '.join(able)}")
    return stage_of(name).asset


def _selection(what: str, option: str, available: list[str]) -> list[str]:
    names = available if option == "all" else option.split(",")
    unknown = sorted(set(names) - set(available))
    if unknown or not names:
        raise BadRequest(f"there is no {what} {', '.join(unknown)}; there are: {', '.join(available) or 'none'}")
    return names


def _server(home: Home) -> str:
    """Of this state's own UI; never whoever else listens on this machine."""
    own = running_ui(home)
    server = settings.DAGSTER_SERVER.get() or (own and own.pages["Dagster"]) or settings.DAGSTER_URL.get()
    if server is None:
        raise ServiceMissing(
            f"no UI runs on {home.root}: start `make ui` with the same {settings.HOME.name}, "
            f"or set {settings.DAGSTER_URL.name}"
        )
    return server


def _launch(server: str, assets: list[str], partitions: list[str]) -> str:
    """Ask the running UI's server, as its own page does; the daemon starts the runs."""
    params = {"assetSelection": [{"path": [name]} for name in assets], "partitionNames": partitions}
    body = {"query": _LAUNCH, "variables": {"params": params}}
    answer = post_json("Dagster's server", f"{server}/graphql", body, _TIMEOUT_SECONDS)
    launched = answer["data"]["launchPartitionBackfill"]
    if "backfillId" not in launched:
        raise BadRequest(f"Dagster refused the backfill: {launched.get('message', launched['__typename'])}")
    backfill: str = launched["backfillId"]
    return backfill
