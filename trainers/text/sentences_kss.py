"""Sentences, split by kss, the reference: in parallel, with a cache, and only where a person asks for it.

kss is hundreds of times dearer than everything else in the chain, and its output depends on what is installed:
the backend is always named. `fast` needs no tagger. What needs boundaries at speed takes sentence_rules.py.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

BACKEND = "fast"
_WORTH_PROCESSES = 200_000
"""Characters from which starting processes (kss takes seconds to import) pays."""
_LONGEST = 20_000
"""kss's time grows faster than a line's length; longer lines are split at spaces first."""


def split(texts: Sequence[str], workers: int = 1, cache: Path | None = None) -> list[list[str]]:
    """Sentences of each text, in order, without surrounding space.

    Args:
        texts: documents; a line end always ends a sentence.
        workers: processes.
        cache: a folder where the sentences of a text are kept under its hash.
    """
    lines = list(dict.fromkeys(line for text in texts for line in _lines(text)))
    cached = {line: sentences for line in lines if cache and (sentences := _recall(cache, line)) is not None}
    missing = [line for line in lines if line not in cached]
    for line, sentences in zip(missing, _split_lines(missing, workers), strict=True):
        cached[line] = sentences
        if cache:
            _remember(cache, line, sentences)
    return [[sentence for line in _lines(text) for sentence in cached[line]] for text in texts]


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        line = line.strip()
        while len(line) > _LONGEST:
            cut = line.rfind(" ", 0, _LONGEST) + 1 or _LONGEST
            yield line[:cut].strip()
            line = line[cut:].strip()
        if line:
            yield line


def _split_lines(lines: Sequence[str], workers: int) -> list[list[str]]:
    if workers <= 1 or sum(map(len, lines)) < _WORTH_PROCESSES:
        return _split_here(lines)
    parts = [lines[begin : begin + 200] for begin in range(0, len(lines), 200)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return [sentences for part in pool.map(_split_here, parts) for sentences in part]


def _split_here(lines: Sequence[str]) -> list[list[str]]:
    import kss  # takes seconds

    return [kss.split_sentences(line, backend=BACKEND, num_workers=1) or [line] for line in lines]


def _place(cache: Path, line: str) -> Path:
    name = hashlib.sha256(f"{BACKEND}\n{line}".encode()).hexdigest()
    return cache / name[:2] / name[2:]


def _recall(cache: Path, line: str) -> list[str] | None:
    place = _place(cache, line)
    return place.read_text(encoding="utf-8").split("\n") if place.exists() else None


def _remember(cache: Path, line: str, sentences: Sequence[str]) -> None:
    place = _place(cache, line)
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f"{place.name}.{os.getpid()}")
    aside.write_text("\n".join(sentences), encoding="utf-8")
    aside.rename(place)
