"""Personal data become typed placeholders: `010-1234-5678` -> `[PHONE]`.

What looks like it but is not stays: dates, order numbers, bar codes, versions, amounts. The kinds lie in `personal/`.
Nothing here ever logs a value.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from trainers.text.characters import Changed, Texts
from trainers.text.personal.addresses import ADDRESSES
from trainers.text.personal.fold import folded, undisguised
from trainers.text.personal.identity import BUSINESSES, IDENTITY, PASSPORTS
from trainers.text.personal.lines import DISGUISE, PLACE, lines_to_read
from trainers.text.personal.mail import MAILS
from trainers.text.personal.money import ACCOUNTS, CARDS
from trainers.text.personal.names import mask_names
from trainers.text.personal.network import HOSTS
from trainers.text.personal.phones import PHONES
from trainers.text.personal.recogniser import Recogniser

_MOBILE, _OTHER_PHONES = PHONES[:1], PHONES[1:]
_RECOGNISERS = (
    *MAILS, *IDENTITY, *PASSPORTS, *CARDS, *_MOBILE, *ACCOUNTS, *BUSINESSES, *_OTHER_PHONES, *HOSTS, *ADDRESSES
)  # fmt: skip
"""In the order in which they are tried: what one recogniser takes, no later one sees."""
KINDS = tuple(dict.fromkeys(recogniser.kind for recogniser in _RECOGNISERS))
"""The names of the placeholders."""


@dataclass(frozen=True)
class Span:
    """Personal data in a line: where, and of what kind."""

    begin: int
    end: int
    kind: str


def mask(texts: Texts, addresses: bool = False, names: str = "") -> tuple[Texts, Changed]:
    """Mask a batch; also gives the document and kind of each thing that was masked.

    Args:
        addresses: street addresses too.
        names: the folder of a model that finds names of people (personal/names.py); "": they stay.
    """
    masked: Changed = []
    if names:
        texts, masked = mask_names(texts, names)
    begins, ends, signs = lines_to_read(texts.codes, texts.starts)
    if not addresses:
        signs &= ~np.uint16(PLACE)
    changed, kinds = [], []
    for begin, end, seen in zip(*(column[signs > 0].tolist() for column in (begins, ends, signs)), strict=True):
        for span in _spans(texts.piece(begin, end), seen):
            changed.append((begin + span.begin, begin + span.end, f"[{span.kind}]"))
            kinds.append(span.kind)
    begins = np.array([begin for begin, _, _ in changed], np.int64)
    documents = np.searchsorted(texts.starts, begins, side="right") - 1
    return texts.replace(changed), [*masked, *zip(documents.tolist(), kinds, strict=True)]


def find(line: str, addresses: bool = False) -> list[Span]:
    """The personal data of one line, in order."""
    texts = Texts.of([line])
    signs = sum(lines_to_read(texts.codes, texts.starts)[2].tolist())
    return _spans(line, signs if addresses else signs & ~PLACE)


@cache
def _recognisers_for(signs: int) -> tuple[Recogniser, ...]:
    return tuple(recogniser for recogniser in _RECOGNISERS if recogniser.needs & signs)


def _spans(line: str, signs: int) -> list[Span]:
    text, spans = folded(line), []
    if signs & DISGUISE:
        text = undisguised(text)
    for recogniser in _recognisers_for(signs):
        taken = [
            match.span(recogniser.part) for match in recogniser.pattern.finditer(text.text) if recogniser.accepts(match)
        ]
        if taken:
            spans += [Span(*text.span(begin, end), recogniser.kind) for begin, end in taken]
            text = text.without(taken)
    return sorted(spans, key=lambda span: span.begin)
