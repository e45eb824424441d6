"""The corpus chain over a set of files: clean block by block, decide what is a duplicate, write the result."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from trainers.contract import DEDUP_INDEX, BadData, CorpusDetails
from trainers.contract.files import write_atomically
from trainers.corpus.blocks import PublishedBlock, in_order
from trainers.corpus.clean import Cleaner
from trainers.corpus.earlier import EarlierCorpus, write_index
from trainers.corpus.join import Joined
from trainers.corpus.plan import CorpusPlan
from trainers.corpus.pool import Pool, Spent, Task, peak_bytes
from trainers.corpus.report import html, markdown
from trainers.corpus.statistics import statistics
from trainers.corpus.write import EXCLUSIONS, write_documents, write_exclusions
from trainers.text.minhash import BANDS
from trainers.text.read import BLOCK_BYTES, read_blocks
from trainers.text.records import UNREADABLE

_BLOCKS_WORTH_A_POOL = 3
"""Starting processes costs seconds; less work than this is done sooner without them."""


class Log(Protocol):
    """Who is told how the work goes; a stage's Reporter is one."""

    def say(self, text: str) -> None:
        """One line for people."""

    def warn(self, text: str) -> None:
        """One line that somebody should read."""


@dataclass
class Corpus:
    """A finished corpus: its figures."""

    details: CorpusDetails
    metrics: dict[str, float]
    timings: dict[str, float] = field(default_factory=dict)


def build(
    plan: CorpusPlan, scratch: Path, output: Path, reporter: Log, workers: int, earlier: Sequence[EarlierCorpus] = ()
) -> Corpus:
    """Run the chain; finished blocks in `scratch` are not done again.

    Raises:
        BadData: nothing to read, or nothing usable; names the three biggest reasons.
    """
    if not plan.files:
        raise BadData("nothing to make a corpus of: the folder is empty; put JSON lines, text or parquet files there")
    began = time.monotonic()
    blocks, cleaning = clean_blocks(plan, scratch / "blocks", reporter, workers)
    if not blocks:
        raise BadData(f"no documents: the {len(plan.files)} files are empty")
    cleaned = time.monotonic()
    joined = Joined(plan.section, blocks, earlier)
    if not joined.kept.any() or joined.validation[joined.kept].all():
        reasons = ", ".join(f"{reason} ({n})" for reason, n in joined.excluded.most_common(3)) or "no documents"
        raise BadData(f"no usable training document in {len(plan.files)} files; the biggest reasons: {reasons}")
    _refuse_broken(plan, joined)
    _write(plan, joined, scratch, output)
    details = joined.details(plan.digest)
    before = {corpus.release: corpus.folder.parent for corpus in earlier}
    details.nouns, details.fertility = statistics(plan.section, output, before)
    (output / "report.md").write_text(markdown(details), encoding="utf-8")
    (output / "report.html").write_text(html(details), encoding="utf-8")
    reporter.say(f"kept {details.kept:,} of {details.read:,} documents, {details.characters:,} characters")
    timings = {"cleaning_seconds": cleaned - began, "joining_seconds": time.monotonic() - cleaned, **cleaning}
    timings["joining_peak_bytes"] = peak_bytes()
    return Corpus(details, joined.metrics(), {name: round(value, 3) for name, value in timings.items()})


def _refuse_broken(plan: CorpusPlan, joined: Joined) -> None:
    """Stop at a drop that was made wrongly.

    Raises:
        BadData: more rows cannot be read than the recipe allows; names the biggest reasons.
    """
    unreadable = Counter({reason: n for reason, n in joined.excluded.items() if reason in UNREADABLE})
    read = sum(block.summary["read"] for block in joined.blocks)
    if unreadable.total() > plan.section.max_bad_share * read:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in unreadable.most_common(3))
        raise BadData(
            f"{unreadable.total()} of {read} rows cannot be read (allowed: {plan.section.max_bad_share:.0%}); "
            f"the biggest reasons: {reasons}"
        )


def clean_blocks(
    plan: CorpusPlan, folder: Path, reporter: Log, workers: int, index: int = 0, of: int = 1
) -> tuple[list[PublishedBlock], dict[str, float]]:
    """Clean the blocks that are not published yet, of every `of` the one at `index`; all that are in order, timings."""
    cleaner = Cleaner(plan.section, plan.buckets, plan.suites)
    places: list[Path] = []
    read = 0

    def missing() -> Iterator[Task]:
        nonlocal read
        for block in read_blocks(plan.files):
            if block.number % of != index:
                continue
            place = plan.place(folder, block)
            places.append(place)
            read += block.size
            if not place.exists():
                yield Task(block, place)

    seconds, cleaned, peak = 0.0, 0, 0
    for task, spent in _run(cleaner, missing(), _pool_size(plan, workers), reporter):
        seconds, cleaned, peak = seconds + spent.seconds, cleaned + task.block.size, max(peak, spent.peak)
        rate = f"{cleaned / 1e6 / seconds:.1f} MB/s a core" if seconds else ""
        reporter.say(f"cleaned {task.block.file} from line {task.block.line}; {read / 1e6:.1f} MB read  {rate}")
    timings = {"cleaned_bytes": cleaned, "cleaning_cpu_seconds": seconds, "cleaning_peak_bytes": peak}
    return [PublishedBlock(place) for place in places], timings


def _pool_size(plan: CorpusPlan, workers: int) -> int:
    return workers if workers > 1 and plan.size * 2 > _BLOCKS_WORTH_A_POOL * BLOCK_BYTES else 0


def _run(cleaner: Cleaner, tasks: Iterator[Task], processes: int, reporter: Log) -> Iterator[tuple[Task, Spent]]:
    if processes:
        with Pool(cleaner, processes, reporter.warn) as pool:
            yield from pool.run(tasks)
    else:
        yield from ((task, task.run(cleaner)) for task in tasks)


def _write(plan: CorpusPlan, joined: Joined, scratch: Path, output: Path) -> None:
    mark = scratch / "joining.json"
    if not mark.exists() or json.loads(mark.read_text()) != plan.digest:
        for leftover in output.iterdir():  # of an attempt with other code, that was killed while it wrote
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        write_atomically(mark, json.dumps(plan.digest))
    shard_bytes = int(plan.section.shard_megabytes * 2**20)
    kept, held_out, form = joined.kept, joined.validation, plan.section.shard_format
    write_documents(joined.blocks, plan.buckets, kept, held_out, output, shard_bytes, form)
    write_exclusions(joined.exclusions(), output / EXCLUSIONS)
    places = np.flatnonzero(joined.kept)
    places = places[in_order(joined.meta[places])]
    names = [origin[0] for block in joined.blocks for origin in block.origins()]
    write_index(
        output / DEDUP_INDEX,
        joined.meta["high"][places],
        joined.meta["low"][places],
        joined.signatures[places],
        [joined.band(band)[places] for band in range(BANDS)],
        [names[place] for place in places.tolist()],
    )
