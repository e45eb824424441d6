"""Stage `benchmarks`: landed evaluation suites, checked and brought to one form per format.

A file of JSON lines is one suite; published Korean benchmarks are read from their own files (published.py), and files
in another form by the functions that the recipe names (`readers`).
What lies in `lm_eval/` (tasks of lm_eval as YAML, and their data) is kept as it is, for recipes that name these tasks.
"""

import fnmatch
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PurePosixPath
from shutil import copyfile
from typing import Any

import yaml

from trainers.benchmarks.answers import Shifted, choice_columns, is_number
from trainers.benchmarks.formats import spread
from trainers.benchmarks.hub import SPLIT
from trainers.benchmarks.items import item
from trainers.benchmarks.published import format_of, is_published, published_suites
from trainers.contract import BadData, BenchmarkDetails, canonical_json
from trainers.contract.names import inside
from trainers.contract.plugins import load_plugin
from trainers.contract.recipe.data import BenchmarksSection, SuiteReader
from trainers.contract.takedown import TakeDown, strings
from trainers.contract.walk import Walk
from trainers.conversations.columns import SUITE, text_of, values_of
from trainers.conversations.rows import Landed, Row, first_dropped, ignored_of, landed_rows, write_jsonl
from trainers.runner.stage import StageContext, StageResult
from trainers.text.characters import SYLLABLES
from trainers.text.losses import Losses, biggest, unread_in_words, warn_of
from trainers.text.packed import names_in
from trainers.text.read import files_below, is_note
from trainers.text.records import Exclusion, Unusable

LM_EVAL = "lm_eval"
"""Folder of lm_eval's own tasks, in the landing and in the artifact."""
_TEXTS = {".md"}
_TASK_ROWS = {".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".md"}
"""What lm_eval's tasks read their rows from; whatever else lies beside them is read as YAML."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
"""What is not of a suite's name where it is saved in pieces."""
_UNLIKELY = 0.01
_COMPANIONS = {".tsv", ".csv", ".json"}
"""What lies beside the test items of published suites: their training splits."""


def run(context: StageContext) -> StageResult:
    """Leave `<suite>.jsonl` for each landed suite and `suites.json` that lists them.

    Raises:
        BadData: there is no suite, or one has no usable item (a benchmark never vanishes silently).
    """
    section: BenchmarksSection = context.section
    suites = _read(context)
    if not suites:
        raise BadData(f"benchmarks of release {context.request.release}: the folder is empty; put <suite>.jsonl there")
    listing: dict[str, Any] = {}
    for name, suite in sorted(suites.items()):
        what = f"suite {name!r} ({suite.file})"
        if not suite.items:
            raise BadData(
                f"{what} has no usable item; the biggest reasons: {suite.reasons}{unread_in_words(suite.losses.files)}"
            )
        suite.losses.refuse(section.max_bad_share, what, suite.excluded, f"; first at {suite.first}")
        if suite.never_first < _UNLIKELY:
            context.reporter.warn(
                f"{what}: no answer is 0, though they count from 0 here: by chance that has a probability of "
                f"{suite.never_first:.2%}. If they count from 1, subtract 1 from each, or give letters"
            )
        for part, kind, rows in suite.parts(name):
            if part in listing:
                raise BadData(f"{what}: there is another suite {part!r}; rename one of them")
            path = inside(context.output, f"{part}.jsonl")
            kept = spread(rows, section.max_items_per_suite)
            write_jsonl(path, kept)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            listing[part] = {"format": kind, "items": len(kept), "sha256": sha256}
    (context.output / "suites.json").write_text(json.dumps(listing, ensure_ascii=False, indent=1), encoding="utf-8")
    context.reporter.say(", ".join(f"{suite}: {entry['items']} {entry['format']}" for suite, entry in listing.items()))
    details = BenchmarkDetails(
        suites={suite: entry["items"] for suite, entry in listing.items()},
        formats={suite: entry["format"] for suite, entry in listing.items()},
        excluded=dict(sum((suite.excluded for suite in suites.values()), Counter()).most_common()),
        unread=[file for suite in suites.values() for file in suite.losses.files],
        ignored_fields=dict(sum((suite.ignored for suite in suites.values()), Counter()).most_common()),
        dropped=first_dropped(row for suite in suites.values() for row in suite.exclusions),
        inherited_from=context.request.input("landing").inherited_from,
    )
    warn_of(details, context.reporter)
    metrics = {"suites": float(len(listing)), "items": float(sum(entry["items"] for entry in listing.values()))}
    return StageResult(metrics=metrics, details=details)


@dataclass
class _Suite:
    """What became of a suite: its items with their format, and what was lost of it."""

    file: str
    items: list[tuple[str, Row]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    excluded: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    losses: Losses = field(default_factory=Losses)
    exclusions: list[Exclusion] = field(default_factory=list)
    taken_down: set[str] = field(default_factory=set)
    """What the items say that are on the take-down list."""
    never_first: float = 1.0
    """How likely it is that of answers given by number none is 0."""

    @property
    def first(self) -> str:
        """Where the first row lay that was excluded, and why; empty where none was."""
        return next((f"{row.file}:{row.line}: {row.reason}: {row.detail}" for row in self.exclusions), "")

    @property
    def reasons(self) -> str:
        return f"{biggest(self.excluded)}{f'; first at {self.first}' if self.first else ''}"

    def parts(self, name: str) -> Iterator[tuple[str, str, list[Row]]]:
        """Name, format and items of the suite, or, where its file holds several formats, of one suite for each."""
        kinds = dict.fromkeys(kind for kind, _ in self.items)
        for kind in kinds:
            items = [row for row_kind, row in self.items if row_kind == kind]
            yield name if len(kinds) == 1 else f"{name}-{kind}", kind, items

    def take_down(self) -> None:
        """Leave out what is on the list, under whatever id it lies here."""
        stay = [(kind, row) for kind, row in self.items if _content(row) not in self.taken_down]
        self.excluded.update({"takedown": len(self.items) - len(stay)} if self.taken_down else {})
        self.items = stay

    def take(self, landed: Landed, name: str, fields: dict[str, str | None], takedown: TakeDown) -> None:
        """Check a row and keep it, or count why not.

        Raises:
            BadData: its answer names none of its choices.
        """
        place = f"{landed.file}:{landed.line}"
        try:
            if isinstance(landed.value, Unusable):
                raise landed.value
            values = values_of(landed.value, SUITE, fields)
            kind, row = item(values)
            place_of_its_own = f"{name}-{landed.line}"
            if place_of_its_own in self.ids:  # several rows in one line
                place_of_its_own += f"-{len(self.ids) + 1}"
            row = {"id": text_of(values.of.get("id")) or place_of_its_own, **row}
            if takedown.names(row["id"], *strings(landed.value)):
                self.taken_down.add(_content(row))
            if row["id"] in self.ids:
                raise Unusable("repeated_id", row["id"])
        except Shifted as error:
            raise BadData(
                f"suite {name!r}: {place}: {error}: answers count from 0 here, so all of them may be shifted. "
                "Subtract 1 from each, or give the letter or the text of the right choice"
            ) from error
        except Unusable as unusable:
            reason, detail = unusable.args
            self.excluded[reason] += 1
            self.exclusions.append(Exclusion(place, landed.file, landed.line, reason, detail))
            self.losses.lost(landed.problem, landed.file, reason, landed.size, is_broken=landed.problem is None)
            return
        if kind == "multiple_choice" and is_number(values.of.get("answer")):
            self.never_first *= 1 - 1 / len(row["choices"]) if row["answer"] else math.inf
        self.ids.add(row["id"])
        self.items.append((kind, row))
        self.losses.read(landed.size)
        self.ignored.update(ignored_of(values) - set(choice_columns(values.row)))


def _read(context: StageContext) -> dict[str, _Suite]:
    """What became of each suite."""
    suites: dict[str, _Suite] = {}
    takedown = TakeDown(context.section.takedown)
    for name, rows in published_suites(context.inputs["landing"]).items():
        suites[name] = _Suite("its published file", [(format_of(row), row) for row in rows])
        suites[name].taken_down |= {_content(row) for row in rows if takedown.names(row["id"], *strings(row))}
    fields = context.section.fields.model_dump()
    for name, source, landed in _rows(context):
        suite = suites.setdefault(name, _Suite(source))
        if suite.file != source:
            raise BadData(f"{suite.file} and {source} are both suite {name!r}; rename one")
        suite.take(landed, name, fields, takedown)
    for suite in suites.values():
        suite.take_down()
    return suites


def _content(row: Row) -> str:
    """What an item says, whatever it is called."""
    return canonical_json({key: value for key, value in row.items() if key != "id"})


def _rows(context: StageContext) -> Iterator[tuple[str, str, Landed]]:
    """Suite, what it is read from, and each row in our own forms."""
    readers: dict[str, SuiteReader] = context.section.readers
    files = files_below(context.inputs["landing"]).files
    for suite, reader in readers.items():
        read, numbers = load_plugin(reader.read, f"benchmarks.readers.{suite}.read"), count(1)
        matching = fnmatch.filter(files, reader.files)
        if not matching:
            context.reporter.warn(f"readers.{suite}: no file of the benchmarks is called {reader.files}")
        for file in matching:
            for value in _read_by(reader.read, read, files[file], file):
                yield suite, reader.files, Landed(file, next(numbers), len(str(value)), value)
    own, left_alone = _own_files(context)
    for landed in landed_rows(own):
        if landed.file not in left_alone:
            folder, slash, name = landed.file.rpartition("/")
            whole = folder + slash + _SHARD.sub("", name)
            yield _suite(whole), whole, landed


def _read_by(name: str, read: Callable[[Path], Iterable[Any]], path: Path, file: str) -> Iterator[Any]:
    try:
        yield from read(path)
    except Exception as error:
        raise BadData(f"{file} cannot be read by {name}: {error!r}; mend the file or the function") from error


def _own_files(context: StageContext) -> tuple[Walk, set[str]]:
    """Files of suites in our own forms, and names in their archives that are none: the published benchmarks, what comes
    beside them (training splits, licences), and what the recipe's readers read are left alone.

    Tasks of lm_eval are no suites of ours: they are copied.
    """
    read_otherwise = [reader.files for reader in context.section.readers.values()]
    files = {}
    there = files_below(context.inputs["landing"])
    names = names_in(there)
    left_alone = {name for name in names if is_published(name)}
    beside = {str(PurePosixPath(name).parent) for name in left_alone}
    configurations = {SPLIT.sub("", name) for name in left_alone if SPLIT.search(name)}
    for name in names:
        path = there.files.get(name)  # a member of an archive has none
        if name in left_alone or (path and any(fnmatch.fnmatchcase(name, pattern) for pattern in read_otherwise)):
            continue
        if path and name.startswith(f"{LM_EVAL}/"):
            _copy_task(name, path, context.output)
            continue
        suffix = PurePosixPath(name).suffix.lower()
        is_split = SPLIT.search(name) and SPLIT.sub("", name) in configurations
        is_companion = suffix in _COMPANIONS and str(PurePosixPath(name).parent) in beside
        if suffix in _TEXTS or is_note(name) or is_companion or is_split:
            context.reporter.say(f"{name}: left alone, it is no suite and comes beside one")
            left_alone.add(name)
        elif path:
            files[name] = path
    return replace(there, files=files), left_alone


def _copy_task(name: str, path: Path, output: Path) -> None:
    """Copy a file of lm_eval's tasks: rows, or a YAML file that is nothing but data.

    Raises:
        BadData: it is code, or YAML that names some (`!function`).
    """
    if path.suffix not in _TASK_ROWS:
        try:
            yaml.safe_load(path.read_text("utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BadData(
                f"{name} is no YAML without code ({str(error).splitlines()[0]}); a drop's tasks hold rows and plain "
                "YAML only: no Python, no !function"
            ) from error
        if path.suffix == ".py":
            raise BadData(f"{name} is code; a drop's tasks hold rows and plain YAML only")
    copy = inside(output, name)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copyfile(path, copy)


def _suite(file: str) -> str:
    path = PurePosixPath(file)
    return re.sub(f"[^0-9A-Za-z{SYLLABLES}._-]+", "-", str(path.with_name(path.name.split(".")[0])))
