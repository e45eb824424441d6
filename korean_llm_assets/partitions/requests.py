"""Building stage requests: recipe section + cell + upstream artifacts, in one place for every asset."""

from collections.abc import Iterable, Mapping
from typing import Any

from korean_llm_assets.partitions.recipes import data_recipe, model_recipe
from trainers.contract import STAGES, Artifact, Input, Stage, StageRequest, sha256_of
from trainers.contract.recipe import Section
from trainers.contract.recipe.loading import Recipe, section_dict

RECIPE = "recipe"
"""Stands for the recipe among what something was made from."""


def section_and_seed(stage: Stage, model: str | None) -> tuple[Section, int]:
    """The recipe's section for a stage, and its seed.

    Raises:
        BadRequest: the model's recipe is not there, or cannot be used.
    """
    recipe = model_recipe(model) if model else data_recipe()
    section: Section = getattr(recipe, stage.name)
    return section, recipe.seed


def stage_request(stage: Stage, model: str | None, release: str | None, inputs: Iterable[Input]) -> StageRequest:
    """What is asked of a stage for one cell."""
    section, seed = section_and_seed(stage, model)
    return StageRequest(
        stage=stage.name,
        stage_version=stage.version,
        model=model,
        release=release,
        section=section_dict(section),
        seed=seed,
        plugins=section.plugin_digests,
        files=section.local_digests,
        inputs=tuple(inputs),
        needs=section.needs,
    )


def as_input(artifact: Artifact, name: str | None = None, only: tuple[str, ...] = ()) -> Input:
    """An upstream artifact as a request's input, named by the asset it comes from; `only` where not all is read."""
    return Input(name=name or STAGES[artifact.stage].asset, digest=artifact.digest, path=artifact.path, only=only)


def recipe_digest(stage: Stage, recipe: Recipe) -> str:
    """Digest of what a recipe says of a stage, and of the stage's version: another one gives another result."""
    section: Section = getattr(recipe, stage.name)
    return _digest(stage.version, section_dict(section), recipe.seed, section.plugin_digests)


def made_from(request: StageRequest) -> dict[str, str]:
    """Asset -> version of what a request reads along the edges of the graph; the recipe is the edge `RECIPE`."""
    sources = {STAGES[name].asset for name in STAGES[request.stage].reads}
    versions = {item.name: item.digest for item in request.inputs if item.name in sources}
    return {**versions, RECIPE: _digest(request.stage_version, request.section, request.seed, request.plugins)}


def _digest(version: int, section: Mapping[str, Any], seed: int, plugins: Mapping[str, str]) -> str:
    parts = {"version": version, "section": section, "seed": seed}
    return sha256_of({**parts, **({"plugins": plugins} if plugins else {})})
