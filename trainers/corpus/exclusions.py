"""What of each block is not in the corpus, and why; and what its kept documents count under."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import zstandard

from trainers.corpus.join import COPY, KEPT, TAKEN_DOWN, Decisions
from trainers.corpus.packing import LEVEL, packed_aside, unpacked
from trainers.corpus.parts import NOWHERE
from trainers.corpus.publish import published_file, published_folder
from trainers.corpus.statistics import source_group
from trainers.corpus.tasks import Context, Task
from trainers.corpus.write import Written
from trainers.text.records import Exclusion

EXCLUSIONS = "exclusions.jsonl.zst"
COUNTS = "counts.json"
"""Of an account: its kept documents by source and licence."""
_LINES = "exclusions"
_BLOCKS_AT_ONCE = 8


def account_tasks(context: Context, written: Written) -> list[Task]:
    """Account for the documents of all blocks, some blocks at once."""
    return [
        Task(
            f"exclusions from block {first} on",
            written.folder / f"account-{first:06d}",
            partial(_account, written, first),
        )
        for first in range(0, len(context.blocks), _BLOCKS_AT_ONCE)
    ]


def _account(written: Written, first: int, context: Context, path: Path) -> None:
    """Leave the exclusions by place of origin, and the counts of sources and licences."""
    counts: dict[str, Counter[str]] = {"source": Counter(), "licence": Counter()}
    lines: list[bytes] = []
    for number in range(first, min(first + _BLOCKS_AT_ONCE, len(context.blocks))):
        rows = [*context.blocks[number].exclusions(), *_exclusions(context, written, number, counts)]
        rows.sort(key=lambda row: row.line)
        lines += [json.dumps(vars(row), ensure_ascii=False).encode() + b"\n" for row in rows]
    with published_folder(path) as folder:
        (folder / _LINES).write_bytes(packed_aside(lines))
        (folder / COUNTS).write_text(json.dumps(counts, ensure_ascii=False), encoding="utf-8")


def _exclusions(
    context: Context, written: Written, number: int, counts: dict[str, Counter[str]]
) -> Iterator[Exclusion]:
    block, decided = context.blocks[number], written.decided
    file = block.summary["file"]
    places = [begin + part.arrival[slice(*part.begins[number : number + 2])] for begin, _, part in written.parts]
    numbers = np.concatenate(places).astype(np.int64)
    columns = (decided.says[numbers].tolist(), decided.stands[numbers].tolist())
    for (name, line, source, licence), says, stands in zip(block.origins(), *columns, strict=True):
        if says & KEPT:
            counts["source"][source_group(source)] += 1
            counts["licence"][licence] += 1
        elif says & TAKEN_DOWN:
            yield Exclusion(name, file, line, "takedown")
        else:
            yield Exclusion(name, file, line, *_why(context, written, decided, says, stands))


def _why(context: Context, written: Written, decided: Decisions, says: int, stands: int) -> tuple[str, str, str]:
    """Reason, detail, and the id of the document that is there instead."""
    holder = int(decided.release[stands])
    reason = "exact_duplicate" if says & COPY else "near_duplicate"
    if holder != NOWHERE:
        corpus = context.earlier[holder]
        return reason, f"in release {corpus.release}", corpus.ids[int(decided.twin[stands])]
    shard = int(np.searchsorted(decided.shards[:, 1], stands, side="right"))
    first = int(decided.shards[shard, 0])
    return reason, "", _names(written, shard)[int(decided.place[stands] - decided.place[first])]


@lru_cache(maxsize=64)
def _names(written: Written, shard: int) -> list[str]:
    return written.names(shard)


def exclusions_task(context: Context, accounts: Sequence[Path]) -> Task:
    """Put the accounts of all blocks together as `exclusions.jsonl.zst`."""
    return Task("exclusions", context.output / EXCLUSIONS, partial(_write_exclusions, accounts))


def _write_exclusions(accounts: Sequence[Path], context: Context, path: Path) -> None:
    with (
        published_file(path, context.aside) as stream,
        zstandard.ZstdCompressor(level=LEVEL).stream_writer(stream, closefd=False) as packed,
    ):
        for account in accounts:
            packed.write(unpacked(account / _LINES))
