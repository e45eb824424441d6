"""Near duplicates: MinHash signatures, candidates by banding, verified by the signatures, clustered.

Broder 1997 (resemblance), Leskovec et al., Mining of Massive Datasets, 3.4 (banding). A document is the set of its
word 5-grams, without case and punctuation. 112 hashes in 28 bands of 4 make nearly every pair of similarity 0.6 a
candidate; what decides is the share of equal hashes (standard error 0.045 there), of which one byte each is kept.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.text.characters import LATIN, WORD, Codes, Starts, Texts, classes

BANDS = 28
ROWS = 4
HASHES = BANDS * ROWS
_SHINGLE = 5
_ALL_PAIRS_UP_TO = 12
"""In a bigger group of candidates each is compared with the next and with the first only."""

Signatures = NDArray[np.uint8]
Keys = NDArray[np.uint32]


def signatures(texts: Texts) -> tuple[Signatures, Keys]:
    """Of each document the signature (N, 112) and the key of each band (N, 28)."""
    multipliers, offsets = _permutations()
    return _sign(texts.codes, texts.starts, word_characters(), multipliers, offsets)  # type: ignore[no-any-return]


@cache
def _permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    random = np.random.Generator(np.random.PCG64(20261121))
    multipliers = random.integers(0, 2**32, HASHES, dtype=np.uint32) | np.uint32(1)
    return multipliers, random.integers(0, 2**32, HASHES, dtype=np.uint32)


@cache
def word_characters() -> NDArray[np.uint32]:
    """For each code point that is part of a word its lower case, for all others 0."""
    kinds = classes()
    table = np.where(np.isin(kinds, WORD), np.arange(len(kinds)), 0).astype(np.uint32)
    for code in np.flatnonzero(kinds[:0x2000] == LATIN).tolist():
        lower = chr(code).lower()
        table[code] = ord(lower) if len(lower) == 1 else code
    return table


@njit(cache=True)
def _sign(
    codes: Codes,
    starts: Starts,
    word_characters: NDArray[np.uint32],
    multipliers: NDArray[np.uint32],
    offsets: NDArray[np.uint32],
) -> tuple[Signatures, Keys]:
    documents = len(starts) - 1
    signatures = np.zeros((documents, HASHES), np.uint8)
    keys = np.zeros((documents, BANDS), np.uint32)
    least = np.empty(HASHES, np.uint32)
    recent = np.zeros(_SHINGLE, np.uint64)
    prime = np.uint64(0x9E3779B97F4A7C15)
    for document in range(documents):
        least[:] = np.uint32(0xFFFFFFFF)
        words, length, word = 0, 0, np.uint64(0)
        end = starts[document + 1]
        for i in range(starts[document], end + 1):
            code = word_characters[codes[i]] if i < end else np.uint32(0)
            if code:
                word = (word ^ np.uint64(code)) * prime
                length += 1
                continue
            if length:
                recent[words % _SHINGLE] = word ^ (word >> np.uint64(32))
                words += 1
                word, length = np.uint64(0), 0
            if (words >= _SHINGLE and i > starts[document] and word_characters[codes[i - 1]]) or (
                i == end and 0 < words < _SHINGLE
            ):
                shingle = np.uint64(0)
                for back in range(min(words, _SHINGLE)):
                    shingle = (shingle ^ recent[(words - 1 - back) % _SHINGLE]) * prime
                    shingle ^= shingle >> np.uint64(29)
                mixed = np.uint32(shingle >> np.uint64(32))
                for k in range(HASHES):
                    value = np.uint32(mixed * multipliers[k] + offsets[k])
                    if value < least[k]:
                        least[k] = value
        for band in range(BANDS):
            key = np.uint64(band + 1)
            for row in range(ROWS):
                value = least[band * ROWS + row]
                signatures[document, band * ROWS + row] = np.uint8(value & np.uint32(0xFF))
                key = (key ^ np.uint64(value)) * prime
                key ^= key >> np.uint64(31)
            keys[document, band] = np.uint32(key >> np.uint64(32))
    return signatures, keys


def joined(
    signatures: Signatures, bands: Iterable[tuple[Keys, NDArray[np.int64]]], threshold: float
) -> NDArray[np.int64]:
    """For each document the lowest index of those that are near to it, by however many steps; its own where none is.

    Args:
        bands: of each band the keys, sorted, and the indices of the documents that have them; a key that no two have
            need not be there. In a big group the order of its documents decides which of them are compared.
        threshold: least share of equal hashes.
    """
    parent = np.arange(len(signatures), dtype=np.int64)
    least = int(np.ceil(threshold * HASHES))
    for keys, documents in bands:
        _join_band(signatures, keys, documents, parent, least)
    return lowest(parent)  # type: ignore[no-any-return]


@njit(cache=True)
def _root(parent: NDArray[np.int64], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


@njit(cache=True)
def equal_hashes(one: Signatures, other: Signatures) -> int:
    """Number of equal hashes of two signatures."""
    equal = 0
    for k in range(len(one)):
        equal += one[k] == other[k]
    return equal


@njit(cache=True)
def _join(parent: NDArray[np.int64], one: int, other: int) -> None:
    a, b = _root(parent, one), _root(parent, other)
    parent[max(a, b)] = min(a, b)


@njit(cache=True)
def _join_band(
    signatures: Signatures, keys: Keys, documents: NDArray[np.int64], parent: NDArray[np.int64], least: int
) -> None:
    """Join the documents of equal keys (given sorted by key) whose signatures agree."""
    begin = 0
    while begin < len(keys):
        end = begin + 1
        while end < len(keys) and keys[end] == keys[begin]:
            end += 1
        small = end - begin <= _ALL_PAIRS_UP_TO
        for left in range(begin, end):
            for right in range(left + 1, end if small or left == begin else min(left + 2, end)):
                one, other = documents[left], documents[right]
                if (
                    _root(parent, one) != _root(parent, other)
                    and equal_hashes(signatures[one], signatures[other]) >= least
                ):
                    _join(parent, one, other)
        begin = end


@njit(cache=True)
def unite(parent: NDArray[np.int64], edges: NDArray[np.int64]) -> None:
    """Join the documents of each edge (M, 2) in a forest in which nobody's parent is higher than itself."""
    for edge in range(len(edges)):
        _join(parent, edges[edge, 0], edges[edge, 1])


@njit(cache=True)
def lowest(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """The root of each document of such a forest, which this flattens."""
    for index in range(len(parent)):  # a parent is lower, so it points at its root by now
        parent[index] = parent[parent[index]]
    return parent
