"""Contamination: documents that hold pieces of an evaluation suite, found by word 13-grams and character n-grams.

Brown et al. 2020 (GPT-3, appendix C) for the 13-grams; character n-grams run over letters and digits only, so that
Korean text that is spaced differently is found too. An n-gram that several items share is their template, no evidence.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.contract.recipe.data import DecontaminationSettings, NormaliseSettings
from trainers.text.characters import Codes, Starts, Texts
from trainers.text.minhash import word_characters
from trainers.text.normalise import normalise

SHARED_BY = 2
"""What more items than this have in common belongs to their template."""
_FILTER_BITS = 22


@dataclass(frozen=True)
class Hit:
    """A piece of a document that is a piece of an item: offsets in characters."""

    document: int
    begin: int
    end: int
    item: str


class Suites:
    """The n-grams of all items of the evaluation suites."""

    def __init__(self, settings: DecontaminationSettings, texts: Sequence[tuple[str, str]]):
        """`texts` are (item, text) pairs; an item may have several."""
        self._settings = settings
        self._items = sorted({item for item, _ in texts})
        numbers = {item: number for number, item in enumerate(self._items)}
        owners = np.array([numbers[item] for item, _ in texts], np.int64)
        normalised, _ = normalise(Texts.of([text for _, text in texts]), NormaliseSettings())
        document, _, _, keys = self._scan(normalised, np.ones(1, np.bool_), np.zeros(0, np.uint64))
        pairs = np.unique(np.stack((keys, owners[document].astype(np.uint64)), axis=1), axis=0)
        keys, first, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
        mine = counts <= SHARED_BY
        self._keys, self._owners = keys[mine], pairs[first[mine], 1].astype(np.int64)
        self._filter = np.zeros(1 << _FILTER_BITS, np.bool_)
        self._filter[self._keys & np.uint64(len(self._filter) - 1)] = True

    @classmethod
    def read(cls, settings: DecontaminationSettings, files: Sequence[Path]) -> "Suites":
        """From suite files: JSON lines of any benchmark format."""
        return cls(settings, [(name, text) for name, item in items(files) for text in _texts_of(item)])

    def find(self, documents: Sequence[str]) -> list[Hit]:
        """All hits in a batch of normalised documents, in order."""
        if not len(self._keys):
            return []
        texts = documents if isinstance(documents, Texts) else Texts.of(documents)
        document, begin, end, keys = self._scan(texts, self._filter, self._keys)
        owners = self._owners[np.searchsorted(self._keys, keys)]
        offsets = texts.starts[document]
        rows = zip(*(a.tolist() for a in (document, begin - offsets, end - offsets, owners)), strict=True)
        return [Hit(number, first, last, self._items[owner]) for number, first, last, owner in rows]

    def _scan(
        self, texts: Texts, filter_: NDArray[np.bool_], keys: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        hits: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]] = _scan(
            texts.codes, texts.starts, word_characters(), filter_, keys, self._settings.words, self._settings.characters
        )
        return hits


def items(files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The items of suite files, each with a name for people."""
    for path in files:
        with path.open(encoding="utf-8") as lines:  # str.splitlines would part a text at its own separators, as U+2028
            for number, item in enumerate(map(json.loads, lines), 1):
                yield f"{path.stem}:{item.get('id', number)}", item


def _texts_of(item: dict[str, Any]) -> Iterator[str]:
    """The texts of an item that a model must not have read: questions with their answers, never choices alone."""
    if "choices" in item and "question" in item:
        yield f"{item['question']} {item['choices'][item['answer']]}"
        yield item["question"]
        return
    for key in ("text", "prompt", "messages", "chosen"):
        value = item.get(key)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (message["content"] for message in value if isinstance(message, dict) and "content" in message)


@njit(cache=True)
def _has_key(key: np.uint64, filter_: NDArray[np.bool_], keys: NDArray[np.uint64]) -> bool:
    """True where the set has the key; an empty set has all (used to list n-grams)."""
    if not filter_[key & np.uint64(len(filter_) - 1)]:
        return False
    if len(keys) == 0:
        return True
    place = np.searchsorted(keys, key)
    return bool(place < len(keys) and keys[place] == key)


@njit(cache=True)
def _scan(
    codes: Codes,
    starts: Starts,
    letters: NDArray[np.uint32],
    filter_: NDArray[np.bool_],
    keys: NDArray[np.uint64],
    words: int,
    characters: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Document, begin, end and key of each known n-gram; runs of overlapping hits of one kind are all listed."""
    document_out, begin_out, end_out, key_out = [0], [0], [0], [np.uint64(0)]  # first rows give numba the types
    prime = np.uint64(0x9E3779B97F4A7C15)
    base = np.uint64(0x100000001B3)
    top = np.uint64(1)
    for _ in range(characters):
        top *= base
    recent = np.zeros(words, np.uint64)
    word_begins = np.zeros(words, np.int64)
    ring = np.zeros(characters, np.uint64)
    ring_places = np.zeros(characters, np.int64)
    for document in range(len(starts) - 1):
        word, word_begin, count, seen, rolling = np.uint64(0), -1, 0, 0, np.uint64(0)
        end = starts[document + 1]
        for i in range(starts[document], end + 1):
            code = letters[codes[i]] if i < end else np.uint32(0)
            if code:
                if word_begin < 0:
                    word_begin = i
                word = (word ^ np.uint64(code)) * prime
                slot = seen % characters
                rolling = rolling * base + np.uint64(code)
                if seen >= characters:
                    rolling -= ring[slot] * top
                ring[slot], ring_places[slot] = np.uint64(code), i
                seen += 1
                if seen >= characters:
                    key = (rolling ^ (rolling >> np.uint64(32))) * prime
                    key ^= key >> np.uint64(29)
                    if _has_key(key, filter_, keys):
                        document_out.append(document)
                        begin_out.append(ring_places[seen % characters])
                        end_out.append(i + 1)
                        key_out.append(key)
            elif word_begin >= 0:
                recent[count % words], word_begins[count % words] = word ^ (word >> np.uint64(32)), word_begin
                count += 1
                word, word_begin = np.uint64(0), -1
                if count >= words:
                    key = np.uint64(words)
                    for back in range(words):
                        key = (key ^ recent[(count - 1 - back) % words]) * prime
                        key ^= key >> np.uint64(29)
                    if _has_key(key, filter_, keys):
                        document_out.append(document)
                        begin_out.append(word_begins[count % words])
                        end_out.append(i)
                        key_out.append(key)
    return (
        np.array(document_out[1:], np.int64),
        np.array(begin_out[1:], np.int64),
        np.array(end_out[1:], np.int64),
        np.array(key_out[1:], np.uint64),
    )
