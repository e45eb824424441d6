"""A cleaned block on the disk: a folder that appears whole or not at all.

Its documents are sorted by content hash and packed in buckets of that hash, so that the shards written
later depend on the documents only, not on how the input was cut into files and blocks.
"""

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from trainers.corpus.packing import LEVEL_ASIDE, packed_aside, unpacked
from trainers.corpus.publish import published_folder
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
    bands: NDArray[np.uint32]  # one row per band
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
        offsets = [0]
        with (aside / "rows").open("wb") as stream:
            for begin, end in zip(self.buckets[:-1], self.buckets[1:], strict=True):
                if end > begin:
                    stream.write(compressor.compress(b"".join(self.rows[begin:end])))
                offsets.append(stream.tell())
        np.save(aside / "meta.npy", self.meta)
        np.save(aside / "signatures.npy", self.signatures)
        np.save(aside / "bands.npy", self.bands)
        np.save(aside / "buckets.npy", np.array([self.buckets, offsets], np.int64))
        for name, content in (("origins", self.origins), ("exclusions", [vars(row) for row in self.exclusions])):
            (aside / name).write_bytes(packed_aside([json.dumps(content, ensure_ascii=False).encode()]))
        (aside / "summary.json").write_text(json.dumps({"file": file, **self.summary}, ensure_ascii=False))


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
    def meta(self) -> NDArray[np.void]:
        """META of each document, mapped from the disk."""
        return np.load(self.folder / "meta.npy", mmap_mode="r")  # type: ignore[no-any-return]

    @property
    def signatures(self) -> NDArray[np.uint8]:
        """Signature of each document, mapped from the disk."""
        return np.load(self.folder / "signatures.npy", mmap_mode="r")  # type: ignore[no-any-return]

    @property
    def bands(self) -> NDArray[np.uint32]:
        """Keys of each band (rows) and document (columns), mapped from the disk."""
        return np.load(self.folder / "bands.npy", mmap_mode="r")  # type: ignore[no-any-return]

    @cached_property
    def _buckets(self) -> NDArray[np.int64]:
        return np.load(self.folder / "buckets.npy")  # type: ignore[no-any-return]

    def span(self, first: int, end: int) -> slice:
        """Where the documents of the buckets from `first` to before `end` are."""
        return slice(*self._buckets[0][[first, end]].tolist())

    def rows(self, bucket: int) -> tuple[int, list[bytes]]:
        """Index of the bucket's first document in the block, and the bucket's JSON lines."""
        first, offsets = self._buckets[0], self._buckets[1]
        if first[bucket] == first[bucket + 1]:
            return int(first[bucket]), []
        with (self.folder / "rows").open("rb") as stream:
            stream.seek(offsets[bucket])
            packed = stream.read(offsets[bucket + 1] - offsets[bucket])
        return int(first[bucket]), zstandard.ZstdDecompressor().decompress(packed).splitlines(keepends=True)

    def origins(self) -> list[tuple[str, int, str, str]]:
        """(id, line, source, licence) of each document."""
        origins: list[tuple[str, int, str, str]] = self._load("origins")
        return origins

    def exclusions(self) -> Iterator[Exclusion]:
        """What did not get past cleaning."""
        return (Exclusion(**row) for row in self._load("exclusions"))

    def _load(self, name: str) -> Any:
        return json.loads(unpacked(self.folder / name))
