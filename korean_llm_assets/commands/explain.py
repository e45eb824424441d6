"""Command `explain`: why each stage of a model on a release is as it is, what would be made, and what that costs."""

from argparse import Namespace
from functools import partial
from typing import Any

from dagster import DagsterInstance

from korean_llm_assets.assets.states import Board, State
from korean_llm_assets.commands.costs import add_price, estimate_lines, price, profile
from korean_llm_assets.commands.korean import label
from korean_llm_assets.commands.printing import add_output, print_json, table
from korean_llm_assets.costs import all_costs, estimate
from korean_llm_assets.home import Home
from korean_llm_assets.partitions.differences import recipe_changes
from korean_llm_assets.partitions.keys import model_and_release
from korean_llm_assets.partitions.recipes import model_recipe
from korean_llm_assets.partitions.requests import section_and_seed
from trainers.contract import BadRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.loading import section_dict


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("explain", help="why a model on a release is as it is, and what making it costs")
    parser.add_argument("model")
    parser.add_argument("release")
    add_output(parser)
    add_price(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Every stage with its state and reason, changed recipe values, what would be made again, hours and money."""
    model, release = options.model, options.release
    model_recipe(model)
    store = ArtifactStore(home.artifacts)
    with DagsterInstance.get() as instance:
        board = Board.of(instance, store)
    if release not in board.ledger.releases:
        there = ", ".join(board.ledger.releases) or "none"
        raise BadRequest(f"there is no release {release!r}; there are: {there}")
    states = list(board.lineage(model, release))
    changed = {state.stage.asset: keys for state in states if (keys := _recipe_changes(board, state))}
    assets = _to_make(states)
    pool = profile().gpu_pool
    estimates = estimate(assets, model, list(all_costs(store)), pool.gpu if pool else None)
    if options.json:
        print_json(
            {
                "stages": [state.to_json(price(options)) for state in states],
                "recipe": changed,
                "would be made": [vars(row) for row in estimates],
            }
        )
        return 0
    words = partial(label, language=options.lang)
    print("\n".join(table(("asset", "state", "figure", "why"), [_row(state) for state in states], options.lang)))
    for asset, keys in changed.items():
        print(f"\n{words('the recipe changed')}: {asset}")
        for key, (before, after) in keys.items():
            print(f"  {key}: {before} -> {after}")
    if not assets:
        print("\n" + words("nothing would be made: all of it is there, and made from what is there now"))
        return 0
    print(f"\n{words('would be made (what follows a stage that changes, too)')}:")
    print("\n".join(estimate_lines(estimates, 1, price(options).gpu, options.lang)))
    return 0


def _row(state: State) -> list[str]:
    return [state.stage.asset, state.kind, state.figure, state.why]


def _recipe_changes(board: Board, state: State) -> dict[str, tuple[Any, Any]]:
    """Key of the recipe -> (as this was made, as it is now)."""
    if state.manifest is None or board.ledger.recipe(state.stage, state.partition) is None:
        return {}
    model, _ = model_and_release(state.stage, state.partition)
    section, seed = section_and_seed(state.stage, model)
    now = {"section": section_dict(section), "seed": seed, "stage_version": state.stage.version}
    return recipe_changes(state.manifest.request, state.manifest.request.model_copy(update=now))


def _to_make(states: list[State]) -> list[str]:
    """The model's assets that are not as they would be made now, and those that read them."""
    assets: list[str] = []
    stale = {state.stage.name for state in states if state.kind != "made"}
    for state in states:
        if state.stage.name in stale or stale.intersection(state.stage.reads):
            stale.add(state.stage.name)
            if state.stage.by_model:
                assets.append(state.stage.asset)
    return assets
