"""The reference pages: fresh, complete, and readable as Markdown."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, Field

from tests.conftest import ROOT
from trainers.__main__ import main
from trainers.contract.needs import Needs
from trainers.contract.recipe.filters import FilterSettings
from trainers.contract.recipe.loading import data_page, model_page
from trainers.contract.recipe.section import Strict
from trainers.contract.reference import PAGES, meaning
from trainers.contract.settings import TABLE


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_fresh(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference", name]) == 0
    path = ROOT / "trainers" / f"{name.upper()}.md"
    assert path.read_text(encoding="utf-8") == capsys.readouterr().out, (
        f"run: python -m trainers reference {name} > {path.relative_to(ROOT)}"
    )


def parts(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A part of a recipe, and all parts in it."""
    yield kind
    for field in kind.model_fields.values():
        for inner in kinds_in(field.annotation):
            yield from parts(inner)


def kinds_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from kinds_in(inner)


EVERY_PART = sorted({*parts(model_page()), *parts(data_page())}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", EVERY_PART, ids=lambda kind: kind.__name__)
def test_every_key_of_every_section_has_a_meaning(kind: type[BaseModel]) -> None:
    silent = [key for key in kind.model_fields if len(meaning(kind, key)) < 4]
    assert not silent, f'{kind.__name__}: give each of these keys a Field(description="..."): {silent}'


def test_a_key_without_a_meaning_is_seen() -> None:
    class Silent(Strict):
        described: int = Field(default=1, description="how many")
        silent: int = 1

    assert [meaning(Silent, key) for key in Silent.model_fields] == ["how many", ""]


def test_every_key_stands_in_the_page_with_what_it_may_be() -> None:
    page = PAGES["recipes"]()
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", page, re.MULTILINE)
    assert {key for key, *_ in rows} >= {
        key for kind in EVERY_PART for key in kind.model_fields if not kind.__name__.endswith("Recipe")
    } - {"needs"}
    by_key = {key: rest for key, *rest in rows}
    assert by_key["automation"][:2] == ["`auto`, `ask`, `off`", "`ask`"]
    assert by_key["learning_rate"][:2] == ["number > 0", "**needed**"]
    assert by_key["max_digit_share"][:2] == ["number, 0 to 1", "`0.5`"]
    assert by_key["gate"][:2] == ["[`evaluate.gate`](#evaluategate)", "its defaults"]
    assert by_key["honorific_prompts"][0] == "mapping: `formal`, `polite`, `plain` → text"
    assert "excludes as `no_letters` or `language`" in meaning(FilterSettings, "min_hangul_or_latin_share")
    assert all(key in by_key for key in Needs.model_fields)


def test_every_link_within_the_page_has_its_heading() -> None:
    page = PAGES["recipes"]()
    headings = [re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in page.splitlines()]
    targets = re.findall(r"\]\(#([^)]+)\)", page)
    assert len(targets) > 20
    assert set(targets) <= set(headings)


def test_every_variable_stands_in_the_page_once() -> None:
    rows = re.findall(r"^\| `(KOREAN_LLM_\w+)` \|", PAGES["settings"](), re.MULTILINE)
    assert sorted(rows) == sorted(TABLE)
