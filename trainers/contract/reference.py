"""The reference pages in Markdown, made from the types: every key of a recipe, and every variable of ours.

They are kept as trainers/RECIPES.md and trainers/SETTINGS.md; a test holds them against what is made here.
"""

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from trainers.contract.needs import Needs
from trainers.contract.plain_yaml import read_yaml
from trainers.contract.recipe.filters import RULES, FilterSettings
from trainers.contract.recipe.loading import PACKAGED, DataRecipe, ModelRecipe
from trainers.contract.recipe.section import Section
from trainers.contract.settings import TABLE
from trainers.contract.stages import STAGES, Stage
from trainers.contract.variable import Group, Variable

_NONE = "–"
_WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_RECIPES = """# Recipes: every key

{note}

A model's recipe is one page of YAML, `<model>.yaml`: its name, and one section for each stage. The data assets share
one recipe, `corpus.yaml`. A key that is left out has its default. An unknown key, one that would be ignored and an
impossible combination are errors that name the file, the key and what is allowed.
Whole pages to start from: [recipes/](recipes/).
"""
_SETTINGS = """# Settings: every variable

{note}

What a run is made of stands in its recipe ([RECIPES.md](RECIPES.md)); where it runs and where things lie is said by
environment variables. Each is read when it is needed. One that is set to nothing counts as unset, where the table says
nothing else; a value of the wrong type is an error that names the variable and what is allowed (exit 64). The value of
one marked **secret** is never shown; on a cluster it comes from a Secret.
`python -m korean_llm_assets check` tells of variables that look like these and that nothing reads.
"""


def recipes_page() -> str:
    """RECIPES.md."""
    return _page("recipes", _RECIPES, _Recipes().lines())


def settings_page() -> str:
    """SETTINGS.md."""
    return _page("settings", _SETTINGS, _settings())


PAGES = {"recipes": recipes_page, "settings": settings_page}
"""By the name that `python -m trainers reference` takes."""


def meaning(kind: type[BaseModel], key: str) -> str:
    """What a key is, in words: its description, else that of the part that it holds; empty where nobody says."""
    field = kind.model_fields[key]
    part = _part_in(field.annotation)
    words = field.description or (_about(part) if part else "")
    reasons = [f"`{rule.name}`" for name, rule in RULES if name == key] if kind is FilterSettings else []
    return f"{words}; excludes as {' or '.join(reasons)}" if reasons else words


class _Recipes:
    """The page's lines; a part that several sections have is written out once, and linked to."""

    def __init__(self) -> None:
        self._places: dict[type[BaseModel], str] = {Needs: "needs"}

    def lines(self) -> Iterator[str]:
        yield from self._page(ModelRecipe, "A model: `<model>.yaml`", by_model=True, example="qwen2.5-7b")
        yield from self._page(DataRecipe, "The data: `corpus.yaml`", by_model=False, example="corpus")
        yield from ("## `needs`", "", f"In every section. {_about(Needs)}", "")
        yield from self._keys(Needs, "needs")

    def _page(self, kind: type[BaseModel], title: str, by_model: bool, example: str) -> Iterator[str]:
        stages = [stage for stage in STAGES.values() if stage.by_model == by_model]
        yield from (f"## {title}", "")
        yield from self._keys(kind, "")
        yield from (f"Sections, one a stage: {', '.join(_link(stage.name) for stage in stages)}.", "")
        for stage in stages:
            base = _base(stage.section)
            if base is not Section and base not in self._places:
                users = ", ".join(f"`{other.name}`" for other in stages if issubclass(other.section, base))
                self._places[base] = f"common to {users}"
                yield from (f"### Keys {self._places[base]}", "", _about(base), "")
                yield from self._keys(base, "")
            yield from self._section(stage, example)

    def _section(self, stage: Stage, example: str) -> Iterator[str]:
        base = _base(stage.section)
        made_of = f" from {', '.join(f'`{STAGES[name].asset}`' for name in stage.reads)}" if stage.reads else ""
        yield from (f"### `{stage.name}`", "", f"{_about(stage.section)} Makes `{stage.asset}`{made_of}.", "")
        if base is not Section:
            more = ", and:" if _own(stage.section) else "."
            yield from (f"Its keys: those {_link(self._places[base], code=False)}{more}", "")
        yield from self._keys(stage.section, stage.name)
        path = PACKAGED / f"{example}.yaml"
        text = path.read_text(encoding="utf-8")
        if read_yaml(text)[stage.name].keys() - {"needs"}:
            (section,) = re.findall(rf"^{stage.name}:.*\n(?: .*\n?)*", text, re.MULTILINE)
            yield from (f"In [{path.name}](recipes/{path.name}):", "", "```yaml", section.rstrip(), "```", "")

    def _keys(self, kind: type[BaseModel], place: str) -> Iterator[str]:
        """The table of a part's own keys, and below it the parts in it that no other place has shown."""
        keys = _own(kind)
        if not keys:
            return
        schema = kind.model_json_schema()
        parts = {key: part for key in keys if (part := _part_in(kind.model_fields[key].annotation))}
        new = {key: part for key, part in parts.items() if part not in self._places}
        for key, part in new.items():
            self._places.setdefault(part, f"{place}.{key}".lstrip("."))
        rows = []
        for key in keys:
            node = schema["properties"][key]
            link = _link(self._places[parts[key]]) if key in parts else ""
            default = _default(node) if key not in schema.get("required", ()) else "**needed**"
            rows.append((f"`{key}`", _type(node, link), default, meaning(kind, key)))
        yield from _table(("key", "value", "default", "meaning"), rows)
        for part in new.values():
            yield from (f"#### `{self._places[part]}`", "", _about(part), "")
            yield from self._keys(part, self._places[part])


def _settings() -> Iterator[str]:
    for group in Group:
        yield from (f"## {group}", "")
        yield from _table(
            ("variable", "value", "default", "read by", "meaning"),
            [
                (f"`{one.name}`", one.kind.allowed, _default_of(one), one.readers, _meaning_of(one))
                for one in TABLE.values()
                if one.group == group
            ],
        )


def _default_of(variable: Variable[Any]) -> str:
    default = variable.default
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`" if default else _NONE


def _meaning_of(variable: Variable[Any]) -> str:
    return f"{variable.meaning}. **Secret**" if variable.secret else variable.meaning


def _page(name: str, head: str, lines: Iterable[str]) -> str:
    path = f"trainers/{name.upper()}.md"
    note = f"<!-- Generated; a test holds it fresh. To make it again: python -m trainers reference {name} > {path} -->"
    return "\n".join([head.format(note=note), *lines]).rstrip() + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Unlike `markdown.table`, of words of our own, which hold code and links."""
    for row in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _link(place: str, code: bool = True) -> str:
    anchor = re.sub(r"[^\w -]", "", place.lower()).replace(" ", "-")
    return f"[`{place}`](#{anchor})" if code else f"[{place}](#keys-{anchor})"


def _about(kind: type[BaseModel]) -> str:
    """The first paragraph of its docstring."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def _base(kind: type[Section]) -> type[Section]:
    """What it has in common with other sections."""
    base: type[Section] = kind.__bases__[0]
    return base


def _own(kind: type[BaseModel]) -> list[str]:
    """Its keys without those of the kind that it extends."""
    inherited = _base(kind).model_fields if issubclass(kind, Section) else {}
    return [key for key in kind.model_fields if key not in inherited]


def _part_in(annotation: Any) -> type[BaseModel] | None:
    """The part of a recipe that a key holds, alone or in a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((part for inner in get_args(annotation) if (part := _part_in(inner))), None)


def _default(node: dict[str, Any]) -> str:
    if "$ref" in node:
        return "its defaults"
    value = node.get("default")
    if value in (None, "", [], {}):
        return _NONE
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def _type(node: dict[str, Any], link: str) -> str:
    """A type of JSON schema in words; `link` stands for a part of a recipe."""
    match node:
        case {"$ref": _}:
            return link
        case {"anyOf": list(choices)}:
            return " or ".join(_type(one, link) for one in choices if one != {"type": "null"})
        case {"enum": list(values)}:
            return ", ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{value}`"
        case {"prefixItems": list(items)}:
            return f"list of {len(items)}: {', '.join(_type(item, link) for item in items)}"
        case {"items": dict(item)}:
            return f"list of {_type(item, link)}"
        case {"type": "object"}:
            (value,) = node.get("patternProperties", {"": node.get("additionalProperties", {})}).values()
            name = _type(node["propertyNames"], "") if "propertyNames" in node else "name"
            return f"mapping: {name} → {_type(value, link)}"
        case {"minimum": least, "maximum": most}:
            return f"{_WORDS[node['type']]}, {least} to {most}"
        case {"pattern": pattern}:
            return f"text like `{pattern}`"
    limits = ", ".join(f"{sign} {node[name]}" for name, sign in _LIMITS.items() if name in node)
    return f"{_WORDS[node['type']]} {limits}".rstrip()
