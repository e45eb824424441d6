"""Sets of conversations as they land: rows read with their line numbers, messages checked, sets split and written."""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainers.contract import BadData, DatasetDetails, StageRequest, canonical_json
from trainers.corpus.read import files_below, read_blocks
from trainers.corpus.records import Exclusion, Unusable, repair_surrogates, rows

Message = dict[str, str]
Row = dict[str, Any]
_ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}
_SAMPLES = 3


@dataclass
class ConversationSet:
    """What became of a landed folder of conversations."""

    kept: list[Row] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    read: int = 0

    @property
    def excluded(self) -> Counter[str]:
        """Rows by reason."""
        return Counter(row.reason for row in self.exclusions)


def landed_rows(files: dict[str, Path]) -> Iterator[tuple[str, int, Any]]:
    """(file, line, JSON value or Unusable) of each row of files by name; blank lines are no rows."""
    for block in read_blocks(files):
        for line, value in rows(block):
            if not (isinstance(value, Unusable) and value.args[0] == "blank_line"):
                yield block.file, line, value


def collect(folder: Path, convert: Callable[[Row], Row], identity: tuple[str, ...]) -> ConversationSet:
    """Convert each landed row; those it refuses, and repeats of the same `identity` fields, are excluded."""
    result = ConversationSet()
    first: dict[str, str] = {}
    for file, line, value in landed_rows(files_below(folder)):
        result.read += 1
        name = f"{file}:{line}"
        try:
            if isinstance(value, Unusable):
                raise value
            if not isinstance(value, dict):
                raise Unusable("not_an_object", f"a JSON {type(value).__name__}")
            name = _text(value.get("id")) or name
            row = convert(value)
        except Unusable as unusable:
            result.exclusions.append(Exclusion(name, file, line, *unusable.args))
            continue
        key = hashlib.sha256(canonical_json([row[part] for part in identity]).encode()).hexdigest()
        row = {"id": _text(value.get("id")) or f"sha-{key[:32]}", **row, **_ledger(value, file)}
        if key in first:
            result.exclusions.append(Exclusion(row["id"], file, line, "exact_duplicate", "", first[key]))
        else:
            first[key] = row["id"]
            result.kept.append(row)
    return result


def _ledger(value: Row, file: str) -> Row:
    return {
        "source": _text(value.get("source")) or file,
        "licence": _text(value.get("licence") or value.get("license")) or "unknown",
        "task": _text(value.get("task")) or "unnamed",
    }


def _text(value: Any) -> str:
    return "" if value is None else repair_surrogates(str(value))[0]


def content(value: Any, name: str) -> str:
    """A non-empty text in NFC.

    Raises:
        Unusable: it is missing, no string, or empty.
    """
    if value is None:
        raise Unusable("field_missing", name)
    if not isinstance(value, str):
        raise Unusable("field_not_text", f"{name} is a JSON {type(value).__name__}")
    text = unicodedata.normalize("NFC", repair_surrogates(value)[0]).strip()
    if not text:
        raise Unusable("field_empty", name)
    return text


def messages(value: Any, name: str = "messages") -> list[Message]:
    """Checked messages: known roles, an optional system message first, then user and assistant in turn.

    Also reads ShareGPT's `from` and `value`.

    Raises:
        Unusable: with the number of the first message that is wrong.
    """
    if not isinstance(value, list):
        raise Unusable("messages_not_list", f"{name} is a JSON {type(value).__name__}")
    if not value:
        raise Unusable("field_empty", name)
    found: list[Message] = []
    for number, message in enumerate(value, 1):
        where = f"{name}, message {number}"
        if not isinstance(message, dict):
            raise Unusable("message_not_object", f"{where} is a JSON {type(message).__name__}")
        role = message.get("role", message.get("from"))
        if not isinstance(role, str) or role not in _ROLES:
            raise Unusable("unknown_role", f"{where}: {str(role)[:40]!r}; there are system, user, assistant")
        found.append({"role": _ROLES[role], "content": content(message.get("content", message.get("value")), where)})
    turns = found[1:] if found[0]["role"] == "system" else found
    for number, message in enumerate(turns):
        if message["role"] != ("user", "assistant")[number % 2]:
            raise Unusable("roles_out_of_order", f"{name}: {' '.join(m['role'] for m in found)[:80]}")
    return found


def split(rows_: list[Row], prompt: Callable[[Row], Any], share: float) -> tuple[list[Row], list[Row]]:
    """Training and validation rows: rows of one prompt stay together, chosen by the prompt's hash.

    At least one prompt is held out where there are two and `share` is not 0.
    """
    places = [int(hashlib.sha256(canonical_json(prompt(row)).encode()).hexdigest()[:16], 16) for row in rows_]
    limit = share * 2**64
    if share and len(set(places)) > 1:
        limit = max(limit, min(places) + 1)
    pairs = list(zip(rows_, places, strict=True))
    return [row for row, place in pairs if place >= limit], [row for row, place in pairs if place < limit]


def write_jsonl(path: Path, rows_: list[Row]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows_), encoding="utf-8")


def finish(
    result: ConversationSet,
    prompt: Callable[[Row], Any],
    share: float,
    max_bad_share: float,
    output: Path,
    request: StageRequest,
) -> DatasetDetails:
    """Split, write `train.jsonl`, `validation.jsonl` and `exclusions.jsonl`, and give the manifest's details.

    Raises:
        BadData: nothing is usable, or more rows are broken than the recipe allows; names the biggest reasons.
    """
    excluded = result.excluded
    broken = sum(excluded.values()) - excluded["exact_duplicate"]
    if not result.kept or broken > max_bad_share * result.read:
        first = {row.reason: f"{row.file}:{row.line}" for row in reversed(result.exclusions)}
        reasons = ", ".join(f"{reason} ({n}, first at {first[reason]})" for reason, n in excluded.most_common(3))
        raise BadData(
            f"{request.stage} of release {request.release}: {broken} of {result.read} rows are broken (allowed: "
            f"{max_bad_share:.0%}); the biggest reasons: {reasons or 'the folder is empty'}"
        )
    train, validation = split(result.kept, prompt, share)
    write_jsonl(output / "train.jsonl", train)
    write_jsonl(output / "validation.jsonl", validation)
    write_jsonl(output / "exclusions.jsonl", [asdict(row) for row in result.exclusions])
    return DatasetDetails(
        read=result.read,
        kept=len(result.kept),
        train=len(train),
        validation=len(validation),
        excluded=dict(excluded.most_common()),
        by_source=dict(Counter(row["source"] for row in result.kept).most_common(200)),
        by_licence=dict(Counter(row["licence"] for row in result.kept).most_common()),
        inherited_from=request.input("landing").inherited_from,
        samples=[json.dumps(row, ensure_ascii=False)[:600] for row in train[:_SAMPLES]],
        extra={"by_task": dict(Counter(row["task"] for row in result.kept).most_common())},
    )
