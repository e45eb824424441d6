"""Recipe files: their pages, where they are, and how their errors are told (file, key, what is allowed)."""

from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, create_model

from trainers.contract.exits import BadRequest
from trainers.contract.plain_yaml import read_yaml
from trainers.contract.recipe.section import Section, Strict
from trainers.contract.settings import MODELS, RECIPES
from trainers.contract.stages import STAGES

PACKAGED = Path(__file__).parents[2] / "recipes"
"""The recipes that come with us."""
_DATA_RECIPE = "corpus"
_S = TypeVar("_S", bound=Section)


class Recipe(Strict):
    """One page. Its other keys are the stages' sections, each of its stage's type (trainers/contract/stages.py)."""

    seed: int = Field(default=42, description="of everything that is drawn at random; part of every request")

    def section(self, kind: type[_S]) -> _S:
        """The section of that type."""
        return next(section for name in type(self).model_fields if isinstance(section := getattr(self, name), kind))


_R = TypeVar("_R", bound=Recipe)


class DataRecipe(Recipe):
    """`corpus.yaml`: the one recipe of the data assets."""


class ModelRecipe(Recipe):
    """`<model>.yaml`: one complete run of one model."""

    model: str = Field(description="its name: the file's, without .yaml")
    description: str = Field(default="", description="one sentence for people")
    owner: str = Field(default="team:korean-llm", description="who answers for it: team:NAME, or a mail address")
    automation: Literal["auto", "ask", "off"] = Field(
        default="ask",
        description="auto: new data and changed recipes re-make it unattended; ask: what would be made is proposed, "
        "and made once a person starts it; off: nothing at all, it is made by hand only",
    )
    share: float = Field(
        default=1,
        gt=0,
        exclude=True,
        description="of the GPUs, against other models that wait too: 2 gets twice as many hours as 1. It changes no "
        "result and is part of no digest",
    )


def model_page() -> type[ModelRecipe]:
    """`ModelRecipe` with the sections of all stages that are by model."""
    return create_model("ModelRecipe", __base__=ModelRecipe, __doc__=ModelRecipe.__doc__, **_sections(by_model=True))


def data_page() -> type[DataRecipe]:
    """`DataRecipe` with the sections of all other stages."""
    return create_model("DataRecipe", __base__=DataRecipe, __doc__=DataRecipe.__doc__, **_sections(by_model=False))


def _sections(by_model: bool) -> dict[str, Any]:
    """Key -> (type, default): a section with a key that has no default must be there."""
    kinds = {stage.name: stage.section for stage in STAGES.values() if stage.by_model == by_model}
    complete = {name: not any(key.is_required() for key in kind.model_fields.values()) for name, kind in kinds.items()}
    return {name: (kind, kind() if complete[name] else ...) for name, kind in kinds.items()}


def recipe_folders() -> list[Path]:
    """The packaged recipes, and the user's own folder where KOREAN_LLM_RECIPES names one.

    Raises:
        BadRequest: the named folder is not there.
    """
    folder = RECIPES.get()
    return [PACKAGED, *([folder] if folder else [])]


def load_model_recipe(path: Path) -> ModelRecipe:
    """Read one model's recipe; its file name must be its model's name."""
    recipe = _load(path, model_page())
    if recipe.model != path.stem:
        raise BadRequest(f"{path}: key 'model' says {recipe.model!r}; it must be the file's name, {path.stem!r}")
    return recipe


def read_model_recipes() -> tuple[dict[str, ModelRecipe], dict[str, str]]:
    """All models' recipes by name, and why each of the others cannot be used, in words.

    A user's file replaces a packaged one of the same name. Where KOREAN_LLM_MODELS names some, there are no others.
    """
    paths = {path.stem: path for folder in recipe_folders() for path in sorted(folder.glob("*.yaml"))}
    del paths[_DATA_RECIPE]
    chosen = MODELS.get() or tuple(paths)
    recipes: dict[str, ModelRecipe] = {}
    problems: dict[str, str] = {}
    for name in chosen:
        try:
            if name not in paths:
                raise BadRequest(
                    f"{MODELS.name} names {name!r}, but no recipe is; there are: {', '.join(sorted(paths))}"
                )
            recipes[name] = load_model_recipe(paths[name])
        except BadRequest as error:
            problems[name] = str(error)
    return recipes, problems


def load_model_recipes() -> dict[str, ModelRecipe]:
    """All models' recipes by name.

    Raises:
        BadRequest: one of them cannot be used.
    """
    recipes, problems = read_model_recipes()
    if problems:
        raise BadRequest("\n".join(problems.values()))
    return recipes


def load_data_recipe() -> DataRecipe:
    """The recipe of the data assets; the user's own `corpus.yaml` where there is one."""
    candidates = [folder / f"{_DATA_RECIPE}.yaml" for folder in recipe_folders()]
    return _load([path for path in candidates if path.exists()][-1], data_page())


def section_dict(section: Section) -> dict[str, Any]:
    """The section as it travels in a request: without `needs`, and without keys at their default, but for what those
    leave open.

    Leaving defaults out keeps digests stable when a later version adds a key; a changed default
    changes results, and so raises the stage's version.
    """
    return section.model_dump(mode="json", exclude={"needs"}, exclude_defaults=True) | section.settled


def _load(path: Path, kind: type[_R]) -> _R:
    try:
        data = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadRequest(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(data, dict):
        raise BadRequest(f"{path}: a recipe is a mapping of sections; allowed: {', '.join(kind.model_fields)}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        lines = [_explain(kind, problem) for problem in error.errors()]
        raise BadRequest("\n".join(f"{path}: {line}" for line in lines)) from error


def named_recipe(name: str) -> ModelRecipe:
    """A recipe by its name, or by its file (.yaml).

    Raises:
        BadRequest: there is none, or it is wrong.
    """
    if name.endswith(".yaml"):
        return load_model_recipe(Path(name))
    recipes = load_model_recipes()
    if name not in recipes:
        raise BadRequest(f"there is no recipe {name!r}; there are: {', '.join(recipes)}, or name a .yaml file")
    return recipes[name]


def _explain(kind: type[BaseModel], problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location) or "(top level)"
    if problem["type"] == "extra_forbidden":
        owner = _model_at(kind, location[:-1])
        allowed = ", ".join(owner.model_fields) if owner else "see trainers/RECIPES.md"
        return f"unknown key {key!r}; allowed here: {allowed}"
    if problem["type"] == "missing":
        return f"key {key!r} is required"
    value = "" if isinstance(problem["input"], dict) else f" (given: {problem['input']!r})"
    if problem["type"] in ("string_type", "literal_error") and isinstance(problem["input"], bool | int | float):
        value += ": YAML reads it as no text; put it in quotes"
    return f"key {key!r}: {problem['msg'].removeprefix('Value error, ')}{value}"


def _model_at(kind: type[BaseModel], location: list[str]) -> type[BaseModel] | None:
    for part in location:
        field = kind.model_fields.get(part)
        if field is None:
            continue  # a tag of a union or an index of a list, not a key
        nested = [t for t in (field.annotation, *get_args(field.annotation)) if _is_model(t)]
        if not nested:
            return None
        kind = nested[0]
    return kind


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)
