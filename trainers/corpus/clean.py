"""One block through everything that needs no other block: parse, normalise, filter, mask, decontaminate, sign."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import numpy as np

from trainers.contract.recipe.data import CorpusSection
from trainers.corpus.blocks import LANGUAGES, META, Cleaned, Evidence, in_order, shown
from trainers.text.boilerplate import remove_lines
from trainers.text.characters import Texts
from trainers.text.contamination import Hit, Suites
from trainers.text.decode import repair_surrogates
from trainers.text.filters import languages, measure, verdicts
from trainers.text.latin_languages import identifier, other_languages
from trainers.text.minhash import signatures
from trainers.text.normalise import normalise
from trainers.text.own_rules import TextRule, own_rules, own_verdicts
from trainers.text.personal_data import mask
from trainers.text.read import Block
from trainers.text.records import Document, Exclusion, Parsed, parse

_MOSTLY_REPEATS = 0.1
Verdict = tuple[str, str] | None
"""Why a document is excluded, as reason and detail; None where it stays."""


@dataclass
class _Batch:
    """The documents of a block that are still in, with what is known of each."""

    parsed: Parsed
    file: str
    texts: Texts
    language: list[str] = field(default_factory=list)
    words: list[int] = field(default_factory=list)

    def name(self, index: int) -> str:
        """A document's id, or one made of its text as it is now."""
        return self.parsed.documents[index].id or _named(_text_hash(self.texts[index].encode()))

    def drop(self, verdicts_: Sequence[Verdict]) -> None:
        """Move the documents that have a verdict to the exclusions."""
        stay = [index for index, verdict in enumerate(verdicts_) if verdict is None]
        for index, (document, verdict) in enumerate(zip(self.parsed.documents, verdicts_, strict=True)):
            if verdict is not None:
                self.parsed.exclusions.append(Exclusion(self.name(index), self.file, document.line, *verdict))
        self.parsed.documents = [self.parsed.documents[index] for index in stay]
        self.texts = self.texts.select(stay)
        self.language = [self.language[index] for index in stay] if self.language else []
        self.words = [self.words[index] for index in stay] if self.words else []


@dataclass(frozen=True)
class Cleaner:
    """The settings of this step, complete: it can be sent to another process."""

    section: CorpusSection
    buckets: int
    suites: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.section.filter.latin_languages:
            identifier()  # where it is missing, that is said before any process starts
        own_rules(self.section.filter.rules)  # likewise

    def clean(self, block: Block) -> Cleaned:
        """Take one block through the chain."""
        parsed = parse(block, self.section.fields)
        batch = _Batch(parsed, block.file, _texts_of(parsed))
        batch.drop([self._takedown(document) for document in parsed.documents])
        batch.texts, repaired = normalise(batch.texts, self.section.normalise)
        lengths = np.diff(batch.texts.starts).tolist()
        batch.texts, removed_lines = remove_lines(batch.texts, self.section.boilerplate)
        measures = measure(batch.texts)
        batch.language, batch.words = languages(measures), measures.count("words").tolist()
        before = [len(document.text) for document in parsed.documents]
        broken = verdicts(measures, self.section.filter)
        batch.drop(
            [
                _mostly_repeats(raw, length) or _only_boilerplate(length, rest) or verdict
                for raw, length, rest, verdict in zip(
                    before, lengths, measures.count("characters"), broken, strict=True
                )
            ]
        )
        if wanted := self.section.filter.latin_languages:
            batch.drop(other_languages(batch.texts.strings, batch.language, wanted))
        masked: Counter[str] = Counter()
        if self.section.mask_personal_data:
            batch.texts, masked = mask(batch.texts, self.section.mask_addresses)
        if self._own_rules:
            places = [f"{block.file}:{document.line}" for document in parsed.documents]
            batch.drop(own_verdicts(batch.texts.strings, self._own_rules, places))
        evidence = self._decontaminate(batch)
        summary = {
            "read": parsed.read,
            "excluded": dict(Counter(row.reason for row in parsed.exclusions)),
            "masked": dict(masked),
            "repaired": {kind: n for kind, n in (parsed.repaired + repaired).items() if n},
            "removed_lines": dict(removed_lines),
            "contaminated": shown(evidence),
        }
        return _fingerprinted(batch, self.buckets, summary)

    def _takedown(self, document: Document) -> Verdict:
        if not self.section.takedown:
            return None
        names = {document.id, hashlib.sha256(document.text.encode()).hexdigest()}
        return ("takedown", "") if names & set(self.section.takedown) else None

    @cached_property
    def _own_rules(self) -> dict[str, TextRule]:
        return own_rules(self.section.filter.rules)

    @cached_property
    def _suites(self) -> Suites:
        return Suites.read(self.section.decontamination, self.suites)

    def _decontaminate(self, batch: _Batch) -> list[Evidence]:
        """Remove or cut what holds pieces of a suite; returns the evidence."""
        settings = self.section.decontamination
        if settings.action == "off" or not self.suites:
            return []
        hits: dict[int, list[Hit]] = {}
        for hit in self._suites.find(batch.texts):
            hits.setdefault(hit.document, []).append(hit)
        evidence, cuts = [], []
        verdicts_: list[Verdict] = [None] * len(batch.texts)
        for index, document_hits in hits.items():
            text, first = batch.texts[index], document_hits[0]
            evidence.append({"id": batch.name(index), "item": first.item, "piece": text[first.begin : first.end][:200]})
            rest = _cut(text, document_hits) if settings.action == "cut" else ""
            if len(rest) >= max(1, self.section.filter.min_characters):
                cuts.append((int(batch.texts.starts[index]), int(batch.texts.starts[index + 1]), rest))
                batch.words[index] = len(rest.split())
            else:
                verdicts_[index] = ("contaminated", first.item)
        batch.texts = batch.texts.replace(cuts)
        batch.drop(verdicts_)
        return evidence


def _mostly_repeats(before: int, after: int) -> Verdict:
    if before >= 200 and after < before * _MOSTLY_REPEATS:
        return "mostly_repeats", f"{before} characters, {after} without repeats"
    return None


def _only_boilerplate(before: int, after: int) -> Verdict:
    return ("boilerplate", f"{before} characters of menus and footers") if before and not after else None


def _texts_of(parsed: Parsed) -> Texts:
    try:
        return Texts.of([document.text for document in parsed.documents])
    except UnicodeEncodeError:  # a lone surrogate; too rare to look for in every document
        for document in parsed.documents:
            document.text, lone = repair_surrogates(document.text)
            parsed.repaired["lone_surrogate"] += lone
        return Texts.of([document.text for document in parsed.documents])


def _cut(text: str, hits: Sequence[Hit]) -> str:
    """The text without the lines that hold a hit."""
    lines, begin = [], 0
    for line in text.split("\n"):
        end = begin + len(line)
        if not any(hit.begin <= end and hit.end > begin for hit in hits):
            lines.append(line)
        begin = end + 1
    return "\n".join(lines).strip()


def _text_hash(encoded: bytes) -> bytes:
    return hashlib.blake2b(encoded, digest_size=16).digest()


def _named(text_hash: bytes) -> str:
    return f"sha-{text_hash.hex()}"


def _fingerprinted(batch: _Batch, buckets: int, summary: dict[str, Any]) -> Cleaned:
    meta, rows, origins = [], [], []
    for document, text, language, words in zip(
        batch.parsed.documents, batch.texts.strings, batch.language, batch.words, strict=True
    ):
        encoded = text.encode()
        digest = _text_hash(encoded)
        name = document.id or _named(digest)
        key = name.encode().ljust(16, b"\0")
        tie = hashlib.blake2b(f"{name}\0{document.source}".encode(), digest_size=8).digest()
        numbers = (int.from_bytes(part, "big") for part in (digest[:8], digest[8:], key[:8], key[8:16], tie))
        high, low, id_high, id_low, tie_number = numbers
        meta.append((high, low, len(text), len(encoded), words, LANGUAGES.index(language), id_high, id_low, tie_number))
        rows.append(_row(name, text, document, language))
        origins.append((name, document.line, document.source, document.licence))
    table = np.array(meta, META)
    order = in_order(table)
    hashes, keys = signatures(batch.texts)
    table = table[order]
    edges = np.arange(buckets, dtype=np.uint64) * np.uint64(2**64 // buckets)
    return Cleaned(
        rows=[rows[i] for i in order],
        meta=table,
        signatures=hashes[order],
        bands=np.ascontiguousarray(keys[order].T),
        origins=[origins[i] for i in order],
        buckets=[*np.searchsorted(table["high"], edges).tolist(), len(order)],
        summary=summary,
        exclusions=sorted(batch.parsed.exclusions, key=lambda row: row.line),
    )


def _row(name: str, text: str, document: Document, language: str) -> bytes:
    """The corpus' JSON line of a document; made of its parts, which is faster than json.dumps of a dictionary."""
    parts = ("id", name), ("text", text), ("source", document.source), ("licence", document.licence)
    fields = (*parts, ("url", document.url), ("language", language))
    return ("{" + ", ".join(f'"{key}": {encode_basestring(value)}' for key, value in fields) + "}\n").encode()
