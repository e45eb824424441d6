"""The recipes in the graph: what a recipe says of a stage, and of all before it, is an external asset.

Its data version is the digest of that, so that Dagster shows exactly the cells as outdated that a changed section will
change, and of that model only, which a code version (one for all partitions of an asset) cannot say. What the files say
is observed by the sensor `recipe_changes` and at the start of each step, unless it is what was observed last.
"""

from contextlib import suppress

from dagster import AssetKey, AssetSpec, DagsterInstance, MetadataValue, StaticPartitionsDefinition

from korean_llm_assets.assets.observation import observe
from korean_llm_assets.partitions.keys import models
from korean_llm_assets.partitions.recipes import DATA, Recipes
from korean_llm_assets.partitions.requests import recipe_digest
from trainers.contract import STAGES, BadRequest, Stage, sha256_of
from trainers.contract.recipe.loading import section_dict

_PREFIX = "recipe"
_DATA = StaticPartitionsDefinition([DATA])
"""Of one recipe; Dagster reads observations of external assets by partition only."""


def recipe_key(stage: Stage) -> AssetKey:
    """The asset that stands for what recipes say of a stage."""
    return AssetKey([_PREFIX, stage.name])


RECIPE_ASSETS = [
    AssetSpec(
        recipe_key(stage),
        description=f"What recipes say of `{stage.asset}`: the section `{stage.name}`, the seed, the version.",
        group_name="recipes",
        kinds={"yaml"},
        partitions_def=models if stage.by_model else _DATA,
    )
    for stage in STAGES.values()
]


def observe_recipe(instance: DagsterInstance, recipes: Recipes, stage: Stage, model: str | None) -> None:
    """Record what a recipe says of a stage, where that is news; a recipe that cannot be used says nothing."""
    recipe = recipes.of(model)
    if recipe is not None:
        digest, says = sha256_of(_lineage(recipes, stage, model)), section_dict(getattr(recipe, stage.name))
        observe(instance, recipe_key(stage), model or DATA, digest, {"says": MetadataValue.json(says)})


def _lineage(recipes: Recipes, stage: Stage, model: str | None) -> dict[str, str | None]:
    """What recipes say of a stage and of all that it reads: Dagster shows nothing as outdated by an upstream asset that
    has not been made again yet, and so everything that a changed section will change is shown at once."""
    recipe = recipes.of(model if stage.by_model else None)
    digests: dict[str, str | None] = {stage.name: recipe_digest(stage, recipe) if recipe else None}
    for name in stage.reads:
        digests |= _lineage(recipes, STAGES[name], model)
    return digests


def observe_recipes(instance: DagsterInstance, recipes: Recipes) -> None:
    """Record whatever is news in any recipe."""
    for stage in STAGES.values():
        for model in recipes.models if stage.by_model else (None,):
            with suppress(BadRequest):  # a plugin that is not there; `status` and the step itself say so
                observe_recipe(instance, recipes, stage, model)
