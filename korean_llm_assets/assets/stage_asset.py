"""What every stage's asset has in common: its definition, and the way from a request to a materialization."""

import time
from collections.abc import Callable, Iterable, Sequence

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    Failure,
    MaterializeResult,
    PythonObjectDagsterType,
    asset,
)

from korean_llm_assets.assets.conditions import data_condition, model_condition
from korean_llm_assets.assets.presentation import describe
from korean_llm_assets.compute.overrides import Overrides
from korean_llm_assets.costs import cost_metadata
from korean_llm_assets.landing.quarantine import is_bad_data, quarantine, usable, usable_spec
from korean_llm_assets.partitions.keys import cell_of, partitions_of, stage_of
from korean_llm_assets.partitions.recipes import model_recipes
from korean_llm_assets.partitions.requests import as_input, code_version, stage_request
from korean_llm_assets.resources import Platform
from trainers.contract import Artifact, Input, Manifest, StageError

_POINTER = PythonObjectDagsterType(Artifact, name="Artifact")


def stage_asset(
    *,
    group: str,
    kinds: set[str],
    check_specs: Sequence[AssetCheckSpec] = (),
) -> Callable[[Callable[..., MaterializeResult]], AssetsDefinition]:
    """Define the asset of the stage that makes the decorated function's name; its docstring is the description."""

    def decorate(function: Callable[..., MaterializeResult]) -> AssetsDefinition:
        stage = stage_of(function.__name__)
        return asset(
            partitions_def=partitions_of(stage),
            code_version=code_version(stage),
            group_name=group,
            kinds=kinds,
            owners=sorted({recipe.owner for recipe in model_recipes().values()}),
            description=function.__doc__,
            check_specs=[*check_specs, *([] if stage.by_model else [usable_spec(stage.asset)])],
            automation_condition=model_condition() if stage.by_model else data_condition(),
            pool=group,
            config_schema=Overrides.to_fields_dict(),
            dagster_type=_POINTER,  # with check specs, Dagster would take a MaterializeResult for "no value"
        )(function)

    return decorate


def make(context: AssetExecutionContext, platform: Platform, *inputs: Artifact | Input) -> Manifest:
    """Run the asset's stage on these inputs, or reuse what it made before.

    Raises:
        Failure: in words, when the stage cannot be run or did not succeed.
    """
    model, release = cell_of(context)
    stage = stage_of(context.asset_key.to_user_string())
    request_inputs = [item if isinstance(item, Input) else as_input(item) for item in inputs]
    request = stage_request(stage, model, release, request_inputs)
    try:
        launch = Overrides.of(context)
        manifest = platform.store.find(request)
    except StageError as error:
        raise Failure(str(error), allow_retries=False) from error
    if manifest is None:
        return platform.compute.run(context, request, launch)
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
    described = describe(manifest, platform.store, started, time.time())
    costs = cost_metadata(manifest, platform.compute.price(launch))
    return MaterializeResult(
        value=Artifact.of(manifest),
        data_version=DataVersion(manifest.digest),
        metadata={**described, **costs, **platform.compute.observed(manifest, launch)},
        check_results=list(checks),
    )


def materialize(context: AssetExecutionContext, platform: Platform, *inputs: Artifact | Input) -> MaterializeResult:
    """Make the asset's artifact from these inputs and say so; a drop that cannot be used is quarantined."""
    started = time.time()
    is_dropped = not stage_of(context.asset_key.to_user_string()).by_model
    try:
        manifest = make(context, platform, *inputs)
    except Failure as failure:
        raise (quarantine(context, failure) if is_dropped and is_bad_data(failure) else failure) from None
    return result(context, platform, manifest, started, [usable()] if is_dropped else ())
