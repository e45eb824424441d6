"""The seeded grammar: templates with slots, and Korean particles that fit the word before them."""

import random
import re
from collections.abc import Mapping, Sequence

_TOKEN = re.compile(r"\{([^{}]+)\}")
_CLOSING = "\"'’”)]』」》〉 "

# after a final consonant, after a vowel; 로 also follows the consonant ㄹ
_PAIRS = (
    ("은", "는"),
    ("이", "가"),
    ("을", "를"),
    ("과", "와"),
    ("으로", "로"),
    ("이나", "나"),
    ("이라", "라"),
    ("이랑", "랑"),
    ("아", "야"),
    ("이에요", "예요"),
    ("이었다", "였다"),
    ("이다", "다"),
)
PARTICLES: Mapping[str, tuple[str, str]] = {form: pair for pair in _PAIRS for form in pair}


def final_consonant(word: str) -> str:
    """How `word` ends when read aloud: "" for a vowel, "ㄹ" for that letter, "·" for any other final consonant."""
    last = word.rstrip(_CLOSING)[-1:]
    if "가" <= last <= "힣":
        final = (ord(last) - ord("가")) % 28
        return "" if final == 0 else "ㄹ" if final == 8 else "·"
    if last and last in "178lLrR":
        return "ㄹ"
    return "·" if last and last in "036mnMN" else ""


def particle(word: str, form: str) -> str:
    """The form of a particle (either of its two forms names it) that follows `word`."""
    after_consonant, after_vowel = PARTICLES[form]
    final = final_consonant(word)
    if after_consonant == "으로" and final == "ㄹ":
        return after_vowel
    return after_consonant if final else after_vowel


def attach(text: str) -> str:
    """Replace every {particle} in `text` by the form that fits what stands before it."""
    parts = _TOKEN.split(text)
    done = parts[0]
    for form, after in zip(parts[1::2], parts[2::2], strict=True):
        done += particle(done, form) + after
    return done


class Grammar:
    """Expands templates: `{slot}` by a word of that vocabulary, `{은}` by the fitting particle."""

    def __init__(self, words: Mapping[str, Sequence[str]], rng: random.Random) -> None:
        self.words = words
        self.rng = rng

    def expand(self, template: str, bound: Mapping[str, str] | None = None) -> str:
        """One sentence of `template`. KeyError names an unknown slot.

        A slot in `bound` takes the given word where it stands first; a slot that stands again takes another word.
        """
        return attach(self._fill(template, bound or {}))

    def _fill(self, template: str, bound: Mapping[str, str]) -> str:
        used: dict[str, set[str]] = {}

        def word(match: re.Match[str]) -> str:
            name = match.group(1)
            taken = used.setdefault(name, set())
            if name in bound and not taken:
                chosen = bound[name]
            elif name in PARTICLES:
                return match.group(0)
            else:
                chosen = self._drawn(name, bound, taken)
            taken.add(chosen)
            return chosen

        return _TOKEN.sub(word, template)

    def _drawn(self, slot: str, bound: Mapping[str, str], taken: set[str]) -> str:
        # A few tries are enough for variety, and a list of one word must end too.
        for _ in range(4):
            chosen = self._fill(self.rng.choice(self.words[slot]), bound)
            if chosen not in taken:
                break
        return chosen
