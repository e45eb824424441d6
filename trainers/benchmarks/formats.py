"""The benchmark suites of a release and the corpus' held-out texts, read and checked."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainers.benchmarks.checks import Check
from trainers.contract import BadData, BadRequest
from trainers.contract.digests import file_sha256
from trainers.contract.shards import read_shards
from trainers.conversations.messages import Messages


class _Item(BaseModel):
    """One row of a suite's file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str


class MultipleChoice(_Item):
    """A text to go on from, and its possible continuations.

    `score`: choices are compared by log-probability per character (lm_eval's `acc_norm`) or by its sum (`acc`).
    `subject`: where a suite has subjects, their mean is reported beside the items' mean (macro and micro).
    """

    question: str = Field(min_length=1)
    choices: list[str] = Field(min_length=2)
    answer: int = Field(ge=0)
    score: Literal["per_character", "sum"] = "per_character"
    subject: str = ""

    @model_validator(mode="after")
    def _answer_exists(self) -> "MultipleChoice":
        if self.answer >= len(self.choices):
            raise ValueError(f"answer {self.answer} names none of {len(self.choices)} choices")
        return self


class Instruction(_Item):
    """A conversation that ends with the user's turn, and the one right reply, or checks that a right reply meets."""

    messages: Messages = Field(min_length=1)
    answer: str = ""
    checks: list[Check] = []
    choices: list[str] | None = Field(default=None, min_length=2)
    task: str = ""

    @model_validator(mode="after")
    def _answer_is_a_choice(self) -> "Instruction":
        if not self.answer and not self.checks:
            raise ValueError("an instruction needs an answer or checks")
        if self.choices is not None and self.answer not in self.choices:
            raise ValueError(f"answer {self.answer!r} is none of the choices {self.choices}")
        return self


class Preference(_Item):
    """A conversation with a better and a worse reply."""

    prompt: Messages = Field(min_length=1)
    chosen: Messages = Field(min_length=1)
    rejected: Messages = Field(min_length=1)


class Text(_Item):
    """Held-out text of one domain."""

    text: str = Field(min_length=1)
    domain: str


Item = MultipleChoice | Instruction | Preference | Text
FORMATS: dict[str, type[Item]] = {
    "multiple_choice": MultipleChoice,
    "instruction": Instruction,
    "preference": Preference,
    "text": Text,
}


def question_of(item: Item) -> str:
    """What an item asks, in words, for people."""
    match item:
        case MultipleChoice():
            return item.question
        case Instruction():
            return str(item.messages[-1]["content"])
        case Preference():
            return str(item.prompt[-1]["content"])
        case _:
            return item.text


@dataclass(frozen=True)
class Suite:
    """A named list of items of one format."""

    name: str
    format: str
    items: tuple[Item, ...]


def read_suites(folder: Path, names: Iterable[str] | Literal["all"], max_items: int | None) -> list[Suite]:
    """The named suites of a `benchmarks` artifact, sorted by name.

    Raises:
        BadRequest: a named suite is not there.
        BadData: a file is missing, changed, or holds a row that is no item of its format.
    """
    index: dict[str, dict[str, Any]] = json.loads((folder / "suites.json").read_text(encoding="utf-8"))
    chosen = sorted(index if names == "all" else names)
    unknown = [name for name in chosen if name not in index]
    if unknown:
        raise BadRequest(f"recipe key evaluate.suites names {unknown}; this release has {sorted(index)}")
    return [_read_suite(folder, name, index[name], max_items) for name in chosen]


def _read_suite(folder: Path, name: str, entry: dict[str, Any], max_items: int | None) -> Suite:
    path = folder / f"{name}.jsonl"
    if entry["format"] not in FORMATS:
        raise BadData(
            f"{folder / 'suites.json'}: suite {name!r} has format {entry['format']!r}; known: {list(FORMATS)}"
        )
    if not path.is_file():
        raise BadData(f"{path} is missing, but suites.json lists it; materialize the benchmarks asset again")
    if file_sha256(path) != entry["sha256"]:
        raise BadData(f"{path} is not the file that suites.json describes; materialize the benchmarks asset again")
    kind = FORMATS[entry["format"]]
    items: list[Item] = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                items.append(kind.model_validate_json(line))
            except ValidationError as error:
                raise BadData(f"{path}:{number} is no {entry['format']} item: {error}") from error
    if len({item.id for item in items}) != len(items):
        raise BadData(f"{path}: two items have the same id; results are kept by id")
    return Suite(name, entry["format"], tuple(spread(items, max_items)))


def spread(items: list[Any], at_most: int | None) -> list[Any]:
    """At most so many items, taken evenly over the whole list, so that a limit keeps every part of it."""
    if at_most is None or len(items) <= at_most:
        return items
    return [items[index * len(items) // at_most] for index in range(at_most)]


def held_out_suites(corpus: Path, max_items: int | None) -> list[Suite]:
    """The corpus' validation split as text suites, `corpus/<language>`."""
    by_language: dict[str, list[Item]] = {}
    for row in read_shards(corpus / "validation"):
        item = Text(id=row["id"], text=row["text"], domain=row["language"])
        by_language.setdefault(row["language"], []).append(item)
    return [
        Suite(f"corpus/{language}", "text", tuple(spread(items, max_items)))
        for language, items in sorted(by_language.items())
    ]


def by_domain(suite: Suite) -> list[Suite]:
    """A text suite of several domains as one suite per domain, `<suite>/<domain>`; any other as it is."""
    if suite.format != "text" or suite.name.startswith("corpus/"):
        return [suite]
    domains = sorted({item.domain for item in suite.items if isinstance(item, Text)})
    return [
        Suite(
            f"{suite.name}/{domain}",
            "text",
            tuple(item for item in suite.items if isinstance(item, Text) and item.domain == domain),
        )
        for domain in domains
    ]
