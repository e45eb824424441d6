"""One block through everything that needs no other block: parse, normalise, filter, mask, fingerprint."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.corpus.blocks import LANGUAGES, META, Cleaned
from trainers.corpus.filters import languages, measure, verdicts
from trainers.corpus.normalise import normalise
from trainers.corpus.personal_data import mask
from trainers.corpus.read import Block
from trainers.corpus.records import Document, Exclusion, Parsed, parse
from trainers.recipe.data import CorpusSection

_MOSTLY_REPEATS = 0.1


@dataclass(frozen=True)
class Cleaner:
    """The settings of this step, complete: it can be sent to another process."""

    section: CorpusSection
    buckets: int

    def clean(self, block: Block) -> Cleaned:
        """Take one block through the chain."""
        parsed = parse(block, self.section.fields)
        documents = _without(parsed, block.file, self._taken_down(parsed.documents))
        texts, repaired = normalise([document.text for document in documents], self.section.normalise)
        measures = measure(texts)
        broken = verdicts(measures, self.section.filter)
        for index, (document, text) in enumerate(zip(documents, texts, strict=True)):
            before = len(document.text)
            if before >= 200 and len(text) < before * _MOSTLY_REPEATS:
                broken[index] = ("mostly_repeats", f"{before} characters, {len(text)} without repeats")
        language = languages(measures)
        words = measures.words.tolist()
        parsed.documents, parsed.repaired = documents, parsed.repaired + repaired
        kept = [index for index, verdict in enumerate(broken) if verdict is None]
        masked: Counter[str] = Counter()
        texts = [texts[index] for index in kept]
        if self.section.mask_personal_data:
            texts, masked = mask(texts, self.section.mask_addresses)
        _without(parsed, block.file, broken)
        return _fingerprinted(
            parsed, texts, [language[i] for i in kept], [words[i] for i in kept], masked, self.buckets
        )

    def _taken_down(self, documents: Sequence[Document]) -> list[tuple[str, str] | None]:
        wanted = frozenset(self.section.takedown)
        if not wanted:
            return [None] * len(documents)
        return [
            ("takedown", "") if wanted & {d.id, hashlib.sha256(d.text.encode()).hexdigest()} else None
            for d in documents
        ]


def _without(parsed: Parsed, file: str, verdicts_: Sequence[tuple[str, str] | None]) -> list[Document]:
    """Move the documents that have a verdict to the exclusions; returns those that have none."""
    stay = []
    for document, verdict in zip(parsed.documents, verdicts_, strict=True):
        if verdict is None:
            stay.append(document)
        else:
            name = document.id or f"{file}:{document.line}"
            parsed.exclusions.append(Exclusion(name, file, document.line, *verdict))
    parsed.documents = stay
    return stay


def _fingerprinted(
    parsed: Parsed,
    texts: Sequence[str],
    language: Sequence[str],
    words: Sequence[int],
    masked: Counter[str],
    buckets: int,
) -> Cleaned:
    meta = np.zeros(len(texts), META)
    rows, origins = [], []
    for index, (document, text) in enumerate(zip(parsed.documents, texts, strict=True)):
        encoded = text.encode()
        digest = hashlib.blake2b(encoded, digest_size=16).digest()
        high, low = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
        meta[index] = (high, low, len(text), len(encoded), words[index], LANGUAGES.index(language[index]))
        name = document.id or f"sha-{digest.hex()}"
        row = {
            "id": name,
            "text": text,
            "source": document.source,
            "licence": document.licence,
            "url": document.url,
            "language": language[index],
        }
        rows.append(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        origins.append((name, document.line, document.source, document.licence))
    order = sorted(range(len(texts)), key=lambda i: (meta["high"][i], meta["low"][i], origins[i][0], origins[i][2], i))
    meta = meta[order]
    edges = np.arange(buckets, dtype=np.uint64) * np.uint64(2**64 // buckets)
    return Cleaned(
        rows=[rows[i] for i in order],
        meta=meta,
        origins=[origins[i] for i in order],
        buckets=[*np.searchsorted(meta["high"], edges).tolist(), len(order)],
        summary={
            "read": parsed.read,
            "masked": {kind: n for kind, n in masked.items() if n},
            "repaired": {kind: n for kind, n in parsed.repaired.items() if n},
        },
        exclusions=sorted(parsed.exclusions, key=lambda row: row.line),
    )
