"""Rewards that can be verified, for Korean answers: each gives 0 to 1, from the text alone."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from trainers.contract.plugins import PluginName, load_plugin
from trainers.contract.recipe.alignment import SamplingSettings
from trainers.text.languages import language_share
from trainers.text.repetition import repetition
from trainers.text.sentence_rules import ends_sentence
from trainers.text.speech_levels import politeness

_NUMBER = re.compile(r"-?\d+")
_SUM = re.compile(r"(?<!\d)(-?\d+)\s*(더하기|빼기|곱하기|\+|-|−|×|x|\*)\s*(-?\d+)")
_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    **dict.fromkeys(("더하기", "+"), lambda a, b: a + b),
    **dict.fromkeys(("빼기", "-", "−"), lambda a, b: a - b),
    **dict.fromkeys(("곱하기", "×", "x", "*"), lambda a, b: a * b),
}

Reward = Callable[..., list[float | None]]
"""As TRL calls it: prompts, completions and more by name."""
RewardRule = Callable[[str, str], float | None]
"""Of the question and the answer; None where it has nothing to say."""


def well_formed(text: str) -> float:
    """1 for a text that holds no special token, closes what it opens and ends a sentence."""
    closed = all(text.count(opening) == text.count(closing) for opening, closing in ("[]", "“”", "「」"))
    unopened = text.count(")") - text.count("(")
    closed &= 0 <= unopened <= text.count(":)")  # an emoticon closes no bracket
    return float("<|" not in text and closed and ends_sentence(text))


def in_band(text: str, band: tuple[int, int]) -> float:
    """1 inside the band of characters; falls off evenly outside."""
    least, most = band
    length = len(text.strip())
    if length < least:
        return length / least
    return 1.0 if length <= most else max(0.0, 1 - (length - most) / most)


def arithmetic(question: str, text: str) -> float | None:
    """1 where the last number of the answer is right; None where nothing is asked to be reckoned."""
    exercise = _SUM.search(question)
    if exercise is None:
        return None
    first, operation, second = exercise.groups()
    numbers = _NUMBER.findall(text.replace(",", ""))
    return float(bool(numbers) and int(numbers[-1]) == _OPERATIONS[operation](int(first), int(second)))


REWARD_RULES: dict[str, Callable[[SamplingSettings, str, str], float | None]] = {
    # None, which adds nothing, for an answer without letters: it is in no language, and earns none.
    "language": lambda settings, question, text: language_share(text, "ko"),
    "honorific": lambda settings, question, text: politeness(text),
    "format": lambda settings, question, text: well_formed(text),
    "length": lambda settings, question, text: in_band(text, settings.length_band),
    "arithmetic": lambda settings, question, text: arithmetic(question, text),
    "forbidden_words": lambda settings, question, text: float(not any(w in text for w in settings.forbidden_words)),
    "repetition": lambda settings, question, text: 1 - repetition(text),
}
"""How each of the contract's REWARDS rates an answer to a question."""


def reward_functions(settings: SamplingSettings) -> list[Reward]:
    """The settings' rewards as TRL calls them.

    Raises:
        BadRequest: a reward of the user's own is not there.
    """
    rewards = []
    for name in settings.rewards:
        if isinstance(name, PluginName):
            rewards.append(_named(name.partition(":")[2], load_plugin(name, "rlhf.sampling.rewards")))
        else:
            rewards.append(_named(name, partial(REWARD_RULES[name], settings)))
    return rewards


def _named(name: str, rule: RewardRule) -> Reward:
    def reward(prompts: list[Any], completions: list[Any], **_: Any) -> list[float | None]:
        return [
            rule(prompt[-1]["content"], completion[-1]["content"])
            for prompt, completion in zip(prompts, completions, strict=True)
        ]

    reward.__name__ = name  # TRL's logs call it that
    return reward
