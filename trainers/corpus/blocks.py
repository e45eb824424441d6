"""A cleaned block on the disk: a folder that appears whole or not at all.

Its documents are sorted by content hash and packed in buckets of that hash, so that the shards written
later depend on the documents only, not on how the input was cut into files and blocks.
"""

import hashlib
import heapq
import json
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from trainers.corpus.packing import LEVEL_ASIDE, packed_aside, unpacked
from trainers.corpus.publish import published_folder
from trainers.text.minhash import BANDS, HASHES
from trainers.text.records import Exclusion

LANGUAGES = ("ko", "en", "other")
META = np.dtype(
    [
        ("high", "u8"),  # the two halves of the content hash
        ("low", "u8"),
        ("characters", "u4"),
        ("bytes", "u4"),
        ("row", "u4"),  # bytes of its JSON line: where a shard ends
        ("words", "u4"),
        ("language", "u1"),
        ("id_high", "u8"),  # the first 16 bytes of the id: they order ids without holding them in memory
        ("id_low", "u8"),
        ("tie", "u8"),  # a hash of its whole JSON line but for the text, for ids that are equal up to there
    ]
)
"""What is known of each kept document of a block, in its order: 61 bytes."""
DOCUMENT = np.dtype([("meta", META), ("signature", "u1", HASHES), ("bands", "u4", BANDS)])
"""All that a block holds of a document beside its line, in one place, so that a part of a block is one read."""
_PLACE = struct.Struct("<2q")
"""Of a bucket in a file of a block: the index of its first document, and where its piece begins."""
Evidence = dict[str, str]
"""A contaminated document: its `id`, the suite's `item` and the `piece` they share."""
MOST_EVIDENCE = 100
"""Contaminated documents that are shown."""


def in_order(meta: NDArray[np.void]) -> NDArray[np.int64]:
    """The one order of documents, by META: by their hash, and equal ones by what else their JSON line says."""
    return np.lexsort([meta[name] for name in ("tie", "id_low", "id_high", "low", "high")])


def bucket_edges(buckets: int) -> NDArray[np.uint64]:
    """The lowest hash (its upper half) of each bucket."""
    return np.arange(buckets, dtype=np.uint64) * np.uint64(2**64 // buckets)


def name_of(row: bytes) -> str:
    """The id in a JSON line of a corpus, without reading its text: no `"` inside an id stands by itself."""
    name: bytes = row[7 : row.index(b', "text": ', 7)]
    return str(json.loads(name)) if b"\\" in name else name[1:-1].decode()


def shown(evidence: Iterable[Evidence]) -> list[Evidence]:
    """The sample of the evidence that is shown; it does not depend on the order, nor on how the input was cut."""
    return heapq.nsmallest(
        MOST_EVIDENCE, evidence, key=lambda row: hashlib.blake2b(repr(sorted(row.items())).encode()).digest()
    )


@dataclass
class Cleaned:
    """A cleaned block, ready to publish; `rows` are the corpus' JSON lines, in the order of `meta`."""

    rows: list[bytes]
    meta: NDArray[np.void]
    signatures: NDArray[np.uint8]
    bands: NDArray[np.uint32]
    origins: list[tuple[str, int, str, str]]  # id, line, source, licence
    buckets: list[int]  # first row of each bucket, and the end
    summary: dict[str, Any]
    exclusions: list[Exclusion]

    def publish(self, folder: Path, file: str) -> None:
        """Make the block's folder appear, whole."""
        with published_folder(folder) as aside:
            self._write(aside, file)

    def _write(self, aside: Path, file: str) -> None:
        compressor = zstandard.ZstdCompressor(level=LEVEL_ASIDE)
        documents = np.empty(len(self.meta), DOCUMENT)
        documents["meta"], documents["signature"], documents["bands"] = self.meta, self.signatures, self.bands
        spans = [slice(*ends) for ends in pairwise(self.buckets)]
        lines = (b"".join(self.rows[span]) for span in spans)
        _write_pieces(aside / "rows", self.buckets, [compressor.compress(each) if each else b"" for each in lines])
        _write_pieces(aside / "documents", self.buckets, [documents[span].tobytes() for span in spans])
        for name, content in (("origins", self.origins), ("exclusions", [vars(row) for row in self.exclusions])):
            (aside / name).write_bytes(packed_aside([json.dumps(content, ensure_ascii=False).encode()]))
        (aside / "summary.json").write_text(json.dumps({"file": file, **self.summary}, ensure_ascii=False))


def _write_pieces(path: Path, buckets: list[int], pieces: list[bytes]) -> None:
    """A piece for each bucket; before them, of each and of the end, which document is first and where it begins."""
    places = _PLACE.size * len(buckets) + np.cumsum([0, *map(len, pieces)])
    table = b"".join(map(_PLACE.pack, buckets, places.tolist()))
    path.write_bytes(b"".join((table, *pieces)))


class PublishedBlock:
    """A block that was published; nothing is read before it is asked for, and texts are never kept."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def summary(self) -> dict[str, Any]:
        """Counts: `file`, `losses`, `excluded`, `masked`, ...; what is shown: `contaminated`, `rules`."""
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return summary

    @property
    def count(self) -> int:
        """How many documents it has."""
        with (self.folder / "documents").open("rb") as stream:
            _, begin = _PLACE.unpack(stream.read(_PLACE.size))
            return int(stream.seek(0, os.SEEK_END) - begin) // DOCUMENT.itemsize

    def documents(self, first: int, end: int) -> tuple[int, NDArray[np.void]]:
        """Index in the block of the first document of the buckets from `first` to before `end`; DOCUMENT of each."""
        index, piece = self._piece("documents", first, end)
        return index, np.frombuffer(piece, DOCUMENT)

    def rows(self, bucket: int) -> tuple[int, list[bytes]]:
        """Index of the bucket's first document in the block, and the bucket's JSON lines."""
        index, piece = self._piece("rows", bucket, bucket + 1)
        return index, zstandard.ZstdDecompressor().decompress(piece).splitlines(keepends=True) if piece else []

    def _piece(self, name: str, first: int, end: int) -> tuple[int, bytes]:
        """No table is kept: there are as many as blocks, and a process' memory must not grow with those."""
        with (self.folder / name).open("rb", buffering=0) as stream:
            stream.seek(first * _PLACE.size)
            index, begin = _PLACE.unpack(stream.read(_PLACE.size))
            stream.seek(end * _PLACE.size)
            _, stop = _PLACE.unpack(stream.read(_PLACE.size))
            stream.seek(begin)
            return index, stream.read(stop - begin)

    def origins(self) -> list[tuple[str, int, str, str]]:
        """(id, line, source, licence) of each document."""
        origins: list[tuple[str, int, str, str]] = self._load("origins")
        return origins

    def exclusions(self) -> Iterator[Exclusion]:
        """What did not get past cleaning."""
        return (Exclusion(**row) for row in self._load("exclusions"))

    def _load(self, name: str) -> Any:
        return json.loads(unpacked(self.folder / name))
