"""The corpus chain over a set of files, step by step: clean, hash, join, write. Each step is tasks for an engine."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from trainers.contract import BadData, CorpusDetails, Needs
from trainers.contract.layout import Place
from trainers.corpus.earlier import EarlierCorpus
from trainers.corpus.exclusions import COUNTS, account_tasks, exclusions_task
from trainers.corpus.figures import Figures
from trainers.corpus.index import index_tasks, key_tasks
from trainers.corpus.join import Decisions, decide
from trainers.corpus.near import cells_of, edge_tasks, known, known_tasks
from trainers.corpus.nodes import ADDRESS
from trainers.corpus.parts import Parts, part_tasks, parts_of
from trainers.corpus.plan import CorpusPlan
from trainers.corpus.pool import Pool
from trainers.corpus.publish import published_file
from trainers.corpus.remote import Remote
from trainers.corpus.report import html, markdown
from trainers.corpus.statistics import statistics
from trainers.corpus.steps import Listener, Steps
from trainers.corpus.tasks import Alone, Context, Engine, Task
from trainers.corpus.write import Written, held_out_tasks, shard_tasks
from trainers.runner.host_memory import peak_bytes
from trainers.text.losses import biggest, unread_in_words, warn_of
from trainers.text.read import BLOCK_BYTES, Block, read_blocks

_BLOCKS_WORTH_A_POOL = 3
"""Starting processes costs seconds; less work than this is done sooner without them."""
_SHARE_OF_MEMORY = 4
"""What a core has is cut in so many parts; a task of the joining reckons with one of them."""


@dataclass
class Corpus:
    """A finished corpus: its figures."""

    details: CorpusDetails
    metrics: dict[str, float]
    timings: dict[str, float] = field(default_factory=dict)


def clean_task(block: Block, place: Path) -> Task:
    """Clean a block and publish it."""
    title = f"block {block.number} ({block.file} from line {block.line})"
    return Task(title, place, partial(_clean_block, block), block.size)


def _clean_block(block: Block, context: Context, path: Path) -> None:
    context.cleaner.clean(block).publish(path, block.file)


def build(
    plan: CorpusPlan,
    scratch: Path,
    output: Path,
    listener: Listener,
    needs: Needs,
    earlier: Sequence[EarlierCorpus] = (),
) -> Corpus:
    """Run the chain; what an attempt before published in `scratch` is not done again.

    Raises:
        BadData: nothing to read, or nothing usable; names the three biggest reasons.
    """
    if not plan.drop.files and not plan.drop.refused:
        raise BadData("nothing to make a corpus of: the folder is empty; put JSON lines, text or parquet files there")
    work = scratch / "work"
    plan.claim(work, output)
    memory = int(needs.memory_bytes / math.ceil(needs.cpu) / _SHARE_OF_MEMORY)
    context = Context(plan.section, plan.buckets, plan.suites, tuple(earlier), work, output, memory, plan.code)
    context.cleaner  # noqa: B018 - what it needs and is not there is said before any process starts
    with _engine(plan, context, needs, listener) as engine:
        steps = Steps(engine, listener)
        return _build(plan, context, steps, listener)


def _build(plan: CorpusPlan, context: Context, steps: Steps, listener: Listener) -> Corpus:
    cleaned = _clean(plan, context, steps, listener)
    if not context.blocks:
        raise BadData(f"no documents: the {len(plan.drop.files)} files are empty")
    parts = _hash(context, steps)
    decided = _join(context, steps, parts)
    figures = Figures(context.blocks, parts, decided, context.earlier)
    if not figures.train_documents:
        raise BadData(
            f"no usable training document in {len(plan.drop.files)} files; the biggest reasons: "
            f"{biggest(figures.excluded) or 'no documents'}{figures.first_unreadable()}"
            f"{unread_in_words(figures.losses.files)}"
        )
    figures.losses.refuse(plan.section.max_bad_share, "the corpus", figures.excluded)
    accounts = _write(context, steps, Written(parts, context.work / "written"), decided)
    details = figures.details(plan.digest, [account / COUNTS for account in accounts])
    listener.training_ended()  # a long report is no stall
    details.work = steps.work
    _report(plan, context, details)
    warn_of(details, listener)
    listener.say(f"kept {details.kept:,} of {details.read:,} documents, {details.characters:,} characters")
    timings = {**steps.timings, "cleaned_bytes": cleaned, "driver_peak_bytes": peak_bytes()}
    return Corpus(details, figures.metrics(), {name: round(value, 3) for name, value in timings.items()})


def _clean(plan: CorpusPlan, context: Context, steps: Steps, listener: Listener) -> int:
    """Clean the blocks that are not published yet; gives the bytes of those."""
    names: list[str] = []
    read = 0

    def missing() -> Iterator[Task]:
        nonlocal read
        for block in read_blocks(plan.drop):
            task = clean_task(block, plan.place(context.work / "blocks", block))
            names.append(task.path.name)
            read += task.size
            if not task.path.exists():
                yield task

    cleaned, began = 0, time.monotonic()
    for task, _ in steps.each("clean", missing()):
        cleaned += task.size
        rate = cleaned / max(time.monotonic() - began, 1e-9)
        listener.say(f"cleaned {task.title}; {read / 1e6:.1f} MB read")
        steps.tell("clean", cleaned, max(plan.size, read), "byte", {"bytes_per_second": rate})
    with published_file(context.block_names) as stream:
        np.save(stream, np.array(names, np.str_))
    return cleaned


def _hash(context: Context, steps: Steps) -> Parts:
    parts = parts_of(context, sum(block.count for block in context.blocks))
    steps.all("hash", part_tasks(parts))
    return parts


def _join(context: Context, steps: Steps, parts: Parts) -> Decisions:
    edges: list[Task] = []
    releases = known(parts, [])
    if context.section.near_dedup.enabled:
        folder, cells = context.work / f"near-{parts.count}", cells_of(context, parts.documents)
        if context.earlier:
            finds = known_tasks(parts, cells, folder)
            steps.all("join", finds)
            releases = known(parts, [find.path for find in finds])
        with published_file(folder / "releases.npy") as stream:
            np.save(stream, releases[0])
        edges = edge_tasks(parts, cells, folder)
        steps.all("join", edges)
    taken_down = [(high, low) for block in context.blocks for high, low in block.summary["taken_down"]]
    return decide(context.section, parts, [edge.path for edge in edges], releases, taken_down)


def _write(context: Context, steps: Steps, written: Written, decided: Decisions) -> list[Path]:
    """Write shards, exclusions and index; gives where the blocks are accounted for."""
    decided.write(written.folder / "decided")
    steps.all("write", shard_tasks(written))
    cells = cells_of(context, written.parts.documents)
    accounts, keys = account_tasks(context, written), key_tasks(written, cells)
    steps.all("write", [*held_out_tasks(context, written), *accounts, *keys])
    places = [account.path for account in accounts]
    index = index_tasks(context, written, [(cell, key.path) for cell, key in zip(cells, keys, strict=True)])
    steps.all("write", [*index, exclusions_task(context, places)])
    return places


def _report(plan: CorpusPlan, context: Context, details: CorpusDetails) -> None:
    before = {corpus.release: corpus.folder.parent for corpus in context.earlier}
    details.nouns, details.fertility = statistics(plan.section, context.output, before)
    (context.output / "report.md").write_text(markdown(details), encoding="utf-8")
    last = context.earlier[-1] if context.earlier else None
    manifest = Place(last.folder.parent).read_manifest() if last else None
    compared = manifest.details if manifest and isinstance(manifest.details, CorpusDetails) else None
    page = html(details, compared, last.release if last else "")
    (context.output / "report.html").write_text(page, encoding="utf-8")


def _engine(plan: CorpusPlan, context: Context, needs: Needs, listener: Listener) -> Engine:
    if needs.engine == "ray" or (needs.engine is None and os.environ.get(ADDRESS)):
        return Remote(context, needs, listener.say, listener.warn)
    if count := _pool_size(plan, math.ceil(needs.cpu)):
        return Pool(context, count, listener.warn)
    return Alone(context)


def _pool_size(plan: CorpusPlan, workers: int) -> int:
    return workers if workers > 1 and plan.size * 2 > _BLOCKS_WORTH_A_POOL * BLOCK_BYTES else 0
