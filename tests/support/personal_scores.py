"""How well a finder of personal data does on labelled texts: recall and precision, by kind and variant."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.support.personal_gold import Entry
from trainers.text.personal_data import find

Span = tuple[int, int, str]
Find = Callable[[str], Sequence[Span]]


def ours(text: str) -> Sequence[Span]:
    """What `trainers/text/personal_data.py` finds in a text, street addresses too; it reads a line at a time."""
    spans, begin = [], 0
    for line in text.split("\n"):
        spans += [(begin + span.begin, begin + span.end, span.kind) for span in find(line, addresses=True)]
        begin += len(line) + 1
    return spans


@dataclass
class Scores:
    """Counts of spans: those that are right, missed, and wrong; by kind, and by variant."""

    right: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    by_variant: dict[str, list[int]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def recall(self) -> float:
        """Of the personal data, the share that was found as what it is."""
        return self.right.total() / max(1, self.right.total() + self.missed.total())

    @property
    def precision(self) -> float:
        """Of what was found, the share that is right."""
        return self.right.total() / max(1, self.right.total() + self.wrong.total())

    def table(self) -> str:
        """A line for each kind, and one for each variant that is not perfect."""
        kinds = sorted({*self.right, *self.missed, *self.wrong})
        lines = [
            f"{kind:<20}{self.right[kind]:>6} right{self.missed[kind]:>6} missed{self.wrong[kind]:>6} wrong"
            for kind in kinds
        ]
        lines += [f"  {name:<32}{good:>4} of {all_}" for name, (good, all_) in self.by_variant.items() if good < all_]
        return "\n".join([*lines, f"recall {self.recall:.2%}, precision {self.precision:.2%}"])


def score(find: Find, entries: Iterable[Entry], kinds: frozenset[str] | None = None) -> Scores:
    """Let a finder read every text.

    A span is found where one of its kind covers all its letters and digits and reaches no letter or digit beyond.

    Args:
        kinds: of which personal data is counted; None: of all.
    """
    scores = Scores()
    for entry in entries:
        spans = [span for span in entry.spans if kinds is None or span[2] in kinds]
        if len(spans) < len(entry.spans):
            continue
        answers = [span for span in find(entry.text) if kinds is None or span[2] in kinds]
        tally = scores.by_variant.setdefault(entry.variant, [0, 0])
        unused, good = list(answers), True
        for span in spans:
            match = next((a for a in unused if _same(entry.text, a, span)), None)
            (scores.missed if match is None else scores.right)[span[2]] += 1
            good &= match is not None
            if match is not None:
                unused.remove(match)
        scores.wrong.update(answer[2] for answer in unused)
        good &= not unused
        tally[0] += good
        tally[1] += 1
        if not good:
            scores.examples.append(
                f"{entry.variant}: {entry.text!r} {[entry.text[b:e] for b, e, _ in spans]} {answers}"
            )
    return scores


def _same(text: str, answer: Span, span: Span) -> bool:
    difference = (
        text[min(answer[0], span[0]) : max(answer[0], span[0])]
        + text[min(answer[1], span[1]) : max(answer[1], span[1])]
    )
    return answer[2] == span[2] and answer[0] < span[1] and not any(char.isalnum() for char in difference)
