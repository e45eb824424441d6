"""What every stage's asset has in common: its definition, and the way from a request to a materialization."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta

from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    Failure,
    FreshnessPolicy,
    MaterializeResult,
    MetadataValue,
    PythonObjectDagsterType,
    asset,
)

from korean_llm_assets.assets.conditions import data_condition, model_condition
from korean_llm_assets.assets.landing_assets import landing_key
from korean_llm_assets.assets.ledger import MADE_FROM, TRIED_TAG, identity
from korean_llm_assets.assets.presentation import describe
from korean_llm_assets.assets.recipe_assets import observe_recipe, recipe_key
from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.costs import cost_metadata
from korean_llm_assets.landing.quarantine import is_bad_data, quarantine, usable, usable_spec
from korean_llm_assets.partitions.keys import cell_of, partitions_of, stage_of
from korean_llm_assets.partitions.recipes import model_recipes, recipes
from korean_llm_assets.partitions.requests import as_input, made_from, stage_request
from korean_llm_assets.partitions.takedown_list import holders
from korean_llm_assets.resources import Platform
from trainers.contract import Artifact, Input, Manifest, Stage, StageError, settings

MODEL_TAG, RELEASE_TAG = "korean_llm/model", "korean_llm/release"
"""Of a run, whichever door it came in by: to filter by in Dagster's UI."""
_WARN_AFTER = 0.75
"""Of the time within which a drop is expected."""
_AssetFunction = Callable[..., MaterializeResult] | Callable[..., Iterator[MaterializeResult]]
_POINTER = PythonObjectDagsterType(Artifact, name="Artifact")


def stage_asset(
    *,
    group: str,
    kinds: set[str],
    check_specs: Sequence[AssetCheckSpec] = (),
) -> Callable[[_AssetFunction], AssetsDefinition]:
    """Define the asset of the stage that makes the decorated function's name; its docstring is the description."""

    def decorate(function: _AssetFunction) -> AssetsDefinition:
        stage = stage_of(function.__name__)
        definition = asset(
            partitions_def=partitions_of(stage),
            # Each release is made by the one recipe of the data; models find theirs by name.
            deps=[recipe_key(stage)]
            if stage.by_model
            else [AssetDep(recipe_key(stage), partition_mapping=AllPartitionMapping()), landing_key(stage.asset)],
            code_version=str(stage.version),
            group_name=group,
            kinds=kinds,
            owners=sorted({recipe.owner for recipe in model_recipes().values()}),
            description=function.__doc__,
            check_specs=[*check_specs, *([] if stage.by_model else [usable_spec(stage.asset)])],
            automation_condition=model_condition() if stage.by_model else data_condition(),
            freshness_policy=_freshness(stage),
            pool=group,
            config_schema=Overrides.to_fields_dict(),
            dagster_type=_POINTER,  # with check specs, Dagster would take a MaterializeResult for "no value"
        )(function)
        for check in definition.check_keys:
            output = definition.op.output_def_named(definition.get_output_name_for_asset_check_key(check))
            # A condition that a recipe does not set has no result, and so is not green; `asset` demands one, and only
            # a multi_asset that can be run in part, which this cannot, could say so.
            output._is_required = False
        return definition

    return decorate


def _freshness(stage: Stage) -> FreshnessPolicy | None:
    """What drops are made into, as often as they are expected; of models where one of them is made by itself."""
    days = settings.DROP_DAYS.get()
    is_by_itself = any(recipe.automation == "auto" for recipe in model_recipes().values())
    if days is None or not stage.by_release or (stage.by_model and not is_by_itself):
        return None
    return FreshnessPolicy.time_window(fail_window=timedelta(days=days), warn_window=timedelta(days=days) * _WARN_AFTER)


def make(context: AssetExecutionContext, platform: Platform, *inputs: Artifact | Input) -> Manifest:
    """Run the asset's stage on these inputs, or reuse what it made before.

    Raises:
        Failure: in words, when the stage cannot be run or did not succeed.
    """
    model, release = cell_of(context)
    stage = stage_of(context.asset_key.to_user_string())
    request_inputs = [item if isinstance(item, Input) else as_input(item) for item in inputs]
    taken_down = holders()
    if held := [item for item in request_inputs if item.digest in taken_down and not item.is_compared_with]:
        raise Failure(
            f"{held[0].path} holds documents that were taken down, or was made from them: it is read by nothing any "
            f"more. Materialize {held[0].path.split('/')[0]} again first",
            allow_retries=False,
        )
    try:
        request = stage_request(stage, model, release, request_inputs)
        observe_recipe(context.instance, recipes(), stage, model)
        # Should it fail, nobody tries the same again unasked.
        place = {MODEL_TAG: model, RELEASE_TAG: release}
        tags = {
            TRIED_TAG + stage.asset: identity(made_from(request)),
            **{tag: key for tag, key in place.items() if key},
        }
        context.instance.add_run_tags(context.run_id, tags)
        launch = Overrides.of(context)
        manifest = platform.store.reuse(request)
    except StageError as error:
        raise Failure(str(error), allow_retries=False) from error
    if manifest is None:
        manifest = platform.compute.run(context, request, launch)
        # Pipes, which carries the stage's messages, demands a result for every check, too.
        context.op_execution_context._step_execution_context._requires_typed_event_stream = False
        return manifest
    context.log.info(f"reused: {request.relative_path} is there and its files are what its manifest says")
    return manifest


def result(
    context: AssetExecutionContext,
    platform: Platform,
    manifest: Manifest,
    started: float,
    checks: Iterable[AssetCheckResult] = (),
) -> MaterializeResult:
    """The materialization of a manifest: pointer, data version, and what a person wants to see."""
    launch = Overrides.of(context)
    read = MetadataValue.json(made_from(manifest.request))
    spent = {
        **cost_metadata(manifest, platform.compute.price(launch)),
        **platform.compute.observed(manifest, launch),
    }
    return MaterializeResult(
        value=Artifact.of(manifest),
        data_version=DataVersion(manifest.digest),
        metadata={**describe(manifest, platform.store, started, time.time(), spent), MADE_FROM: read},
        check_results=list(checks),
    )


def materialize(context: AssetExecutionContext, platform: Platform, *inputs: Artifact | Input) -> MaterializeResult:
    """Make the asset's artifact from these inputs and say so; a drop that cannot be used is quarantined."""
    started = time.time()
    is_dropped = not stage_of(context.asset_key.to_user_string()).by_model
    try:
        manifest = make(context, platform, *inputs)
    except Failure as failure:
        if not (is_dropped and is_bad_data(failure)):
            raise
        owners = [item.inherited_from for item in inputs if isinstance(item, Input) and item.root == "landing"]
        raise quarantine(context, failure, *owners) from None
    return result(context, platform, manifest, started, [usable(manifest.details)] if is_dropped else ())
