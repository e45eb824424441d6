"""What is said of a finished corpus: its counts and figures, added up block by block and part by part."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.contract import Contamination, CorpusDetails
from trainers.corpus import changes, effects
from trainers.corpus.blocks import LANGUAGES, META, Evidence, PublishedBlock, shown
from trainers.corpus.earlier import BYTES_PER_DOCUMENT, EarlierCorpus
from trainers.corpus.join import COPY, HELD_OUT, KEPT, TAKEN_DOWN, Decisions
from trainers.corpus.parts import NOWHERE, Parts
from trainers.text.losses import UNREADABLE, Losses
from trainers.text.minhash import BANDS, HASHES

_MOST_NAMES = 200
_SUMS = ("characters", "bytes", "words")


@dataclass(frozen=True)
class Figures:
    """The figures of a corpus whose documents are decided."""

    blocks: Sequence[PublishedBlock]
    parts: Parts
    decided: Decisions
    earlier: Sequence[EarlierCorpus] = ()

    @cached_property
    def excluded(self) -> Counter[str]:
        """Documents by reason."""
        counts: Counter[str] = Counter()
        for block in self.blocks:
            counts.update(block.summary["excluded"])
        says = self.decided.says
        counts["takedown"] += int((says & TAKEN_DOWN != 0).sum())
        counts["exact_duplicate"] += int((says & (KEPT | TAKEN_DOWN | COPY) == COPY).sum())
        counts["near_duplicate"] += int((says & (KEPT | TAKEN_DOWN | COPY) == 0).sum())
        return +counts

    @cached_property
    def losses(self) -> Losses:
        """What of the drop was read, and what was not."""
        losses = Losses()
        for block in self.blocks:
            losses.add(block.summary["losses"])
        return losses

    @property
    def train_documents(self) -> int:
        """How many are kept and not held out."""
        return int((self.decided.says & (KEPT | HELD_OUT) == KEPT).sum())

    def first_unreadable(self) -> str:
        """What is wrong with the first row of the drop that is, in words; empty where none is."""
        rows = (row for block in self.blocks for row in block.exclusions() if row.detail and row.reason in UNREADABLE)
        row = next(rows, None)
        return f"; the first of them: {row.file}:{row.line}: {row.detail}" if row else ""

    def details(self, plan: str, counts: Iterable[Path]) -> CorpusDetails:
        """The typed details of the manifest.

        Args:
            counts: files of the kept documents by source and licence.
        """
        by: dict[str, Counter[str]] = {
            name: Counter() for name in ("source", "licence", "masked", "repaired", "removed_lines", "ignored_fields")
        }
        for path in counts:
            for name, some in json.loads(path.read_text(encoding="utf-8")).items():
                by[name].update(some)
        evidence: list[Evidence] = []
        for block in self.blocks:
            summary = block.summary
            for name in ("masked", "repaired", "removed_lines", "ignored_fields"):
                by[name].update(summary[name])
            evidence = shown([*evidence, *summary["contaminated"]])
        sums, languages, lengths = self._counted
        kept, train = sums["documents"], self.train_documents
        known = np.bincount(self.decided.release[self.decided.release != NOWHERE], minlength=len(self.earlier))
        return CorpusDetails(
            read=self.losses.rows,
            kept=kept,
            train_documents=train,
            validation_documents=kept - train,
            characters=sums["characters"],
            bytes=sums["bytes"],
            words=sums["words"],
            excluded=_ordered(self.excluded),
            masked=_ordered(by["masked"]),
            repaired=_ordered(by["repaired"]),
            removed_lines=_ordered(by["removed_lines"]),
            by_source=_ordered(by["source"]),
            by_licence=_ordered(by["licence"]),
            by_language={name: n for name, n in zip(LANGUAGES, languages.tolist(), strict=True) if n},
            earlier={corpus.release: int(n) for corpus, n in zip(self.earlier, known, strict=True)},
            contaminated=[Contamination(item=row["item"], document=row["id"], piece=row["piece"]) for row in evidence],
            unread=self.losses.files,
            ignored_fields=_ordered(by["ignored_fields"]),
            rules=effects.merged(block.summary["rules"] for block in self.blocks),
            changes=changes.merged(block.summary["changes"] for block in self.blocks),
            plan=plan,
            length={str(2**power): n for power, n in enumerate(lengths.tolist()) if n},
            cluster_size=self._cluster_sizes(),
            dedup_bytes_per_document={
                "on the shared volume while joining": META.itemsize + HASHES + 8 * BANDS,
                "in the index, and its id": BYTES_PER_DOCUMENT,
            },
        )

    def metrics(self) -> dict[str, float]:
        """Reproducible figures for the manifest."""
        sums = {name: float(n) for name, n in self._counted[0].items()}
        return {**sums, "excluded": float(sum(self.excluded.values()))}

    @cached_property
    def _counted(self) -> tuple[dict[str, int], NDArray[np.int64], NDArray[np.int64]]:
        """Sums, documents by language, and by the power of two of their length."""
        sums = dict.fromkeys(("documents", *_SUMS), 0)
        languages, lengths = np.zeros(len(LANGUAGES), np.int64), np.zeros(32, np.int64)
        for begin, end, part in self.parts:
            meta = part.meta[self.decided.is_kept(slice(begin, end))]
            sums["documents"] += len(meta)
            for name in _SUMS:
                sums[name] += int(meta[name].sum(dtype=np.int64))
            languages += np.bincount(meta["language"], minlength=len(LANGUAGES))
            lengths += np.bincount(np.log2(np.maximum(meta["characters"], 1)).astype(int), minlength=32)
        return sums, languages, lengths

    def _cluster_sizes(self) -> dict[str, int]:
        sizes = np.bincount(self.decided.stands, minlength=1)
        values, counts = np.unique(sizes[sizes > 1], return_counts=True)
        return {str(size): n for size, n in zip(values.tolist(), counts.tolist(), strict=True)}


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """Biggest first, equal ones by name; a very long tail is summed up."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(n for _, n in rows[_MOST_NAMES:])
    return dict(rows[:_MOST_NAMES]) | ({"(others)": rest} if rest else {})
