"""Stage `benchmarks`: landed evaluation suites, checked and brought to one form per format.

A file of JSON lines is one suite; published Korean benchmarks are read from their own files (published.py), and files
in another form by the functions that the recipe names (`readers`).
What lies in `lm_eval/` (tasks of lm_eval as YAML, and their data) is kept as it is, for recipes that name these tasks.
"""

import fnmatch
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path, PurePosixPath
from shutil import copyfile
from typing import Any

from pydantic import ValidationError

from trainers.benchmarks.checks import Check
from trainers.benchmarks.formats import spread
from trainers.benchmarks.published import is_published, published_suites
from trainers.contract import BadData, BenchmarkDetails
from trainers.contract.plugins import load_plugin
from trainers.contract.recipe.data import BenchmarksSection, SuiteReader
from trainers.conversations.preferences import pair
from trainers.conversations.rows import Row, content, landed_rows, messages, write_jsonl
from trainers.runner.stage import StageContext, StageResult
from trainers.text.characters import SYLLABLES
from trainers.text.read import files_below
from trainers.text.records import Unusable

LM_EVAL = "lm_eval"
"""Folder of lm_eval's own tasks, in the landing and in the artifact."""
_COMPANIONS = {".tsv", ".csv", ".md"}


def run(context: StageContext) -> StageResult:
    """Leave `<suite>.jsonl` for each landed suite and `suites.json` that lists them.

    Raises:
        BadData: there is no suite, or one has no usable item (a benchmark never vanishes silently).
    """
    section: BenchmarksSection = context.section
    suites, excluded, order = _read(context)
    if not suites:
        raise BadData(f"benchmarks of release {context.request.release}: the folder is empty; put <suite>.jsonl there")
    listing: dict[str, Any] = {}
    for suite, items in sorted(suites.items()):
        if not items:
            reasons = ", ".join(f"{reason} ({n})" for reason, n in excluded[suite].most_common(3))
            raise BadData(f"suite {suite!r} ({order[suite]}) has no usable item; the biggest reasons: {reasons}")
        rows = [row for _, row in spread(items, section.max_items_per_suite)]
        path = context.output / f"{suite}.jsonl"
        write_jsonl(path, rows)
        listing[suite] = {
            "format": items[0][0],
            "items": len(rows),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    (context.output / "suites.json").write_text(json.dumps(listing, ensure_ascii=False, indent=1), encoding="utf-8")
    context.reporter.say(", ".join(f"{suite}: {entry['items']} {entry['format']}" for suite, entry in listing.items()))
    return StageResult(
        metrics={"suites": float(len(listing)), "items": float(sum(entry["items"] for entry in listing.values()))},
        details=BenchmarkDetails(
            suites={suite: entry["items"] for suite, entry in listing.items()},
            formats={suite: entry["format"] for suite, entry in listing.items()},
            excluded=dict(sum(excluded.values(), Counter()).most_common()),
            inherited_from=context.request.input("landing").inherited_from,
        ),
    )


def _read(context: StageContext) -> tuple[dict[str, list[tuple[str, Row]]], dict[str, Counter[str]], dict[str, str]]:
    """Items with their format, by suite; exclusions by suite and reason; the file of each suite."""
    suites: dict[str, list[tuple[str, Row]]] = {}
    excluded: dict[str, Counter[str]] = {}
    files: dict[str, str] = {}
    seen: dict[str, set[str]] = {}
    for suite, rows in published_suites(context.inputs["landing"]).items():
        suites[suite], excluded[suite] = [("multiple_choice", row) for row in rows], Counter()
        files[suite] = "its published file"
    for suite, source, file, line, value in _rows(context):
        if files.setdefault(suite, source) != source:
            raise BadData(f"{files[suite]} and {source} are both suite {suite!r}; rename one")
        items, reasons = suites.setdefault(suite, []), excluded.setdefault(suite, Counter())
        try:
            if isinstance(value, Unusable):
                raise value
            if not isinstance(value, dict):
                raise Unusable("not_an_object", f"a JSON {type(value).__name__}")
            kind, row = item(value)
            if items and items[0][0] != kind:
                raise Unusable("other_format", f"{kind} in a file of {items[0][0]}")
            row = {"id": str(value.get("id") or f"{suite}-{line}"), **row}
            if row["id"] in seen.setdefault(suite, set()):
                raise Unusable("repeated_id", row["id"])
            seen[suite].add(row["id"])
            items.append((kind, row))
        except Unusable as unusable:
            reason, detail = unusable.args
            reasons[reason] += 1
            context.reporter.warn(f"{file}:{line}: {reason}: {detail}")
    return suites, excluded, files


def _rows(context: StageContext) -> Iterator[tuple[str, str, str, int, Any]]:
    """Suite, what it is read from, file, and number and value of each row in our own forms."""
    readers: dict[str, SuiteReader] = context.section.readers
    files = files_below(context.inputs["landing"])
    for suite, reader in readers.items():
        read, numbers = load_plugin(reader.read, f"benchmarks.readers.{suite}.read"), count(1)
        matching = fnmatch.filter(files, reader.files)
        if not matching:
            context.reporter.warn(f"readers.{suite}: no file of the benchmarks is called {reader.files}")
        for file in matching:
            for value in _read_by(reader.read, read, files[file], file):
                yield suite, reader.files, file, next(numbers), value
    for file, line, value in landed_rows(_own_files(context)):
        yield _suite(file), file, file, line, value


def _read_by(name: str, read: Callable[[Path], Iterable[Any]], path: Path, file: str) -> Iterator[Any]:
    try:
        yield from read(path)
    except Exception as error:
        raise BadData(f"{file} cannot be read by {name}: {error!r}; mend the file or the function") from error


def _own_files(context: StageContext) -> dict[str, Path]:
    """Files of JSON lines: not the published benchmarks, nor what comes beside them (training splits, licences), nor
    what the recipe's readers read.

    Tasks of lm_eval are no suites of ours: they are copied.
    """
    read_otherwise = [reader.files for reader in context.section.readers.values()]
    files = {}
    for name, path in files_below(context.inputs["landing"]).items():
        if is_published(name) or any(fnmatch.fnmatchcase(name, pattern) for pattern in read_otherwise):
            continue
        if name.startswith(f"{LM_EVAL}/"):
            copy = context.output / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copyfile(path, copy)
            continue
        if path.suffix in _COMPANIONS:
            context.reporter.say(
                f"{name}: left alone, no published benchmark has its test items in a file of this name"
            )
        else:
            files[name] = path
    return files


def item(row: Row) -> tuple[str, Row]:
    """Format and checked form of one item (the formats: multiple_choice, instruction, preference, text).

    Raises:
        Unusable: the row has none of the formats; says why.
    """
    if "messages" in row:
        return "instruction", _instruction(row)
    if "question" in row:
        choices = _choices(row)
        answer = row.get("answer")
        if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
            raise Unusable("bad_answer", f"answer must be a number from 0 to {len(choices) - 1}")
        question = content(row["question"], "question")
        kept = {key: str(row[key]) for key in ("domain", "score", "subject") if row.get(key)}
        return "multiple_choice", {"question": question, "choices": choices, "answer": answer, **kept}
    if "chosen" in row or "rejected" in row:
        return "preference", {**pair(row), **_domain(row)}
    if "text" in row:
        return "text", {"text": content(row["text"], "text"), "domain": str(row.get("domain") or "unnamed")}
    raise Unusable("unknown_format", f"fields {', '.join(map(str, row))[:120]!r}")


def _instruction(row: Row) -> Row:
    prompt = messages(row["messages"])
    if prompt[-1]["role"] != "user":
        raise Unusable("roles_out_of_order", "the messages must end with the user")
    if "checks" in row:
        return {"messages": prompt, "checks": _checks(row["checks"]), "task": str(row.get("task") or "unnamed")}
    answer = content(row.get("answer"), "answer")
    choices = {"choices": _choices(row)} if "choices" in row else {}
    if choices and answer not in choices["choices"]:
        raise Unusable("bad_answer", "the answer is none of the choices")
    return {"messages": prompt, "answer": answer, **choices, "task": str(row.get("task") or "unnamed")}


def _checks(checks: Any) -> list[dict[str, Any]]:
    try:
        return [Check.model_validate(check).model_dump() for check in checks]
    except (ValidationError, TypeError) as error:
        raise Unusable("bad_checks", str(error)[:200]) from error


def _choices(row: Row) -> list[str]:
    choices = row.get("choices")
    if not isinstance(choices, list) or len(choices) < 2:
        raise Unusable("bad_choices", "choices must be a list of at least two")
    texts = [content(choice, f"choice {number}") for number, choice in enumerate(choices)]
    if len(set(texts)) != len(texts):
        raise Unusable("bad_choices", "two choices are the same")
    return texts


def _domain(row: Row) -> Row:
    return {"domain": str(row["domain"])} if row.get("domain") else {}


def _suite(file: str) -> str:
    path = PurePosixPath(file)
    return re.sub(f"[^0-9A-Za-z{SYLLABLES}._-]+", "-", str(path.with_name(path.name.split(".")[0])))
