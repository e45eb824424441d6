"""`python -m trainers data check FOLDER`: what a data stage would make of a folder, shown before it costs hours.

The stage itself runs, in a place that is thrown away: what is printed is what it would say, and so is the exit code.
"""

import json
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from trainers.benchmarks.answers import Shifted
from trainers.benchmarks.items import item
from trainers.benchmarks.published import is_published
from trainers.contract import STAGES, BadRequest, Details, Input, Manifest, Stage, StageError, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.digests import tree_digest
from trainers.contract.recipe import BaseSection
from trainers.contract.recipe.loading import load_model_recipes, section_dict
from trainers.contract.shards import read_shards
from trainers.conversations.columns import INSTRUCTION, PREFERENCE, SUITE, Columns, values_of
from trainers.conversations.instructions import conversation
from trainers.conversations.preferences import preference
from trainers.conversations.rows import landed_rows
from trainers.runner.stage import run_stage
from trainers.text.losses import unread_in_words
from trainers.text.packed import names_in
from trainers.text.read import files_below
from trainers.text.records import Unusable
from trainers.training.alignment.pairs import unplaced_answer
from trainers.training.data.chat import unplaced
from trainers.training.data.rendering import PLAIN, Rendered, coloured, render

KINDS = tuple(stage.name for stage in STAGES.values() if not stage.by_model)
_MEANINGS: dict[str, Columns] = {"instructions": INSTRUCTION, "preferences": PREFERENCE, "benchmarks": SUITE}
_GUESSED_BY = 200
"""Rows of each file by which the kind of a folder is told."""
_EXAMPLES = 3
_MOST_CHARACTERS = 1500


@dataclass
class _File:
    """What a file holds: how its rows are read, how many there are, and what is lost of them."""

    rows: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)


def check(options: Namespace) -> str:
    """Print what each kind of data in a folder would become; returns the last line to say.

    Raises:
        BadRequest: there is no such folder, or a setting is wrong.
        BadData: a stage would refuse its data.
    """
    folder: Path = options.folder.absolute()
    if not folder.is_dir():
        raise BadRequest(f"data check {folder}: there is no such folder")
    below = [kind for kind in KINDS if (folder / kind).is_dir()]
    parts = {kind: folder / kind for kind in below} or {options.kind or guessed(folder): folder}
    refused: StageError | None = None
    for kind, part in parts.items():
        try:
            _check(STAGES[kind], part, options)
        except StageError as error:
            print(f"  REFUSED, exit {int(error.code)}: {error}", flush=True)
            refused = refused or error
    if refused is not None:
        raise refused
    return f"data check done: {', '.join(parts)}"


def guessed(folder: Path) -> str:
    """The kind of data in a folder that does not say it by its name: what reads most of its first rows."""
    if folder.name in KINDS:
        return folder.name
    drop = files_below(folder)
    if any(map(is_published, names_in(drop))):
        return "benchmarks"
    readable: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for landed in landed_rows(drop):
        seen[landed.file] += 1
        if seen[landed.file] <= _GUESSED_BY:
            readable.update(kind for kind in KINDS if _reads(kind, landed.value))
    order = ("preferences", "benchmarks", "instructions", "corpus")  # the first of equals asks for most columns
    return max(order, key=lambda kind: readable[kind])


def _reads(kind: str, value: Any) -> bool:
    if kind == "corpus":
        return isinstance(value, dict) and isinstance(value.get("text"), str)
    try:
        if isinstance(value, Unusable):
            return False
        values = values_of(value, _MEANINGS[kind], {})
        if kind == "benchmarks":
            return item(values)[0] != "text"  # a corpus' rows would be items, too
        {"instructions": conversation, "preferences": preference}[kind](values)
    except Unusable:
        return False
    except Shifted:
        pass
    return True


def _check(stage: Stage, folder: Path, options: Namespace) -> None:
    print(f"{stage.name} in {folder}", flush=True)
    section = _section(stage, options.set)
    files = _files(stage.name, folder, section)
    _print_files(files)
    with tempfile.TemporaryDirectory() as place:
        store = ArtifactStore(Path(place))
        landed = Input(name="landing", root="landing", path=folder.name, digest=tree_digest(folder))
        request = StageRequest(
            stage=stage.name,
            stage_version=stage.version,
            release="checked",
            section=section_dict(section),
            plugins=section.plugin_digests,
            inputs=(landed,),
        )
        manifest: Manifest = run_stage(request, store, folder.parent)
        _print_details(manifest.details)
        _print_examples(stage.name, store.folder(request), options.model)


def _section(stage: Stage, settings: list[str]) -> Any:
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        kind, *path = key.split(".")
        if not equals or kind not in KINDS or not path:
            raise BadRequest(f"--set {setting!r}: write kind.key=value, e.g. instructions.fields.prompt=물음")
        place = values if kind == stage.name else {}
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = yaml.safe_load(value)
    try:
        return stage.section.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise BadRequest(f"--set: {problems}") from error


def _files(kind: str, folder: Path, section: Any) -> dict[str, _File]:
    files: dict[str, _File] = {}
    for landed in landed_rows(files_below(folder)):
        if kind == "benchmarks" and is_published(landed.file):
            files.setdefault(landed.file, _File()).forms["a published benchmark"] += 1
            continue
        file = files.setdefault(landed.file, _File())
        file.rows += 1
        try:
            if isinstance(landed.value, Unusable):
                raise landed.value
            if kind == "corpus":
                file.forms["documents"] += 1
                continue
            values = values_of(landed.value, _MEANINGS[kind], section.fields.model_dump())
            {"instructions": conversation, "preferences": preference, "benchmarks": item}[kind](values)
            file.forms[" + ".join(values.of)] += 1
        except Unusable as unusable:
            file.lost[unusable.args[0]] += 1
        except Shifted:
            file.lost["answer_out_of_range"] += 1
    return files


def _print_files(files: dict[str, _File]) -> None:
    for name, file in files.items():
        forms = "; ".join(f"{form} ({n})" if len(file.forms) > 1 else form for form, n in file.forms.most_common(4))
        lost = ", ".join(f"{reason} {n}" for reason, n in file.lost.most_common())
        print(
            f"  {name}: {file.rows} rows; read as {forms or 'nothing'}{f'; lost: {lost}' if lost else ''}", flush=True
        )


def _print_details(details: Details) -> None:
    half = details.decides
    figures = {name: half[name] for name in ("read", "kept", "suites", "excluded", "masked") if half.get(name)}
    print("  " + "; ".join(f"{name}: {_in_words(value)}" for name, value in figures.items()))
    if unread := getattr(details, "unread", []):
        print(f"  attention{unread_in_words(unread)}")
    if ignored := half.get("ignored_fields"):
        print(f"  columns that nothing reads: {_in_words(ignored)}")
    if contradicting := half.get("contradicting"):
        print(f"  {contradicting} pairs contradict another one")


def _in_words(value: Any) -> str:
    return ", ".join(f"{name} {n}" for name, n in value.items()) if isinstance(value, dict) else f"{value}"


def _print_examples(kind: str, folder: Path, model: Path | None) -> None:
    """Three examples as the model would see them, what is learned in colour; and all of them by their tokens."""
    if kind == "benchmarks":
        return
    tokenizer, whose = _tokenizer(model), f"{model or 'the tokenizer of tiny'}"
    lengths: list[int] = []
    unplaced_rows: Counter[str] = Counter()
    for number, (rendered, text) in enumerate(_examples(kind, folder, tokenizer, unplaced_rows)):
        lengths.append(rendered if isinstance(rendered, int) else len(rendered.ids))
        if number < _EXAMPLES:
            example = text if isinstance(rendered, int) else coloured(rendered.ids, rendered.labels, tokenizer)
            print(f"  --- example {number + 1}, {lengths[-1]} tokens\n{example[:_MOST_CHARACTERS]}{PLAIN}")
    if unplaced_rows:
        print(f"  training leaves out, by the chat template of {whose}: {_in_words(unplaced_rows)}")
    powers = Counter(max(0, length - 1).bit_length() for length in lengths)
    spread = ", ".join(f"to {2**power}: {n}" for power, n in sorted(powers.items()))
    print(f"  tokens by length ({whose}): {spread}", flush=True)


def _examples(
    kind: str, folder: Path, tokenizer: Any, unplaced_rows: Counter[str]
) -> Iterator[tuple[Rendered | int, str]]:
    """Rows as training would see them; those that the template has no place for are counted by reason instead."""
    if kind == "corpus":
        for split in ("train", "validation"):
            for row in read_shards(folder / split):
                yield len(tokenizer(row["text"], add_special_tokens=False, verbose=False)["input_ids"]), row["text"]
        return
    for row in _rows(folder):
        tools = row.get("tools", ())
        if talk := row.get("messages"):
            reason = unplaced(talk, tools, tokenizer)
        else:
            talk = [*row["prompt"], *(row.get("chosen") or row["completion"])]
            reason = unplaced_answer(row, tokenizer)
        if reason:
            unplaced_rows[reason] += 1
        else:
            yield render([talk], tokenizer, [tools])[0], ""


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for split in ("train", "validation"):
        with (folder / f"{split}.jsonl").open(encoding="utf-8") as stream:
            yield from map(json.loads, stream)


def _tokenizer(model: Path | None) -> Any:
    from transformers import AutoTokenizer

    from trainers.training.base_model.built import train_tokenizer
    from trainers.training.base_model.stage import sample_texts
    from trainers.training.templates import template_text

    if model is not None:
        if not model.is_dir():
            raise BadRequest(f"--model {model}: there is no such folder")
        return AutoTokenizer.from_pretrained(model, local_files_only=True)
    base = load_model_recipes()["tiny"].section(BaseSection)
    tokenizer = train_tokenizer(sample_texts(), int(base.vocabulary or 0))
    tokenizer.chat_template = template_text(str(base.template))
    return tokenizer
