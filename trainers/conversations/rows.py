"""Sets of conversations as they land: rows read with their line numbers, converted, counted, and written."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainers.contract import canonical_json
from trainers.contract.takedown import TakeDown, strings
from trainers.contract.walk import Walk
from trainers.conversations.columns import ROW_COLUMNS, Columns, Values, text_of, values_of
from trainers.conversations.messages import ignored_keys
from trainers.text.characters import Texts
from trainers.text.decode import repair_surrogates
from trainers.text.json_values import Repeated
from trainers.text.losses import Losses
from trainers.text.read import Problem, files_below, is_note, read_blocks
from trainers.text.records import Exclusion, Unusable, rows
from trainers.text.unfold import unfolded

Row = dict[str, Any]
Convert = Callable[[Values], Row]
"""One landed row in the form of the set; raises Unusable."""
_TWICE = ("(a key that is there twice)",)
_SHOWN_DROPPED, _LONGEST_DROPPED = 3, 300
_OURS = ("contaminated", "takedown")
"""Reasons that say nothing against a drop."""


@dataclass
class ConversationSet:
    """What became of a landed folder of conversations."""

    kept: list[Row] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    places: list[tuple[str, int]] = field(default_factory=list)
    """File and line of each kept row."""
    losses: Losses = field(default_factory=Losses)
    ignored: Counter[str] = field(default_factory=Counter)

    def exclude(self, verdicts: Mapping[int, tuple[str, str]]) -> None:
        """Move kept rows to the exclusions: number -> reason and detail."""
        for number, (reason, detail) in sorted(verdicts.items()):
            self.exclusions.append(Exclusion(self.kept[number]["id"], *self.places[number], reason, detail))
            if reason not in _OURS:
                self.losses.spoilt()
        stay = [number for number in range(len(self.kept)) if number not in verdicts]
        self.kept, self.places = [self.kept[n] for n in stay], [self.places[n] for n in stay]

    @property
    def excluded(self) -> Counter[str]:
        """Rows by reason."""
        return Counter(row.reason for row in self.exclusions)


@dataclass(frozen=True)
class Landed:
    """A row as it lies there: where, of how many bytes, its JSON value or Unusable, and the file's problem."""

    file: str
    line: int
    size: int
    value: Any
    problem: Problem | None = None


def landed_rows(drop: Walk) -> Iterator[Landed]:
    """Each row of a drop, also those that one value holds; blank lines are no rows, and what describes data is none."""
    for block in read_blocks(drop):
        if block.kind in ("text", "html") and is_note(block.file):
            note = Problem(block.line, "dataset_card", "the description of a data set, no row of it")
            yield Landed(block.file, block.line, block.size, Unusable(note.reason, note.detail), note)
            continue
        for line, size, value in rows(block):
            held = unfolded(value, ROW_COLUMNS)
            if held:
                yield from (Landed(block.file, line + n, size // len(held), row) for n, row in enumerate(held))
            elif not (isinstance(value, Unusable) and value.args[0] == "blank_line"):
                yield Landed(block.file, line, size, value, block.problem)


def collect(
    folder: Path,
    columns: Columns,
    fields: Mapping[str, str | None],
    convert: Convert,
    identity: tuple[str, ...],
    takedown: TakeDown,
) -> ConversationSet:
    """Convert each landed row; those it refuses, repeats of the same `identity` fields, and what is taken down (under
    any name, with all its repeats) are excluded."""
    result = ConversationSet()
    first: dict[str, str] = {}
    keys: list[str] = []
    taken_down: set[str] = set()
    for landed in landed_rows(files_below(folder)):
        name = f"{landed.file}:{landed.line}"
        try:
            if isinstance(landed.value, Unusable):
                raise landed.value
            values = values_of(landed.value, columns, fields)
            name = text_of(values.of.get("id")) or name
            row = convert(values)
        except Unusable as unusable:
            reason, detail = unusable.args
            result.exclusions.append(Exclusion(name, landed.file, landed.line, reason, detail))
            result.losses.lost(landed.problem, landed.file, reason, landed.size, is_broken=landed.problem is None)
            continue
        result.losses.read(landed.size)
        result.ignored.update(ignored_of(values))
        key = hashlib.sha256(canonical_json([row.get(part) for part in identity]).encode()).hexdigest()
        row = {"id": text_of(values.of.get("id")) or f"sha-{key[:32]}", **row, **_ledger(values.of, landed.file)}
        if takedown.names(row["id"], *strings(landed.value)):
            taken_down.add(key)
        if key in first:
            duplicate = Exclusion(row["id"], landed.file, landed.line, "exact_duplicate", "", first[key])
            result.exclusions.append(duplicate)
        else:
            first[key] = row["id"]
            keys.append(key)
            result.places.append((landed.file, landed.line))
            result.kept.append(row)
    result.exclude({number: ("takedown", "") for number, key in enumerate(keys) if key in taken_down})
    return result


def ignored_of(values: Values) -> set[str]:
    """Columns of a row, and keys of its messages, that nothing reads."""
    parts = ((part, values.of.get(part)) for part in ("messages", "prompt", "chosen", "rejected", "response"))
    inner = {f"{part}.{key}" for part, value in parts if isinstance(value, list | dict) for key in ignored_keys(value)}
    return {*values.ignored, *inner, *(_TWICE if isinstance(values.row, Repeated) else ())}


def _ledger(values: Row, file: str) -> Row:
    return {
        "source": text_of(values.get("source")) or file,
        "licence": text_of(values.get("licence")) or "unknown",
        "task": text_of(values.get("task")) or "unnamed",
    }


def first_dropped(exclusions: Iterable[Exclusion]) -> dict[str, list[str]]:
    """Of each reason the first rows that it excluded, in words, personal data masked; of what was taken down none."""
    first: dict[str, list[str]] = {}
    for row in exclusions:
        some = first.setdefault(row.reason, [])
        if len(some) < _SHOWN_DROPPED and row.reason != "takedown":
            words = row.detail or (f"the same as {row.duplicate_of}" if row.duplicate_of else "")
            some.append(repair_surrogates(f"{row.file}:{row.line}: {words}".rstrip(": "))[0])
    if not any(first.values()):
        return {}
    from trainers.text.personal_data import mask  # its compiled loops: only a drop that lost something pays for them

    masked, _ = mask(Texts.of([words for some in first.values() for words in some]), addresses=True)
    shown = (words[:_LONGEST_DROPPED] for words in masked)  # masked first: half a number is none, and would stay
    return {reason: [next(shown) for _ in some] for reason, some in first.items() if some}


def write_jsonl(path: Path, rows_: list[Row]) -> None:
    """One JSON object a line. Lone surrogates, which JSON allows and no file can hold, are replaced."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows_)
    path.write_text(repair_surrogates(lines)[0], encoding="utf-8")
