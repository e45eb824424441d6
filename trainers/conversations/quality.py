"""What conversations must be beyond well-formed: of a fit length and language, private, and no part of a benchmark."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from trainers.contract.recipe.data import ConversationsSection, DecontaminationSettings
from trainers.contract.takedown import TakeDown, strings
from trainers.conversations.messages import Message, texts_of
from trainers.conversations.rows import ConversationSet, Row
from trainers.text.characters import Changed, Texts
from trainers.text.contamination import SHARED_BY, Suites, items
from trainers.text.filters import measure
from trainers.text.personal_data import mask
from trainers.text.speech_levels import level_of

_PARTS = ("messages", "prompt", "chosen", "rejected", "completion")


def refine(result: ConversationSet, section: ConversationsSection, suites: Sequence[Path]) -> Counter[str]:
    """Mask personal data in the kept rows and exclude those that break a rule; returns what was masked, by type."""
    spans = [[place for message in _of(row) for place in texts_of(message)] for row in result.kept]
    texts = Texts.of([holder[key] for places in spans for holder, key in places])
    owners = np.repeat(np.arange(len(spans)), [len(places) for places in spans])
    verdicts = _verdicts(texts, owners, len(spans), section)
    if section.decontamination.action != "off" and suites:
        contaminated = _same_prompts(result.kept, suites) | _overlapping(texts, owners, suites, section.decontamination)
        evidence = Texts.of(list(contaminated.values()))
        if section.mask_personal_data:
            evidence, _ = mask(evidence, section.mask_addresses, section.name_model)
        for number, piece in zip(contaminated, evidence.strings, strict=True):
            verdicts.setdefault(number, ("contaminated", piece))
    masked: Changed = []
    if section.mask_personal_data:
        texts, masked = mask(texts, section.mask_addresses, section.name_model)
        for (holder, key), text in zip((place for places in spans for place in places), texts.strings, strict=True):
            holder[key] = text
    takedown = TakeDown(section.takedown)
    for number, row in enumerate(result.kept) if takedown else ():
        if takedown.names(row["id"], *strings([row.get(part) for part in _PARTS])):
            verdicts[number] = ("takedown", "")
    result.exclude(verdicts)
    return Counter(kind for _, kind in masked)


def honorifics(rows: Sequence[Row]) -> dict[str, int]:
    """Assistant messages by the level of speech that they keep."""
    counts: Counter[str] = Counter()
    for row in rows:
        for message in _of(row):
            if message["role"] == "assistant":
                counts[level_of(message["content"])] += 1
    return dict(counts.most_common())


def _of(row: Row) -> Iterator[Message]:
    for part in _PARTS:
        yield from row.get(part, ())


def _verdicts(
    texts: Texts, owners: np.ndarray, count: int, section: ConversationsSection
) -> dict[int, tuple[str, str]]:
    """Rows that are too long, or in a script that no model here is trained on; by their number."""
    measures = measure(texts)
    characters, letters, readable = np.zeros(count), np.zeros(count), np.zeros(count)
    np.add.at(characters, owners, measures.count("characters"))
    np.add.at(letters, owners, measures.count("letters"))
    np.add.at(readable, owners, measures.count("hangul") + measures.count("hanja") + measures.count("latin"))
    verdicts = {
        n: ("too_long", f"{characters[n]:.0f} characters") for n in np.flatnonzero(characters > section.max_characters)
    }
    for number in np.flatnonzero(readable < section.min_hangul_or_latin_share * letters):
        verdicts.setdefault(number, ("language", f"{readable[number] / letters[number]:.2f} of the letters"))
    return {int(number): verdict for number, verdict in verdicts.items()}


def _overlapping(
    texts: Texts, owners: np.ndarray, suites: Sequence[Path], settings: DecontaminationSettings
) -> dict[int, str]:
    """Rows that hold a piece of a suite: the item, and the piece."""
    hits = reversed(Suites.read(settings, suites).find(texts))
    return {int(owners[h.document]): f"{h.item}: {texts.strings[h.document][h.begin : h.end]}" for h in hits}


def _same_prompts(rows: Sequence[Row], suites: Sequence[Path]) -> dict[int, str]:
    """Rows whose whole prompt is an item's, which may be shorter than any piece: the item, and the prompt.

    A prompt that many items share is their template, no evidence.
    """
    names_of: dict[str, list[str]] = {}
    for name, item in items(suites):
        if prompt := _letters(_prompt_of_item(item)):
            names_of.setdefault(prompt, []).append(name)
    evidence = {}
    for number, row in enumerate(rows):
        prompt = _joined(row.get("prompt") or row["messages"][:-1])
        names = names_of.get(_letters(prompt), ())
        if 0 < len(names) <= SHARED_BY:
            evidence[number] = f"{names[0]}: {prompt}"
    return evidence


def _prompt_of_item(item: Row) -> str:
    return str(item["question"]) if "question" in item else _joined(item.get("prompt") or item.get("messages") or ())


def _joined(messages: Sequence[Message]) -> str:
    return " ".join(message["content"] for message in messages if message["role"] != "system")


def _letters(text: str) -> str:
    """Letters and digits alone: what stays the same however a text is spaced and punctuated."""
    return "".join(char for char in text.casefold() if char.isalnum())
