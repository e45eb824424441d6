"""The choices of a question and which of them is right, however a suite spells them."""

import re
import unicodedata
from typing import Any

from trainers.conversations.columns import listed
from trainers.conversations.messages import content
from trainers.conversations.rows import Row
from trainers.text.records import Unusable

_LETTERS = "ABCDEFGHIJ"
_DIGITS = "123456789"
_KOREAN_LETTERS = "가나다라마바사아자차"
_CIRCLED = {sign: n for signs in ("①②③④⑤⑥⑦⑧⑨⑩", "❶❷❸❹❺❻❼❽❾❿", "⑴⑵⑶⑷⑸⑹⑺⑻⑼⑽") for n, sign in enumerate(signs)}
_WIDE = {0xFF01 + n: 0x21 + n for n in range(94)}
_INTRODUCED = re.compile(r"(?:정답|답|answer)(?:\s*[:：=]|은|는|\s+is\b)?\s*", re.IGNORECASE)
_RESPECTS = re.compile(r"(?<!\s)\s*(?:(?:입니다|이다|이에요|임)\s*)?\.?$")
_MARKED = re.compile(rf"[\s(\[]*([A-Ja-j{_KOREAN_LETTERS}])[\s)\].:]*")
_MARKED_TEXT = re.compile(r"[\s(\[]*([A-Ja-j])\s*[)\].:]\s*(\S.*)", re.DOTALL)
_ORDINAL = re.compile(r"(\d{1,2})\s*번")
_NUMBER = re.compile(r"-?\d{1,3}(?:\.0+)?")
_PREFIX = re.compile(rf"\s*(?:([{''.join(_CIRCLED)}])|\(?([A-Ja-j0-9{_KOREAN_LETTERS}])[).:])\s*(?=\S)")
_COLUMN = re.compile(
    r"(?:choice|option|alternative|ending|opt|보기|선택지|선택|답안)[ _-]?([1-9]|[a-j])", re.IGNORECASE
)
_MARKED_RIGHT = {"choices", "labels"}
"""The keys of TruthfulQA's choices, which say themselves which one is right."""


class Shifted(Exception):
    """An answer that names none of the choices: those of the others may count from 1, too."""


def choice_columns(row: Row) -> list[str]:
    """Columns A, B, ... or choice1, choice2, ... or 1, 2, ... (①, ②, ...) of a row that has its choices there."""
    numbered = {match[1].casefold(): name for name in row if (match := _COLUMN.fullmatch(str(name).strip()))}
    lettered = {str(name).strip().casefold(): name for name in row if len(str(name).strip()) == 1}
    signs = (
        (lettered, _LETTERS),
        (lettered, _DIGITS),
        (lettered, "①②③④⑤⑥⑦⑧⑨"),
        (numbered, _LETTERS),
        (numbered, _DIGITS),
    )
    return max((_in_turn(row, columns, each) for columns, each in signs), key=len)


def _in_turn(row: Row, columns: dict[str, Any], signs: str) -> list[str]:
    names = []
    for sign in signs.casefold():
        if sign not in columns or row[columns[sign]] is None or row[columns[sign]] == "":
            break
        names.append(columns[sign])
    return names if len(names) > 1 else []


def is_number(answer: Any) -> bool:
    """Whether an answer is given by the choice's number, which counts from 0."""
    return not isinstance(answer, bool) and _NUMBER.fullmatch(str(_spelt(answer)).strip()) is not None


def choices_of(values: dict[str, Any], row: Row) -> tuple[list[str], list[str]]:
    """The choices, and what they are called where they are called something.

    Raises:
        Unusable: there are no two, or two are the same.
    """
    choices: Any = values.get("choices")
    labels: list[Any] = []
    if choices is None and (columns := choice_columns(row)):
        choices = [row[name] for name in columns]
        labels = [_label(name.strip()) for name in columns]
        labels = labels if all(labels) else []
    if isinstance(choices, dict) and choices.keys() == _MARKED_RIGHT:
        choices = choices["choices"]
    elif isinstance(choices, dict) and "text" in choices:
        choices, labels = listed(choices["text"]), listed(choices.get("label") or [])
    elif isinstance(choices, dict):
        there = {str(name).strip(): choice for name, choice in choices.items() if choice is not None}
        choices, labels = list(there.values()), list(there)
    if isinstance(choices, list) and choices and all(isinstance(choice, dict) for choice in choices):
        choices, labels = [choice.get("text") for choice in choices], [choice.get("label") for choice in choices]
    if not isinstance(choices, list) or len(choices) < 2 or len(labels) not in (0, len(choices)):
        raise Unusable("bad_choices", "choices must be at least two: a list, {text, label}, or columns A, B, ...")
    texts = [content(_spelt(choice), f"choice {number}") for number, choice in enumerate(choices)]
    if len(set(texts)) != len(texts):
        raise Unusable("bad_choices", "two choices are the same")
    return texts, [str(label).strip() for label in labels]


def marked_right(choices: Any) -> int | None:
    """Which of TruthfulQA's choices (`mc1_targets`) is marked as right, by a 1 among zeros; None of other forms.

    Raises:
        Unusable: not one is.
    """
    if not isinstance(choices, dict) or choices.keys() != _MARKED_RIGHT:
        return None
    given = listed(choices["labels"])
    marks = [*map(str, given)] if isinstance(given, list) else []
    if sorted(marks) != ["0"] * (len(marks) - 1) + ["1"] or len(marks) != len(listed(choices["choices"])):
        raise Unusable("bad_answer", f"labels {str(marks)[:40]} must be a 1 for the right choice and 0 for the others")
    return marks.index("1")


def _label(column: str) -> str:
    """What a column calls its choice; `choice1` does not say whether answers count from 1."""
    if column in _CIRCLED:
        return str(_CIRCLED[column] + 1)
    return "" if column[-1].isdecimal() and len(column) > 1 else column[-1].upper()


def answer_of(answer: Any, choices: list[str], labels: list[str]) -> int:
    """The right choice's number from 0: by its text, its label, its letter, its ordinal (②, 2번), or that number.

    Raises:
        Unusable: it is none of these, or may be two of them.
        Shifted: it is a number that names none of the choices.
    """
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise _none(answer, choices)
    spelt = unicodedata.normalize("NFC", _spelt(answer)).strip()
    named = {names.index(spelt) for names in (choices, labels, _bare(choices)) if names.count(spelt) == 1}
    number = int(float(spelt)) if _NUMBER.fullmatch(spelt) else None
    if number is not None and not labels:
        named |= {number} if named and 0 <= number < len(choices) else set()
        named |= {n for n, text in enumerate(choices) if number >= 0 and _prefix(text) == str(number)}
    if len(named) > 1 or (named and number is not None and _prefix(choices[min(named)]) == str(number)):
        raise Unusable(
            "bad_answer", f"answer {spelt[:40]!r} may count from 0 or from 1; give the choice's letter or text"
        )
    if named:
        return named.pop()
    if number is None:
        return _in_words(spelt, choices, answer)
    if number == -1:
        raise Unusable("no_answer", "answer -1: the right one was left out where the suite was published")
    if not 0 <= number < len(choices):
        raise Shifted(f"answer {number} of {len(choices)} choices")
    return number


def _in_words(spelt: str, choices: list[str], answer: Any) -> int:
    """By letter or ordinal, which an exam writes with words around: `정답: ②`, `2번입니다`, `B. 부산`."""
    core = _RESPECTS.sub("", _INTRODUCED.sub("", spelt, count=1)).translate(_WIDE)
    bare = _bare(choices)
    for text in (spelt, core):
        if match := _MARKED.fullmatch(text):
            letter = match[1].upper()
            return _within((_LETTERS if letter in _LETTERS else _KOREAN_LETTERS).index(letter), choices, answer)
        if text.strip("() ") in _CIRCLED:
            return _within(_CIRCLED[text.strip("() ")], choices, answer)
        if ordinal := _ORDINAL.fullmatch(text):
            return _within(int(ordinal[1]) - 1, choices, answer)
        if (both := _MARKED_TEXT.fullmatch(text)) and both[2].strip() in bare:
            place = _LETTERS.index(both[1].upper())
            if bare.index(both[2].strip()) == place:
                return place
        for names in (choices, bare):
            if core in names:
                return names.index(core)
    raise _none(answer, choices)


def _within(place: int, choices: list[str], answer: Any) -> int:
    if not 0 <= place < len(choices):
        raise _none(answer, choices)
    return place


def _none(answer: Any, choices: list[str]) -> Unusable:
    wanted = f"a number from 0 to {len(choices) - 1}, a letter, an ordinal (②, 2번), or a choice's text"
    return Unusable("bad_answer", f"answer {str(answer)[:40]!r} must be {wanted}")


def _bare(choices: list[str]) -> list[str]:
    """The choices without what numbers them (`① 서울`), where that numbers all."""
    prefixes = [prefix for text in choices if (prefix := _PREFIX.match(text))]
    return [prefix.string[prefix.end() :] for prefix in prefixes] if len(prefixes) == len(choices) else choices


def _prefix(text: str) -> str | None:
    match = _PREFIX.match(text)
    return match[1] or match[2] if match else None


def _spelt(value: Any) -> Any:
    """A number as it is written: choices and answers of arithmetic are numbers in many files."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.15g}"
    return value
