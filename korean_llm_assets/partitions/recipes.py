"""The recipes that the partitions are made of: one per model, and the one of the data assets."""

from dataclasses import dataclass
from functools import cache, lru_cache

from korean_llm_assets.partitions.takedown_list import takedown_file, taken_down
from trainers.contract import STAGES, BadRequest, settings
from trainers.contract.recipe import DataSection, ExportSection
from trainers.contract.recipe.loading import (
    DataRecipe,
    ModelRecipe,
    load_data_recipe,
    read_model_recipes,
    recipe_folders,
)

DATA = "corpus"
"""What the recipe of the data assets is called."""


@dataclass(frozen=True)
class Recipes:
    """What the recipe files say at one moment.

    Args:
        models: by name.
        data: the one of the data assets; None where it cannot be used.
        problems: name -> why it cannot be used, in words.
    """

    models: dict[str, ModelRecipe]
    data: DataRecipe | None
    problems: dict[str, str]

    def of(self, model: str | None) -> ModelRecipe | DataRecipe | None:
        """The recipe of a model, or, without one, of the data assets; None where it cannot be used."""
        return self.models.get(model) if model else self.data


def recipes_now() -> Recipes:
    """The recipes as the files are at this moment, which are read again where one of them changed."""
    files = [path for folder in recipe_folders() for path in sorted(folder.glob("*.yaml"))]
    stamps = ((path, path.stat()) for path in (*files, takedown_file()) if path.exists())
    seen = tuple((str(path), stamp.st_mtime_ns, stamp.st_size) for path, stamp in stamps)
    return _read((seen, settings.MODELS.get(), tuple(STAGES)))


@lru_cache(maxsize=1)
def _read(seen: object) -> Recipes:
    """Read all files; `seen` is what they look like without reading them."""
    models, problems = read_model_recipes()
    try:
        data = _with_takedown(load_data_recipe())
    except BadRequest as error:
        return Recipes(models, None, {**problems, DATA: str(error)})
    return Recipes(models, data, problems)


@cache
def recipes() -> Recipes:
    """The recipes as they were when this process began: a run keeps to one state of them."""
    return recipes_now()


def model_recipes() -> dict[str, ModelRecipe]:
    """The models' recipes that can be used, as they were when this process began."""
    return recipes().models


def model_recipe(model: str) -> ModelRecipe:
    """One model's recipe.

    Raises:
        BadRequest: there is none of that name, or it cannot be used.
    """
    there = recipes()
    if model in there.models:
        return there.models[model]
    raise BadRequest(
        there.problems.get(model, f"there is no recipe of a model {model!r}; there are: {', '.join(there.models)}")
    )


def data_recipe() -> DataRecipe:
    """The recipe of the data assets and the take-down list.

    Raises:
        BadRequest: it cannot be used.
    """
    there = recipes()
    if there.data is None:
        raise BadRequest(there.problems[DATA])
    return there.data


def _with_takedown(recipe: DataRecipe) -> DataRecipe:
    """The recipe, and in each of its sections what the take-down list names."""
    listed = taken_down()
    sections = {name: section for name, section in recipe if isinstance(section, DataSection)}
    names = {name: tuple(sorted({*section.takedown, *listed})) for name, section in sections.items()}
    changed = {name: section.model_copy(update={"takedown": names[name]}) for name, section in sections.items()}
    return recipe.model_copy(update=changed)


def registered_name(model: str) -> str:
    """The model's name in the registry.

    Raises:
        BadRequest: there is no recipe of that name, or it cannot be used.
    """
    return model_recipe(model).section(ExportSection).registered_name or model
