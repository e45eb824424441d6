"""The corpus chain over a set of files: clean block by block, decide what is a duplicate, write the result."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.contract import BadData, CorpusDetails, canonical_json
from trainers.corpus.blocks import LANGUAGES, PublishedBlock
from trainers.corpus.clean import Cleaner
from trainers.corpus.exact_dedup import exact_duplicates
from trainers.corpus.read import read_blocks
from trainers.corpus.records import Exclusion
from trainers.corpus.report import markdown, page
from trainers.corpus.write import write_documents, write_exclusions
from trainers.recipe.data import CorpusSection
from trainers.reporting import Reporter

_BUCKET_BYTES = 1 << 20
_EXPANSION = 4  # text bytes per packed byte, roughly: only the number of buckets depends on it
_MOST_NAMES = 200


@dataclass(frozen=True)
class Plan:
    """What is done to which files; blocks of another plan are never mixed in."""

    section: CorpusSection
    files: dict[str, Path]

    @cached_property
    def digest(self) -> str:
        """Identity of the plan: the code of the chain, the section, and names and sizes of the files."""
        code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
        listing = {name: path.stat().st_size for name, path in self.files.items()}
        section = self.section.model_dump(mode="json", exclude={"needs"})
        return hashlib.sha256(canonical_json([code.hexdigest(), section, listing]).encode()).hexdigest()

    @property
    def buckets(self) -> int:
        """In how many parts the hashes are cut, so that one part of all blocks fits into memory."""
        size = sum(path.stat().st_size for path in self.files.values()) * _EXPANSION
        return max(16, min(4096, 1 << (size // _BUCKET_BYTES).bit_length()))


@dataclass
class Corpus:
    """A finished corpus: its figures."""

    details: CorpusDetails
    metrics: dict[str, float]


def build(plan: Plan, scratch: Path, output: Path, reporter: Reporter) -> Corpus:
    """Run the chain; finished blocks in `scratch` are not done again.

    Raises:
        BadData: nothing to read, or nothing usable; names the three biggest reasons.
    """
    if not plan.files:
        raise BadData("the corpus folder of this release is empty; put files there (JSON lines, text, parquet)")
    blocks = _clean_all(plan, scratch / "blocks", reporter)
    joined = _Joined(plan, blocks)
    if not joined.kept.any() or joined.validation[joined.kept].all():
        reasons = ", ".join(f"{reason} ({n})" for reason, n in joined.excluded.most_common(3)) or "no documents"
        raise BadData(f"no usable training document in {len(plan.files)} files; the biggest reasons: {reasons}")
    write_documents(
        blocks, plan.buckets, joined.kept, joined.validation, output, int(plan.section.shard_megabytes * 2**20)
    )
    write_exclusions(joined.exclusions(), output / "exclusions.jsonl.zst")
    details = joined.details()
    (output / "report.md").write_text(markdown(details), encoding="utf-8")
    (output / "report.html").write_text(page(details), encoding="utf-8")
    reporter.say(f"kept {details.kept:,} of {details.read:,} documents, {details.characters:,} characters")
    return Corpus(details, joined.metrics())


def _clean_all(plan: Plan, folder: Path, reporter: Reporter) -> list[PublishedBlock]:
    cleaner = Cleaner(plan.section, plan.buckets)
    published, done = [], 0
    for block in read_blocks(plan.files):
        place = folder / f"{block.number:06d}-{plan.digest[:16]}"
        if not place.exists():
            cleaner.clean(block).publish(place, block.file)
        published.append(PublishedBlock(place))
        done += block.size
        reporter.say(f"cleaned block {block.number}: {block.file} from line {block.line}, {done / 1e6:.1f} MB so far")
    return published


class _Joined:
    """All cleaned blocks together: who stays, and the counts."""

    def __init__(self, plan: Plan, blocks: list[PublishedBlock]):
        self._plan, self._blocks = plan, blocks
        self._meta: NDArray[np.void] = np.concatenate([block.meta for block in blocks])
        high, low = self._meta["high"], self._meta["low"]
        everyone = np.arange(len(self._meta))
        self._stands_for = everyone
        if plan.section.exact_dedup:
            self._stands_for = exact_duplicates(high, low, self._ranks())
        self.kept = self._stands_for == everyone
        self.validation = low < np.uint64(plan.section.validation_share * 2**64)
        if self.kept.sum() > 1 and not (self.validation & self.kept).any():
            self.validation |= low == low[self.kept].min()  # a small release still has something held out
        self.excluded: Counter[str] = Counter(row.reason for block in blocks for row in block.exclusions())
        if copies := int((~self.kept).sum()):
            self.excluded["exact_duplicate"] = copies

    def _ranks(self) -> NDArray[np.int64]:
        names = [(name, source) for block in self._blocks for name, _, source, _ in block.origins()]
        ranks = np.empty(len(names), np.int64)
        ranks[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        return ranks

    def exclusions(self) -> Iterator[Exclusion]:
        """Every excluded document, by place of origin."""
        names = [origin[0] for block in self._blocks for origin in block.origins()]
        begin = 0
        for block in self._blocks:
            rows = list(block.exclusions())
            for index, (name, line, _, _) in enumerate(block.origins(), begin):
                if not self.kept[index]:
                    twin = names[self._stands_for[index]]
                    rows.append(Exclusion(name, block.summary["file"], line, "exact_duplicate", "", twin))
            begin += len(block.meta)
            yield from sorted(rows, key=lambda row: row.line)

    def details(self) -> CorpusDetails:
        """The typed details of the manifest."""
        meta = self._meta[self.kept]
        sources: Counter[str] = Counter()
        licences: Counter[str] = Counter()
        masked: Counter[str] = Counter()
        repaired: Counter[str] = Counter()
        begin = 0
        for block in self._blocks:
            for index, (_, _, source, licence) in enumerate(block.origins(), begin):
                if self.kept[index]:
                    sources[_source_group(source)] += 1
                    licences[licence] += 1
            begin += len(block.meta)
            masked.update(block.summary["masked"])
            repaired.update(block.summary["repaired"])
        validation = int((self.kept & self.validation).sum())
        counts = np.bincount(meta["language"], minlength=len(LANGUAGES)).tolist()
        return CorpusDetails(
            read=sum(block.summary["read"] for block in self._blocks),
            kept=len(meta),
            train_documents=len(meta) - validation,
            validation_documents=validation,
            characters=int(meta["characters"].sum(dtype=np.int64)),
            bytes=int(meta["bytes"].sum(dtype=np.int64)),
            words=int(meta["words"].sum(dtype=np.int64)),
            excluded=_ordered(self.excluded),
            masked=_ordered(masked),
            repaired=_ordered(repaired),
            by_source=_ordered(sources),
            by_licence=_ordered(licences),
            by_language={name: n for name, n in zip(LANGUAGES, counts, strict=True) if n},
            extra={"plan": self._plan.digest},
        )

    def metrics(self) -> dict[str, float]:
        """Reproducible figures for the manifest."""
        meta = self._meta[self.kept]
        return {
            "documents": float(len(meta)),
            "characters": float(meta["characters"].sum(dtype=np.int64)),
            "words": float(meta["words"].sum(dtype=np.int64)),
            "bytes": float(meta["bytes"].sum(dtype=np.int64)),
            "excluded": float(sum(self.excluded.values())),
        }


def _source_group(source: str) -> str:
    """`owner/repo@commit:path` and URLs count under their repository or site."""
    if "://" in source:
        return source.split("://", 1)[1].split("/", 1)[0]
    return re.split("[@#]", source, maxsplit=1)[0]


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """Biggest first, equal ones by name; a very long tail is summed up."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(n for _, n in rows[_MOST_NAMES:])
    return dict(rows[:_MOST_NAMES]) | ({"(others)": rest} if rest else {})
