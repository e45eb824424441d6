"""One block through everything that needs no other block: parse, normalise, filter, mask, decontaminate, sign."""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import numpy as np

from trainers.contract.recipe.data import CorpusSection
from trainers.contract.takedown import TakeDown, own_id, text_hash
from trainers.corpus.blocks import LANGUAGES, META, Cleaned, Evidence, bucket_edges, in_order, shown
from trainers.corpus.changes import Change, Changes, Step, changes
from trainers.corpus.effects import effects
from trainers.text.boilerplate import remove_lines
from trainers.text.characters import Texts
from trainers.text.contamination import Hit, Suites
from trainers.text.decode import repair_surrogates
from trainers.text.filters import judge, languages, measure, verdicts
from trainers.text.latin_languages import identifier, other_languages
from trainers.text.minhash import signatures
from trainers.text.normalise import normalise
from trainers.text.own_rules import TextRule, own_rules, own_verdicts
from trainers.text.personal.names import name_model
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
        return self.parsed.documents[index].id or own_id(self.texts[index].encode())

    @property
    def taken_down(self) -> list[bool]:
        """Of which nothing may be shown, whatever becomes of them."""
        return [document.taken_down for document in self.parsed.documents]

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
        if self.section.name_model:
            name_model(self.section.name_model)

    def clean(self, block: Block, taken_down: Collection[int] = ()) -> Cleaned:
        """Take one block through the chain.

        Args:
            taken_down: numbers of its documents that are known to be taken down.
        """
        parsed = parse(block, self.section.fields)
        batch = _Batch(parsed, block.file, _texts_of(parsed))
        everyone = parsed.documents
        for number, document in enumerate(everyone):
            document.taken_down = number in taken_down or bool(self._takedown.names(document.id, document.text))
        made: dict[Step, Changes] = {}
        repaired = self._change(batch, "repaired", partial(normalise, settings=self.section.normalise), made)
        lengths = np.diff(batch.texts.starts).tolist()
        removed_lines = self._change(
            batch, "removed lines", partial(remove_lines, settings=self.section.boilerplate), made
        )
        measures = measure(batch.texts)
        batch.language, batch.words = languages(measures), measures.count("words").tolist()
        before = [len(document.text) for document in parsed.documents]
        judgements = judge(measures, self.section.filter)
        hollow = [
            _mostly_repeats(raw, length) or _only_boilerplate(length, rest)
            for raw, length, rest in zip(before, lengths, measures.count("characters"), strict=True)
        ]
        rules = effects(judgements, batch.texts, [verdict is not None for verdict in hollow], batch.taken_down)
        batch.drop([own or verdict for own, verdict in zip(hollow, verdicts(judgements), strict=True)])
        if wanted := self.section.filter.latin_languages:
            batch.drop(other_languages(batch.texts.strings, batch.language, wanted))
        masked: Counter[str] = Counter()
        if self.section.mask_personal_data:
            masking = partial(mask, addresses=self.section.mask_addresses, names=self.section.name_model)
            masked = self._change(batch, "masked", masking, made)
        if self._own_rules:
            places = [f"{block.file}:{document.line}" for document in parsed.documents]
            batch.drop(own_verdicts(batch.texts.strings, self._own_rules, places))
        evidence = self._decontaminate(batch)
        summary = {
            "losses": vars(parsed.losses),
            "ignored_fields": dict(parsed.ignored),
            "excluded": dict(Counter(row.reason for row in parsed.exclusions)),
            "masked": dict(masked),
            "repaired": dict(parsed.repaired + repaired),
            "removed_lines": dict(removed_lines),
            "contaminated": shown(evidence),
            "rules": rules,
            "changes": made,
        }
        if self._takedown:
            known = [document.taken_down for document in everyone]
            for document, text in zip(parsed.documents, batch.texts.strings, strict=True):
                document.taken_down |= bool(self._takedown.names(document.id, text))
            late = [number for number, document in enumerate(everyone) if document.taken_down and not known[number]]
            if late:  # the summary may show of them what must not be shown
                return self.clean(block, {*taken_down, *late})
        return _fingerprinted(batch, self.buckets, summary)

    def _change(self, batch: _Batch, step: Step, change: Change, made: dict[Step, Changes]) -> Counter[str]:
        """Change the texts by a step; counts what it changed by kind, and leaves in `made` what is shown of that."""
        texts = batch.texts
        batch.texts, changed = change(texts)
        masked = partial(mask, addresses=True, names=self.section.name_model)
        made[step] = changes(step, change, texts, changed, batch.taken_down, masked)
        return Counter(kind for _, kind in changed)

    @cached_property
    def _takedown(self) -> TakeDown:
        return TakeDown(self.section.takedown)

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
            if not batch.parsed.documents[index].taken_down:
                piece = text[first.begin : first.end][:200]
                evidence.append({"id": batch.name(index), "item": first.item, "piece": piece})
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


def _fingerprinted(batch: _Batch, buckets: int, summary: dict[str, Any]) -> Cleaned:
    meta, rows, origins, taken_down = [], [], [], []
    for document, text, language, words in zip(
        batch.parsed.documents, batch.texts.strings, batch.language, batch.words, strict=True
    ):
        encoded = text.encode()
        digest = text_hash(encoded)
        name = document.id or own_id(encoded)
        key = name.encode().ljust(16, b"\0")
        beside = f"{name}\0{document.source}\0{document.licence}\0{document.url}"
        tie = hashlib.blake2b(beside.encode(), digest_size=8).digest()
        row = _row(name, encoded, document, language)
        numbers = (int.from_bytes(part, "big") for part in (digest[:8], digest[8:], key[:8], key[8:16], tie))
        high, low, id_high, id_low, tie_number = numbers
        sizes = (len(text), len(encoded), len(row), words)
        meta.append((high, low, *sizes, LANGUAGES.index(language), id_high, id_low, tie_number))
        if document.taken_down:
            taken_down.append((high, low))
        rows.append(row)
        origins.append((name, document.line, document.source, document.licence))
    table = np.array(meta, META)
    order = in_order(table)
    hashes, keys = signatures(batch.texts)
    table = table[order]
    edges = bucket_edges(buckets)
    return Cleaned(
        rows=[rows[i] for i in order],
        meta=table,
        signatures=hashes[order],
        bands=keys[order],
        origins=[origins[i] for i in order],
        buckets=[*np.searchsorted(table["high"], edges).tolist(), len(order)],
        summary={**summary, "taken_down": sorted(taken_down)},
        exclusions=sorted(batch.parsed.exclusions, key=lambda row: row.line),
    )


_ESCAPED = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\t", b"\\t"))
"""What JSON escapes in a normalised text, which has no other control characters; the sign that escapes comes first."""


def _row(name: str, encoded: bytes, document: Document, language: str) -> bytes:
    """The corpus' JSON line of a document; made of its parts, which is faster than json.dumps of a dictionary."""
    for sign, escape in _ESCAPED:
        encoded = encoded.replace(sign, escape)
    rest = ("source", document.source), ("licence", document.licence), ("url", document.url), ("language", language)
    after = ", ".join(f'"{key}": {encode_basestring(value)}' for key, value in rest)
    return b'{"id": %b, "text": "%b", %b}\n' % (encode_basestring(name).encode(), encoded, after.encode())
