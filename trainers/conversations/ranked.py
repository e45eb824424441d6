"""Answers beside each other of which one is said to be better: by scores, by ranks, or by the winner's name."""

import math
import re
from typing import Any

from trainers.conversations.columns import BESIDE
from trainers.conversations.messages import first_of
from trainers.text.records import Unusable

_TEXT = ("text", "response", "content", "output", "answer", "completion", "generation")
_SCORE = ("score", "overall_score", "rating", "overall_rating")
_WINNER = re.compile(r"(?:(?:model|response|answer|completion|output|assistant)[_ -]?)?([0-9]|[a-d])", re.IGNORECASE)
_EQUAL = frozenset({"tie", "both", "neither", "none", "same", "equal", "both_bad", "tie (bothbad)", "비김", "무승부"})


def best_and_worst(values: dict[str, Any]) -> tuple[Any, Any]:
    """The best and the worst of scored answers: objects with their scores, or texts with a list of `scores` beside.

    Raises:
        Unusable: there are no two, or no scores, or all the same; says why.
    """
    answers, scores = values["answers"], values.get("scores")
    if isinstance(answers, dict):
        sides = {str(name).casefold(): answer for name, answer in answers.items()}
        if {"chosen", "rejected"} <= sides.keys():
            return sides["chosen"], sides["rejected"]
    if not isinstance(answers, list) or len(answers) < 2:
        raise Unusable("too_few_answers", "scored answers need at least two")
    if scores is not None and (not isinstance(scores, list) or len(scores) != len(answers)):
        raise Unusable("no_score", f"there are {len(answers)} answers, and scores for other ones")
    scored = []
    for number, answer in enumerate(answers, 1):
        texts = answer if isinstance(answer, dict) else {"text": answer}
        given = scores[number - 1] if scores else first_of(texts, _SCORE)
        scored.append((_score(given, number), first_of(texts, _TEXT)))
    best, worst = max(scored, key=lambda each: each[0]), min(scored, key=lambda each: each[0])
    if best[0] == worst[0]:
        raise Unusable("equal_scores", f"all answers score {best[0]:g}")
    return best[1], worst[1]


def winner_and_loser(row: dict[str, Any], winner: Any) -> tuple[Any, Any] | None:
    """Of two columns like `response_a` and `response_b` the one that the winner names, and the other; None without two.

    Raises:
        Unusable: there is no winner, or it names neither; says why.
    """
    beside = {match[1].casefold(): value for name, value in row.items() if (match := BESIDE.fullmatch(str(name)))}
    if len(beside) != 2:
        return None
    spelt = str(winner).strip().casefold()
    if spelt in _EQUAL:
        raise Unusable("equal_scores", f"neither is better: {spelt[:40]!r}")
    named = _WINNER.fullmatch(spelt)
    if isinstance(winner, bool) or named is None or named[1] not in beside:
        raise Unusable("bad_winner", f"{spelt[:40]!r} names neither of the answers {' and '.join(beside)}")
    better = beside.pop(named[1])
    return better, next(iter(beside.values()))


def refuse_contrary(values: dict[str, Any]) -> None:
    """Refuse a pair whose own scores say that the rejected answer is the better one.

    Raises:
        Unusable: they do.
    """
    better, worse = _number(values.get("chosen_score")), _number(values.get("rejected_score"))
    if better < worse:  # never where one of them is none
        raise Unusable("scores_contradict", f"chosen scores {better:g} and rejected {worse:g}")


def _score(given: Any, number: int) -> float:
    score = _number(given)
    if math.isnan(score):
        raise Unusable("no_score", f"answer {number}")
    return score


def _number(given: Any) -> float:
    """A score as a number, of a table's cell the one that is written there; NaN where it is none."""
    try:
        return math.nan if given is None or isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        return math.nan
