"""The recipes that the partitions are made of: one per model, and the one of the data assets."""

from functools import cache

from korean_llm_assets.partitions.takedown_list import taken_down
from trainers.contract import BadRequest
from trainers.contract.recipe import CorpusSection, ExportSection
from trainers.contract.recipe.loading import DataRecipe, ModelRecipe, load_data_recipe, load_model_recipes


@cache
def model_recipes() -> dict[str, ModelRecipe]:
    """All models' recipes, as they were when this process began."""
    return load_model_recipes()


@cache
def data_recipe() -> DataRecipe:
    """The recipe of the data assets and the take-down list, as they were when this process began."""
    recipe = load_data_recipe()
    corpus = recipe.section(CorpusSection)
    names = tuple(sorted({*corpus.takedown, *taken_down()}))
    return recipe.model_copy(update={"corpus": corpus.model_copy(update={"takedown": names})})


def registered_name(model: str | None) -> str:
    """The model's name in the registry.

    Raises:
        BadRequest: no recipe is named so.
    """
    recipes = model_recipes()
    if model not in recipes:
        raise BadRequest(f"there is no recipe of a model {model!r}; there are: {', '.join(sorted(recipes))}")
    return recipes[model].section(ExportSection).registered_name or model
