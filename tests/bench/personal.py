"""Finders of personal data on the gold set: ours, and the public ones for Korean. Each gives spans of our kinds.

Peers that are not installed are left out and named; `presidio-analyzer` (and with it spaCy) is in no extra of ours:
`pip install presidio-analyzer`.
"""

import importlib
import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.support.personal_gold import entries
from tests.support.personal_scores import Find, Span, ours, score
from trainers.text.characters import Texts
from trainers.text.personal_data import mask

_SECONDS, _BATCH = 20, 500


def rust_pii_transformer() -> Find:
    """rust_pii_transformer 0.1: rules, in Rust."""
    import rust_pii_transformer as library

    kinds = {
        "resident": "RRN",
        "foreigner_registration": "RRN",
        "phone": "PHONE",
        "email": "EMAIL",
        "credit_card": "CARD",
        "bank_account": "ACCOUNT",
        "business_registration": "BUSINESS_NUMBER",
        "driver_license": "DRIVER_LICENCE",
        "passport": "PASSPORT",
    }

    def spans(text: str) -> Sequence[Span]:
        places = library.detect(text).findings
        return [(f.source.char_start, f.source.char_end, kinds.get(str(f.entity), str(f.entity))) for f in places]

    return spans


def presidio() -> Find:
    """Presidio's five recognisers for Korea, at whatever score they give."""
    library = importlib.import_module("presidio_analyzer.predefined_recognizers")
    kinds = {
        "KR_RRN": "RRN",
        "KR_FRN": "RRN",
        "KR_BRN": "BUSINESS_NUMBER",
        "KR_DRIVER_LICENSE": "DRIVER_LICENCE",
        "KR_PASSPORT": "PASSPORT",
    }
    names = ("KrRrn", "KrFrn", "KrBrn", "KrDriverLicense", "KrPassport")
    recognisers = [getattr(library, f"{name}Recognizer")() for name in names]

    def spans(text: str) -> Sequence[Span]:
        answers = (one.analyze(text, one.supported_entities, None) or [] for one in recognisers)
        return list({(row.start, row.end, kinds[row.entity_type]) for rows in answers for row in rows})

    return spans


FINDERS: dict[str, tuple[str, Callable[[], Find], frozenset[str] | None]] = {
    "ours": ("trainers", lambda: ours, None),
    "rust-pii-transformer": (
        "rust_pii_transformer",
        rust_pii_transformer,
        frozenset(("RRN", "PHONE", "EMAIL", "CARD", "ACCOUNT", "BUSINESS_NUMBER", "DRIVER_LICENCE", "PASSPORT")),
    ),
    "presidio": (
        "presidio_analyzer",
        presidio,
        frozenset(("RRN", "BUSINESS_NUMBER", "DRIVER_LICENCE", "PASSPORT")),
    ),
}
"""Name: the package, what makes the finder, and the kinds it knows at all (None: all)."""


def measure(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """One finder: recall and precision on the gold set, over all kinds and over those it knows, and its rates.

    Args:
        texts: of a corpus; as in any, few of their lines hold personal data, and in the gold set every line may.
    """
    package, make, known = FINDERS[name]
    if importlib.util.find_spec(package) is None:
        return {"left out": f"pip install {package.replace('_', '-')}"}
    finder, gold = make(), list(entries())
    whole = score(finder, gold)
    row: dict[str, Any] = {"recall": round(whole.recall, 4), "precision": round(whole.precision, 4)}
    if known:
        part = score(finder, gold, known)
        row |= {"recall of its kinds": round(part.recall, 4), "precision of its kinds": round(part.precision, 4)}
    work = (lambda texts: mask(Texts.of(texts), addresses=True)) if name == "ours" else partial(_each, finder)
    of_a_corpus, of_gold = _rate(work, texts), _rate(work, [entry.text for entry in gold])
    return row | {"MB/s per core": round(of_a_corpus, 2), "MB/s per core, gold set": round(of_gold, 2)}


def _each(finder: Find, texts: Sequence[str]) -> None:
    for text in texts:
        finder(text)


def _rate(work: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    work(texts[:5])
    began, done, place = time.process_time(), 0, 0
    while place < len(texts) and time.process_time() - began < _SECONDS:
        batch = texts[place : place + _BATCH]
        work(batch)
        done += sum(len(text.encode()) for text in batch)
        place += _BATCH
    return done / 1e6 / (time.process_time() - began)
