"""Writes one sample release into a landing folder: corpus, instructions, preferences, benchmarks, then `_READY`."""

import gzip
import io
import json
import lzma
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from trainers.contract import BadRequest
from trainers.contract.walk import READY_MARKER, WAIT_MARKER
from trainers.sample import documents, instructions, preferences
from trainers.sample.benchmarks import assistant, suites, user
from trainers.sample.dirt import soiled
from trainers.sample.documents import SampleDocument

PARTS = ("corpus", "instructions", "preferences", "benchmarks")
GENERATED_BYTES = 1_800_000

# file -> the domains and hand-written kinds in it
_FILES = {
    "encyclopedia.jsonl": ("nature", "geography", "science", "history", "encyclopedia"),
    "news.jsonl.gz": ("announcements", "news", "weather", "notices"),
    "reviews.jsonl.zst": ("opinions", "reviews"),
    "life.jsonl": ("cooking", "living", "talk", "dialogue"),
    "stories.jsonl.xz": ("tales", "stories"),
    "english.jsonl": ("letters", "notes", "english"),
    "diary.parquet": ("diary", "prose"),
}


def write_release(
    landing: Path,
    name: str = "sample",
    *,
    seed: int = 1,
    scale: float = 1.0,
    parts: Iterable[str] = PARTS,
    ready: bool = True,
) -> Path:
    """Write the release `<landing>/<name>` and return its folder; the same arguments give the same bytes.

    `scale` shrinks or grows what is generated (1: about 2 MB of corpus); `parts` leaves folders out. Not `ready`, it
    waits for a person's `_READY`.
    Hand-written texts are in every release, so releases overlap as real drops do.
    Raises BadRequest for an unknown part, a scale that is not positive, or a folder that is already there.
    """
    wanted = tuple(parts)
    if unknown := set(wanted) - set(PARTS):
        raise BadRequest(f"Unknown parts {sorted(unknown)} of a sample release; there are {', '.join(PARTS)}.")
    if scale <= 0:
        raise BadRequest(f"The scale of a sample release must be above 0, not {scale}.")
    release = landing / name
    if release.exists():
        raise BadRequest(f"{release} exists already; name another release or remove it first.")
    writers: Mapping[str, Callable[[Path, int, float], None]] = {
        "corpus": _write_corpus,
        "instructions": _write_instructions,
        "preferences": _write_preferences,
        "benchmarks": _write_benchmarks,
    }
    for part in wanted:
        folder = release / part
        folder.mkdir(parents=True)
        writers[part](folder, seed, scale)
    release.mkdir(parents=True, exist_ok=True)
    (release / (READY_MARKER if ready else WAIT_MARKER)).touch()
    return release


def corpus_files(seed: int, scale: float) -> tuple[dict[str, list[str]], dict[str, list[SampleDocument]], Counter[str]]:
    """The corpus before it is written: lines of each jsonl file, documents of the other files, and counts of dirt."""
    generated = documents.corpus(seed, int(GENERATED_BYTES * scale))
    lines: dict[str, list[str]] = {}
    whole: dict[str, list[SampleDocument]] = {}
    counts: Counter[str] = Counter()
    for file, names in _FILES.items():
        rng = random.Random(f"{seed}/dirt/{file}")
        rows = [one for name in names for one in generated[name]]
        rng.shuffle(rows)
        if file.endswith(".parquet"):
            whole[file] = rows
        else:
            lines[file], dirt = soiled(rows, rng)
            counts += dirt
    for n, essay in enumerate(generated["essays"]):
        whole[f"essay-{n:02d}.txt"] = [essay]
    for n, recipe in enumerate(generated["recipes"]):
        whole[f"recipe-{n:02d}.md"] = [recipe]
    return lines, whole, counts


def _write_corpus(folder: Path, seed: int, scale: float) -> None:
    lines, whole, _ = corpus_files(seed, scale)
    for file, rows in lines.items():
        (folder / file).write_bytes(_compressed(file, "".join(f"{row}\n" for row in rows).encode()))
    for file, contents in whole.items():
        if file.endswith(".parquet"):
            _write_parquet(folder / file, contents)
        else:
            # One file as an old Windows editor saved it.
            encoding = "cp949" if file == "essay-00.txt" else "utf-8"
            heading = "# " if file.endswith(".md") else ""
            (folder / file).write_bytes(f"{heading}{contents[0].text}\n".encode(encoding))


def _compressed(file: str, content: bytes) -> bytes:
    if file.endswith(".gz"):
        return gzip.compress(content, mtime=0)
    if file.endswith(".xz"):
        return lzma.compress(content)
    if file.endswith(".zst"):
        import zstandard

        return zstandard.ZstdCompressor(level=9).compress(content)
    return content


def _write_parquet(path: Path, rows: list[SampleDocument]) -> None:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row.row() for row in rows]), buffer)
    path.write_bytes(buffer.getvalue())


def _write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _origin(item_id: str, task: str) -> dict[str, str]:
    return {"id": item_id, "task": task, "source": "sample", "licence": documents.LICENCE}


def _write_instructions(folder: Path, seed: int, scale: float) -> None:
    """Both landing formats, with what hand-kept sets have: duplicates, an empty answer, roles in the wrong order."""
    items = instructions.draw(seed, round(2200 * scale) or 1, held_out=False)
    half = len(items) // 2
    alpaca = [
        _origin(f"alpaca-{n}", item.task) | {"instruction": item.prompt, "input": "", "output": item.answer}
        for n, item in enumerate(items[:half])
    ]
    chats = [
        _origin(f"chat-{n}", item.task) | {"messages": user(item.prompt) + assistant(item.answer)}
        for n, item in enumerate(items[half:])
    ]
    faulty = [
        *alpaca[: max(1, len(alpaca) // 50)],
        _origin("alpaca-empty", "faulty") | {"instruction": "이 낱말의 뜻은 무엇인가요?", "input": "", "output": ""},
    ]
    _write_jsonl(folder / "alpaca.jsonl", [*alpaca, *faulty])
    _write_jsonl(
        folder / "chats.jsonl",
        [*chats, _origin("chat-roles", "faulty") | {"messages": assistant("네.") + user("왜요?")}],
    )


def _write_preferences(folder: Path, seed: int, scale: float) -> None:
    """Pairs as strings and as messages, with one pair whose sides are equal."""
    pairs = preferences.pairs(seed, round(900 * scale) or 1, held_out=False)
    half = len(pairs) // 2
    plain = [
        _origin(f"plain-{n}", pair.task) | {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
        for n, pair in enumerate(pairs[:half])
    ]
    equal = _origin("plain-equal", "faulty") | {"prompt": "고마워요.", "chosen": "천만에요.", "rejected": "천만에요."}
    chats = [
        _origin(f"chat-{n}", pair.task)
        | {"prompt": user(pair.prompt), "chosen": assistant(pair.chosen), "rejected": assistant(pair.rejected)}
        for n, pair in enumerate(pairs[half:])
    ]
    _write_jsonl(folder / "plain.jsonl", [*plain, equal])
    _write_jsonl(folder / "chats.jsonl", chats)


def _write_benchmarks(folder: Path, seed: int, scale: float) -> None:
    for suite, items in suites(seed, scale).items():
        _write_jsonl(folder / f"{suite}.jsonl", items)
