"""Building stage requests: recipe section + cell + upstream artifacts, in one place for every asset."""

from collections.abc import Iterable

from korean_llm_assets.partitions import data_recipe, model_recipes
from trainers.contract import STAGES, Artifact, Input, Stage, StageRequest, sha256_of
from trainers.recipe import Section, section_dict


def settings(stage: Stage, model: str | None) -> tuple[Section, int]:
    """The recipe's section for a stage, and its seed."""
    recipe = model_recipes()[model] if model else data_recipe()
    section: Section = getattr(recipe, stage.name)
    return section, recipe.seed


def stage_request(stage: Stage, model: str | None, release: str | None, inputs: Iterable[Input]) -> StageRequest:
    """What is asked of a stage for one cell."""
    section, seed = settings(stage, model)
    return StageRequest(
        stage=stage.name,
        stage_version=stage.version,
        model=model,
        release=release,
        section=section_dict(section),
        seed=seed,
        inputs=tuple(inputs),
        needs=section.needs,
    )


def as_input(artifact: Artifact, name: str | None = None) -> Input:
    """An upstream artifact as a request's input, named by the asset it comes from."""
    return Input(name=name or STAGES[artifact.stage].asset, digest=artifact.digest, path=artifact.path)


def code_version(stage: Stage) -> str:
    """Dagster's code version of a stage's asset: the stage's version and what every recipe says of it."""
    names = sorted(model_recipes()) if stage.by_model else [None]
    sections = {name or "data": section_dict(settings(stage, name)[0]) for name in names}
    return f"{stage.version}-{sha256_of(sections)[:12]}"
