"""All cleaned blocks together: which documents stand for which, who stays, and the counts."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trainers.contract import Contamination, CorpusDetails
from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.blocks import LANGUAGES, Evidence, PublishedBlock, shown
from trainers.corpus.earlier import BYTES_PER_DOCUMENT, EarlierCorpus
from trainers.corpus.exact_dedup import exact_duplicates
from trainers.text.minhash import BANDS, HASHES, clusters
from trainers.text.records import Exclusion

_MOST_NAMES = 200


class Joined:
    """The documents of all blocks, in order; arrays run over all of them."""

    def __init__(self, section: CorpusSection, blocks: Sequence[PublishedBlock], earlier: Sequence[EarlierCorpus] = ()):
        self.blocks = blocks
        self._section, self._earlier = section, earlier
        self.meta: NDArray[np.void] = np.concatenate([block.meta for block in blocks])
        self._decide()
        low = self.meta["low"]
        self.validation = low < np.uint64(section.validation_share * 2**64)
        if self.kept.sum() > 1 and not (self.validation & self.kept).any():
            self.validation |= low == low[self.kept].min()  # a small release still has something held out

    def _decide(self) -> None:
        """Fill `kept`, `_exact` and `_stands_for` (who stands for whom), `_known` (what an earlier release has)."""
        meta = self.meta
        everyone = np.arange(len(meta))
        rank = np.empty(len(meta), np.int64)
        rank[np.lexsort((meta["tie"], meta["id_low"], meta["id_high"], -meta["characters"].astype(np.int64)))] = (
            everyone
        )
        self._exact = near = everyone
        self._known: dict[int, tuple[str, EarlierCorpus, int]] = {}
        if self._section.exact_dedup:
            self._exact = exact_duplicates(meta["high"], meta["low"], rank)
            for corpus in self._earlier:
                self._mark_known("exact_duplicate", corpus, everyone, corpus.exact(meta["high"], meta["low"]))
        if self._section.near_dedup.enabled and len(meta):
            members = np.flatnonzero((self._exact == everyone) & ~np.isin(everyone, list(self._known)))
            threshold = self._section.near_dedup.threshold
            for corpus in self._earlier:
                mine = [self.band(band)[members] for band in range(BANDS)]
                self._mark_known(
                    "near_duplicate", corpus, members, corpus.near(self.signatures[members], mine, threshold)
                )
            members = members[~np.isin(members, list(self._known))]
            bands = (self.band(band) for band in range(BANDS))
            near = clusters(self.signatures, bands, rank, threshold, members)
        self._stands_for = near[self._exact]
        self.kept = self._stands_for == everyone
        self.kept[list(self._known)] = False

    def _mark_known(
        self, reason: str, corpus: EarlierCorpus, members: NDArray[np.int64], places: NDArray[np.int64]
    ) -> None:
        for index in np.flatnonzero(places >= 0).tolist():
            self._known.setdefault(int(members[index]), (reason, corpus, int(places[index])))

    @cached_property
    def signatures(self) -> NDArray[np.uint8]:
        """Signature of each document."""
        return np.concatenate([block.signatures for block in self.blocks])

    def band(self, number: int) -> NDArray[np.uint32]:
        """Key of each document in one band."""
        return np.concatenate([block.bands[number] for block in self.blocks])

    @cached_property
    def excluded(self) -> Counter[str]:
        """Documents by reason."""
        counts: Counter[str] = Counter()
        for block in self.blocks:
            counts.update(block.summary["excluded"])
        everyone = np.arange(len(self.meta))
        copies = self._exact != everyone
        counts["exact_duplicate"] += int(copies.sum())
        counts["near_duplicate"] += int((~self.kept & ~copies).sum())
        for index, (reason, _, _) in self._known.items():
            if reason == "exact_duplicate" and not copies[index]:
                counts.update({"exact_duplicate": 1, "near_duplicate": -1})
        return +counts

    def exclusions(self) -> Iterator[Exclusion]:
        """Every excluded document, by place of origin."""
        names = self._names_of_representatives()
        begin = 0
        for block in self.blocks:
            rows = list(block.exclusions())
            for index, (name, line, _, _) in enumerate(block.origins(), begin):
                if self.kept[index]:
                    continue
                reason = "exact_duplicate" if self._exact[index] != index else "near_duplicate"
                survivor = int(self._stands_for[index])
                detail = ""
                if survivor in self._known:
                    how, corpus, place = self._known[survivor]
                    reason = how if survivor == index else reason
                    detail, twin = f"in release {corpus.release}", corpus.ids[place]
                else:
                    twin = names[survivor]
                rows.append(Exclusion(name, block.summary["file"], line, reason, detail, twin))
            begin += len(block.meta)
            yield from sorted(rows, key=lambda row: row.line)

    def _names_of_representatives(self) -> dict[int, str]:
        representatives = set(self._stands_for[self._stands_for != np.arange(len(self.meta))].tolist())
        names, begin = {}, 0
        for block in self.blocks:
            if any(begin <= index < begin + len(block.meta) for index in representatives):
                names.update({n: origin[0] for n, origin in enumerate(block.origins(), begin) if n in representatives})
            begin += len(block.meta)
        return names

    def details(self, plan: str) -> CorpusDetails:
        """The typed details of the manifest."""
        meta = self.meta[self.kept]
        counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("source", "licence", "masked", "repaired", "removed_lines")
        }
        evidence: list[Evidence] = []
        begin = 0
        for block in self.blocks:
            for index, (_, _, source, licence) in enumerate(block.origins(), begin):
                if self.kept[index]:
                    counts["source"][source_group(source)] += 1
                    counts["licence"][licence] += 1
            begin += len(block.meta)
            for name in ("masked", "repaired", "removed_lines"):
                counts[name].update(block.summary[name])
            evidence += block.summary["contaminated"]
        validation = int((self.kept & self.validation).sum())
        languages = np.bincount(meta["language"], minlength=len(LANGUAGES)).tolist()
        return CorpusDetails(
            read=sum(block.summary["read"] for block in self.blocks),
            kept=len(meta),
            train_documents=len(meta) - validation,
            validation_documents=validation,
            characters=int(meta["characters"].sum(dtype=np.int64)),
            bytes=int(meta["bytes"].sum(dtype=np.int64)),
            words=int(meta["words"].sum(dtype=np.int64)),
            excluded=_ordered(self.excluded),
            masked=_ordered(counts["masked"]),
            repaired=_ordered(counts["repaired"]),
            removed_lines=_ordered(counts["removed_lines"]),
            by_source=_ordered(counts["source"]),
            by_licence=_ordered(counts["licence"]),
            by_language={name: n for name, n in zip(LANGUAGES, languages, strict=True) if n},
            earlier={corpus.release: 0 for corpus in self._earlier}
            | Counter(corpus.release for _, corpus, _ in self._known.values()),
            contaminated=[
                Contamination(item=row["item"], document=row["id"], piece=row["piece"]) for row in shown(evidence)
            ],
            plan=plan,
            length=_histogram(meta["characters"]),
            cluster_size=self._cluster_sizes(),
            dedup_bytes_per_document={
                "in memory while joining": self.meta.itemsize + HASHES,
                "in the index, and its id": BYTES_PER_DOCUMENT,
            },
        )

    def metrics(self) -> dict[str, float]:
        """Reproducible figures for the manifest."""
        meta = self.meta[self.kept]
        return {
            "documents": float(len(meta)),
            "characters": float(meta["characters"].sum(dtype=np.int64)),
            "words": float(meta["words"].sum(dtype=np.int64)),
            "bytes": float(meta["bytes"].sum(dtype=np.int64)),
            "excluded": float(sum(self.excluded.values())),
        }

    def _cluster_sizes(self) -> dict[str, int]:
        sizes = np.bincount(self._stands_for, minlength=1)
        values, counts = np.unique(sizes[sizes > 1], return_counts=True)
        return {str(size): n for size, n in zip(values.tolist(), counts.tolist(), strict=True)}


def _histogram(lengths: NDArray[np.uint32]) -> dict[str, int]:
    """Documents by length in characters, in powers of two."""
    powers, counts = np.unique(np.log2(np.maximum(lengths, 1)).astype(int), return_counts=True)
    return {str(2**power): n for power, n in zip(powers.tolist(), counts.tolist(), strict=True)}


def source_group(source: str) -> str:
    """What a source counts under: `owner/repo@commit:path` and URLs count under their repository or site."""
    if "://" in source:
        return source.split("://", 1)[1].split("/", 1)[0]
    return re.split("[@#]", source, maxsplit=1)[0]


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """Biggest first, equal ones by name; a very long tail is summed up."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(n for _, n in rows[_MOST_NAMES:])
    return dict(rows[:_MOST_NAMES]) | ({"(others)": rest} if rest else {})
