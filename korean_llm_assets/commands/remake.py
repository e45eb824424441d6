"""Commands `costs` and `remake`: what was spent, and a backfill that says what it costs before it starts."""

import json
import os
from argparse import Namespace
from urllib.error import URLError
from urllib.request import Request, urlopen

from dagster import DagsterInstance

from korean_llm_assets.compute.profiles import Price, load_profile
from korean_llm_assets.costs import estimate, estimate_table, report, spent
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.keys import cell_key, model_recipes, releases, stage_of
from trainers.contract import STAGES, BadRequest, ServiceMissing
from trainers.contract.artifacts import ArtifactStore

_LAUNCH = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_TIMEOUT_SECONDS = 60


def costs(options: Namespace, home: Home) -> int:
    """Totals by model and release; also kept as costs.md."""
    text = report(spent(ArtifactStore(home.artifacts)), _price(options))
    (home.root / "costs.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def remake(options: Namespace, home: Home) -> int:
    """Show what it costs to make assets again for models and releases; `--yes` starts it as one backfill."""
    assets = [_asset(name) for name in options.assets.split(",")]
    models = _chosen("model", options.models, sorted(model_recipes()))
    with DagsterInstance.get() as instance:
        known = list(instance.get_dynamic_partitions(releases.name or ""))
    chosen = _chosen("release", options.releases, known)
    past = list(spent(ArtifactStore(home.artifacts)))
    estimates = [row for model in models for row in estimate(assets, model, past)]
    print(estimate_table(estimates, len(chosen), _price(options).gpu))
    if not options.yes:
        print("nothing was started; the same with --yes starts it")
        return 0
    names = [str(cell_key(model, release)) for model in models for release in chosen]
    print(f"backfill {_launch(assets, names)} of {len(names)} partitions started")
    return 0


def _price(options: Namespace) -> Price:
    """What the command line says, else the cluster profile's (KOREAN_LLM_PROFILE; on a laptop, the guide's cluster)."""
    if options.price is not None:
        return Price(gpu=options.price)
    return load_profile(os.environ.get("KOREAN_LLM_PROFILE", "h100")).price


def _asset(name: str) -> str:
    able = [stage.asset for stage in STAGES.values() if stage.by_model and stage.by_release]
    if name not in able:
        raise BadRequest(f"asset {name!r} is not made by model and release; these are: {', '.join(able)}")
    return stage_of(name).asset


def _chosen(what: str, wanted: str, known: list[str]) -> list[str]:
    names = known if wanted == "all" else wanted.split(",")
    unknown = sorted(set(names) - set(known))
    if unknown or not names:
        raise BadRequest(f"there is no {what} {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    return names


def _launch(assets: list[str], partitions: list[str]) -> str:
    """Ask the running UI's server, as its own page does; the daemon starts the runs."""
    page = os.environ.get("KOREAN_LLM_DAGSTER_URL", "http://127.0.0.1:3000")
    params = {"assetSelection": [{"path": [name]} for name in assets], "partitionNames": partitions}
    body = json.dumps({"query": _LAUNCH, "variables": {"params": params}}).encode()
    try:
        request = Request(f"{page}/graphql", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            launched = json.load(answer)["data"]["launchPartitionBackfill"]
    except (URLError, TimeoutError, ConnectionError) as error:
        raise ServiceMissing(
            f"Dagster's server at {page} does not answer ({error}); start `make ui`, or set KOREAN_LLM_DAGSTER_URL"
        ) from error
    if "backfillId" not in launched:
        raise BadRequest(f"Dagster refused the backfill: {launched.get('message', launched['__typename'])}")
    backfill: str = launched["backfillId"]
    return backfill
