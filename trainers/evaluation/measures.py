"""What is measured of one model: a row per item, by the format of its suite."""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from trainers.benchmarks.formats import Instruction, MultipleChoice, Preference, Suite, Text
from trainers.evaluation.bits_per_byte import LOG2, Unigram
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.results import ItemScore
from trainers.text.languages import drifts
from trainers.text.repetition import loops
from trainers.training.data.chat import as_text

_CHECKED_TOKENS = 128
"""For replies that are judged by checks: enough for the short forms that a program can judge."""
_SPARE_TOKENS = 4
"""Generated beyond the longest right answer: enough to see that a reply goes on, and so is wrong."""


def measure_suite(model: ModelUnderTest, suite: Suite) -> list[ItemScore]:
    """A row per item of the suite."""
    return _MEASURES[suite.format](model, suite.name, suite.items)


def _multiple_choice(model: ModelUnderTest, suite: str, items: Sequence[MultipleChoice]) -> list[ItemScore]:
    """The likeliest choice after the bare question, per character or by its sum, as the item says.

    Plain text for every stage, base and chat models alike: the same question is asked of all of them.
    """
    scores = model.scorer.score([[model.continuation(i.question, f" {c}") for c in i.choices] for i in items])
    rows = []
    for item, values in zip(items, scores, strict=True):
        sizes = [len(choice) if item.score == "per_character" else 1 for choice in item.choices]
        shares = [value / size for value, size in zip(values, sizes, strict=True)]
        rows.append(_judged(suite, item.id, item.choices, shares, item.choices[item.answer]))
    return [*rows, *_macro(suite, items, rows)]


def _macro(suite: str, items: Sequence[MultipleChoice], rows: Sequence[ItemScore]) -> list[ItemScore]:
    """The same results with every subject weighing the same: KMMLU's paper averages so, lm_eval does not."""
    sizes = Counter(item.subject for item in items)
    if len(sizes) < 2:
        return []
    return [
        replace(
            row,
            suite=f"{suite}/macro",
            measure="macro_accuracy",
            value=row.value / sizes[item.subject],
            weight=1 / sizes[item.subject],
        )
        for item, row in zip(items, rows, strict=True)
    ]


def _instruction(model: ModelUnderTest, suite: str, items: Sequence[Instruction]) -> list[ItemScore]:
    """Under the chat template: the likeliest whole reply of the choices, or else the greedy reply, exactly.

    A reply's log-probability includes the end of the turn: it is that of saying just this, so it needs no
    normalisation by length.
    """
    rows: dict[str, ItemScore] = {}
    chosen = [(item, item.choices) for item in items if item.choices]
    requests = [[model.reply(i.messages, [_assistant(choice)]) for choice in choices] for i, choices in chosen]
    for (item, choices), values in zip(chosen, model.scorer.score(requests), strict=True):
        rows[item.id] = _judged(suite, item.id, choices, values, item.answer)
    if free := [item for item in items if not item.choices and not item.checks]:
        longest = max(len(model.tokenizer(item.answer)["input_ids"]) for item in free)
        replies = model.generate([item.messages for item in free], longest + _SPARE_TOKENS)
        for item, reply in zip(free, replies, strict=True):
            right = _plain(reply) == _plain(item.answer)
            rows[item.id] = ItemScore(suite, "accuracy", item.id, float(right), 1.0, reply, item.answer)
    checked = [item for item in items if item.checks]
    replies = model.generate([item.messages for item in checked], _CHECKED_TOKENS)
    by_kind = [row for item, reply in zip(checked, replies, strict=True) for row in _verified(suite, item, reply, rows)]
    return [*(rows[item.id] for item in items), *by_kind]


def _verified(suite: str, item: Instruction, reply: str, rows: dict[str, ItemScore]) -> Iterator[ItemScore]:
    """Right where all checks hold (into `rows`); and a row per kind of check, to see what a model fails at."""
    outcomes = {f"{number}-{check.kind}": check.holds(reply) for number, check in enumerate(item.checks)}
    conditions = "; ".join(f"{check.kind} {check.value}" for check in item.checks)
    rows[item.id] = ItemScore(suite, "accuracy", item.id, float(all(outcomes.values())), 1.0, reply, conditions)
    for (name, holds), check in zip(outcomes.items(), item.checks, strict=True):
        yield ItemScore(
            f"{suite}/{check.kind}", "accuracy", f"{item.id}-{name}", float(holds), 1.0, reply, str(check.value)
        )


def measure_behaviour(prompts: Sequence[tuple[str, str]], replies: Sequence[str]) -> list[ItemScore]:
    """Of free replies to Korean prompts (id, text): does it loop, does it leave Korean."""
    rows = []
    for (identity, text), reply in zip(prompts, replies, strict=True):
        if drifts(text):
            continue  # a prompt that is not Korean itself
        rows.append(ItemScore("behaviour/loops", "rate", identity, float(loops(reply)), 1.0, reply, "no loop"))
        rows.append(ItemScore("behaviour/drifts", "rate", identity, float(drifts(reply)), 1.0, reply, "Korean"))
    return rows


def _preference(model: ModelUnderTest, suite: str, items: Sequence[Preference]) -> list[ItemScore]:
    """Right where the chosen reply has the higher summed log-probability. The rows keep the margin in `prediction`."""
    requests = [[model.reply(i.prompt, i.chosen), model.reply(i.prompt, i.rejected)] for i in items]
    rows = []
    for item, (chosen, rejected) in zip(items, model.scorer.score(requests), strict=True):
        margin = chosen - rejected
        right = float(margin > 0) if math.isfinite(margin) else math.nan
        rows.append(ItemScore(suite, "accuracy", item.id, right, 1.0, f"{margin:.6f}", "above 0", chance=1 / 2))
    return rows


def _text(model: ModelUnderTest, suite: str, items: Sequence[Text]) -> list[ItemScore]:
    """Bits of each text, over its UTF-8 bytes."""
    windows = [model.window_requests(item.text) for item in items]
    each = iter(model.scorer.score([[window] for some in windows for window in some]))
    scores = [[next(each)[0] for _ in some] for some in windows]
    return [
        ItemScore(suite, "bits_per_byte", item.id, round(-math.fsum(values) / LOG2, 4), float(len(item.text.encode())))
        for item, values in zip(items, scores, strict=True)
    ]


_MEASURES: dict[str, Callable[[ModelUnderTest, str, Sequence], list[ItemScore]]] = {
    "multiple_choice": _multiple_choice,
    "instruction": _instruction,
    "preference": _preference,
    "text": _text,
}


def measure_unigram(unigram: Unigram, model: ModelUnderTest, suite: Suite) -> list[ItemScore]:
    """Bits of each text under the unigram model, of the same tokens."""
    return [
        ItemScore(
            suite.name,
            "bits_per_byte",
            item.id,
            round(unigram.bits(as_text(item.text, model.tokenizer)), 4),
            float(len(item.text.encode())),
        )
        for item in suite.items
        if isinstance(item, Text)
    ]


def reward_margins(suite: str, policy: Sequence[ItemScore], reference: Sequence[ItemScore]) -> list[ItemScore]:
    """How much further the policy puts chosen above rejected than its reference does (nats; DPO's reward / beta)."""
    before = {row.item: float(row.prediction) for row in reference}
    return [
        ItemScore(f"{suite}/margin", "reward_margin", row.item, round(float(row.prediction) - before[row.item], 6))
        for row in policy
    ]


def _judged(suite: str, item: str, choices: Sequence[str], scores: Sequence[float], answer: str) -> ItemScore:
    if not all(math.isfinite(score) for score in scores):
        return ItemScore(suite, "accuracy", item, math.nan, 1.0, "not a number", answer)
    best = choices[max(range(len(scores)), key=scores.__getitem__)]
    return ItemScore(suite, "accuracy", item, float(best == answer), 1.0, best, answer, chance=1 / len(choices))


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()
