"""What repairs, the removal of lines, and masking do to texts: documents by kind, and lines before and after.

Examples are chosen by a key of their document's text, so that they do not depend on how the input was cut into blocks.
No personal data is in them: of what was masked its shape is shown, and other lines that hold any are not shown.
"""

import heapq
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple

from trainers.contract import LineChange, TextChange
from trainers.corpus.effects import keys_of
from trainers.text.characters import Changed, Texts
from trainers.text.personal.names import KIND as NAME
from trainers.text.personal_data import KINDS

Step = Literal["repaired", "removed lines", "masked"]
Change = Callable[[Texts], tuple[Texts, Changed]]
Changes = dict[str, dict[str, Any]]
"""By kind, as plain JSON: what a block's summary holds of each step."""
_Example = Sequence[Any]
"""(the document's key, the line before, the line after), as JSON has it; empty where no line of it can be shown."""
_EXAMPLES = 2
_AHEAD, _SHOWN = 40, 160
"""Characters of a line that are shown before its first difference, and at all."""
_LOOKED_AT = 4_000
"""Characters of a document, from its beginning, among which a line is looked for: long ones would cost the chain 2%."""
_PLACEHOLDER = re.compile(rf"\[(?:{'|'.join((*KINDS, NAME))})\]")
_SHAPE = re.compile(r"[^\s@.,:;/()+~·_-]")
_UNSEEN = ("Cc", "Cf", "Cn", "Co", "Mn", "Zl", "Zp", "Zs")
_JAMO = range(0x1100, 0x1200)


class _Line(NamedTuple):
    """A line of a chosen document, and what the step makes of it."""

    kinds: set[str]
    before: str
    after: str


def changes(
    step: Step, change: Change, texts: Texts, changed: Changed, unshown: Sequence[bool], masked: Change
) -> Changes:
    """What a step changed in one block.

    Args:
        change: the step.
        texts: what it was given.
        changed: what it changed there.
        unshown: documents of which nothing may be shown.
        masked: masks all personal data.
    """
    documents: dict[str, set[int]] = {}
    for document, kind in changed:
        documents.setdefault(kind, set()).add(document)
    keys = keys_of(texts).tolist() if documents else []
    chosen = {kind: heapq.nsmallest(_EXAMPLES, some, key=lambda n: (keys[n], n)) for kind, some in documents.items()}
    lines = _lines(change, texts, sorted({n for some in chosen.values() for n in some if not unshown[n]}), masked)
    return {
        kind: {
            "documents": len(documents[kind]),
            "examples": [(keys[n], *_line_of(step, kind, lines.get(n, ()), masked)) for n in some],
        }
        for kind, some in chosen.items()
    }


def merged(blocks: Iterable[dict[Step, Changes]]) -> list[TextChange]:
    """The changes of all blocks: by step in their order, what changed most documents first."""
    whole: dict[tuple[Step, str], dict[str, Any]] = {}
    for block in blocks:
        for step, kinds in block.items():
            for kind, row in kinds.items():
                all_ = whole.setdefault((step, kind), {"documents": 0, "examples": []})
                all_["documents"] += row["documents"]
                all_["examples"] = heapq.nsmallest(_EXAMPLES, map(tuple, [*all_["examples"], *row["examples"]]))
    order: dict[Step, int] = {step: number for number, (step, _) in enumerate(whole)}
    rows = sorted(whole.items(), key=lambda item: (order[item[0][0]], -item[1]["documents"], item[0][1]))
    return [
        TextChange(
            step=step,
            kind=kind,
            documents=row["documents"],
            # A menu is the same on every page of its site.
            examples=[LineChange(before=before, after=after) for before, after in _distinct(row["examples"])],
        )
        for (step, kind), row in rows
    ]


def _distinct(examples: Sequence[_Example]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((before, after) for _, before, after in examples if before))


def _lines(change: Change, texts: Texts, documents: Sequence[int], masked: Change) -> dict[int, list[_Line]]:
    """The changed lines of these documents that may be shown, each as if it were a document."""
    owners, before = [], []
    for document in documents:
        begin, end = int(texts.starts[document]), int(texts.starts[document + 1])
        some_lines = texts.piece(begin, min(end, begin + _LOOKED_AT)).split("\n")
        if end > begin + _LOOKED_AT:
            some_lines.pop()  # half a line may hold half a telephone number, which is none that is masked
        for line in some_lines:
            owners.append(document)
            before.append(line.strip(" \t\r"))
    after, changed = change(Texts.of(before))
    kinds: dict[int, set[str]] = {}
    for number, kind in changed:
        kinds.setdefault(number, set()).add(kind)
    results = [after[number] for number in kinds]
    private = {number for number, _ in masked(Texts.of(results))[1]}
    lines: dict[int, list[_Line]] = {}
    for place, (number, some) in enumerate(kinds.items()):
        if place not in private:
            lines.setdefault(owners[number], []).append(_Line(some, before[number], results[place]))
    return lines


def _line_of(step: Step, kind: str, lines: Iterable[_Line], masked: Change) -> tuple[str, str]:
    """The line that shows a kind best, as it is shown: with as few other kinds as there are."""
    line = min((line for line in lines if kind in line.kinds), key=lambda line: len(line.kinds), default=None)
    if line is None:
        return "", ""
    if step == "masked":
        return _around(_shaped(line.before, line.after), line.after)
    if step == "removed lines":  # gone as it would have been masked
        return _around(masked(Texts.of([line.before]))[0][0], "")
    before, after = _around(line.before, line.after)
    return _cut(_visible(before)), _cut(_visible(after))


def _around(before: str, after: str) -> tuple[str, str]:
    """Both lines around their first difference."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False))
    begin = max(0, sum(1 for _ in alike) - _AHEAD)
    return _cut(before, begin), _cut(after, begin)


def _cut(text: str, begin: int = 0) -> str:
    end = begin + _SHOWN
    return f"{'…' if begin and text else ''}{text[begin:end]}{'…' if len(text) > end + 1 else text[end:]}"


def _shaped(before: str, after: str) -> str:
    """The line before masking, with ▪ for each letter and digit of what was masked: `after` shows all the rest.

    Where `after` keeps what this line does not have, it is another line's, and is shown in its place.
    """
    first, *rest = _PLACEHOLDER.split(after)
    if not before.endswith(rest[-1] if rest else first):
        return after
    shown, place = [first], len(first)
    for number, kept in enumerate(rest, 1):
        at = len(before) - len(kept) if number == len(rest) else before.find(kept, place + 1)
        if at <= place:
            return after
        shown += [_SHAPE.sub("▪", before[place:at]), kept]
        place = at + len(kept)
    return "".join(shown)


def _visible(text: str) -> str:
    """The text with the code of each character that nobody sees, and of letters in pieces: ‹U+200B›."""
    return "".join(
        f"‹U+{ord(char):04X}›"
        if char not in " \t" and (unicodedata.category(char) in _UNSEEN or ord(char) in _JAMO)
        else char
        for char in text
    )
