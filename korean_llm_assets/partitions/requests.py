"""Building stage requests: recipe section + cell + upstream artifacts, in one place for every asset."""

from collections.abc import Iterable
from typing import Any

from korean_llm_assets.partitions.recipes import data_recipe, model_recipes
from trainers.contract import STAGES, Artifact, Input, Stage, StageRequest, sha256_of
from trainers.contract.recipe import Section
from trainers.contract.recipe.loading import section_dict


def section_and_seed(stage: Stage, model: str | None) -> tuple[Section, int]:
    """The recipe's section for a stage, and its seed."""
    recipe = model_recipes()[model] if model else data_recipe()
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
        inputs=tuple(inputs),
        needs=section.needs,
    )


def as_input(artifact: Artifact, name: str | None = None, only: tuple[str, ...] = ()) -> Input:
    """An upstream artifact as a request's input, named by the asset it comes from; `only` where not all is read."""
    return Input(name=name or STAGES[artifact.stage].asset, digest=artifact.digest, path=artifact.path, only=only)


def code_version(stage: Stage) -> str:
    """Dagster's code version of a stage's asset: its version, and what every recipe says of it and of what it reads.

    Dagster shows an asset as stale for its own code version, not for that of an upstream asset which has not been
    made again yet. Counting the upstream sections in shows at once everything that a changed recipe will change.
    """
    return f"{stage.version}-{sha256_of(_lineage(stage))[:12]}"


def _lineage(stage: Stage) -> dict[str, Any]:
    names = sorted(model_recipes()) if stage.by_model else [None]
    sections = {name or "data": section_and_seed(stage, name)[0] for name in names}
    plugins = {name: digest for section in sections.values() for name, digest in section.plugin_digests.items()}
    return {
        **({"plugins": plugins} if plugins else {}),
        "version": stage.version,
        "sections": {name: section_dict(section) for name, section in sections.items()},
        "reads": {name: _lineage(STAGES[name]) for name in stage.reads},
    }
