"""A line as the rules read it: one form for digits, dashes, dots and stars; disguised digits on demand.

Every fold knows the place of each of its characters in the line, so that a span found in it is a span of the line.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_SAME = {
    "-": "‐‑‒–—―−－ー﹣ㅡ─━﹘⁃˗",
    " ": "\u00a0\u3000\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\t",
    ".": "。｡．․",
    "·": "ㆍ‧・∙•⋅･",
    "*": "○●◯◌■□▲△×✕✱∗⁎＊※◇◆⚫⚪❌",
    "~": "〜∼～",
    ")": "〕】］｣」",
    "(": "〔【［｢「",
    "@": "＠﹫",
    ":": "：︰﹕",
}
SIGNS: dict[int, str] = {0xFF01 + i: chr(0x21 + i) for i in range(94)}
SIGNS |= {ord(variant): sign for sign, variants in _SAME.items() for variant in variants}
_ENCLOSED: set[int] = set()
for _code in (*range(0x0660, 0x3300), *range(0x1D7CE, 0x1D800), *range(0x1F100, 0x1F10B)):
    _digit = unicodedata.digit(chr(_code), None)
    if _digit is not None:
        SIGNS[_code] = str(_digit)
        if unicodedata.category(chr(_code)) == "No":
            _ENCLOSED.add(_code)
INVISIBLE = "".join(map(chr, (0xAD, 0x180E, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF, 0xFE0F, 0x20E3)))
_FOLDABLE = re.compile("[" + re.escape("".join(map(chr, SIGNS))) + INVISIBLE + "]")
_DROPPED = re.compile(f"[{INVISIBLE}]")
_LONE_ENCLOSED = re.compile("(?<![{0}])[{0}](?![{0}])".format("".join(map(chr, sorted(_ENCLOSED)))))
"""A circled or raised digit by itself is a bullet or a footnote; several in a row are a number in disguise."""
_CROSSES = re.compile(r"(?<=[-. 0-9*)_])(?:[Xx]{2,}|#{2,}|[Oㅇ]{3,}|[?]{3,})(?![A-Za-zㄱ-ㅎ])")
"""Signs that stand for digits which the writer hid: 010-XXXX-5678."""

_ZERO, _ONE = "oOㅇОоΟο〇공영빵", "liIㅣ일ⅼ"
_LIKE = {**dict.fromkeys(_ZERO, "0"), **dict.fromkeys(_ONE, "1")}
_LIKE |= dict(zip("이삼사오육륙칠팔구ZSB", "234566789258", strict=True))
NUMBER_WORDS = "공영빵일이삼사오육륙칠팔구"
DISGUISES = "".join(char for char in _LIKE if char not in NUMBER_WORDS)
_LIKENESS = {ord(char): digit for char, digit in _LIKE.items()}
_MEMBER = f"[0-9{re.escape(''.join(_LIKE))}*]"
_BETWEEN = r"(?: ?[-./·_~)(,] ?| | ?(?:에|의|다시|대시|바) ?)?"
_RUN = re.compile(rf"(?<![A-Za-z0-9ㄱ-ㅎ])(?!(?<=대)구)(?:\(|\+)?{_MEMBER}(?:{_BETWEEN}{_MEMBER}){{7,}}")
_SPOKEN_SIGN = re.compile("다시|대시|[에의바,]")
_COPULA = re.compile("에요|다|야|었|거든")
_ENDING = re.compile("예요|래|라|고|며|니|요|지|면")
_NO_PART_AHEAD = re.compile(
    f"(?:[oOㅇliIㅣ〇]+|[{NUMBER_WORDS}]{{1,2}}) +(?=[0-9(+{NUMBER_WORDS}])|\\(?[SBZ] ?(?=[0-9])"
)
_NO_PART_BEHIND = re.compile(f"(?<=[0-9]) [{NUMBER_WORDS}oOㅇ]$")
_SPACED = re.compile(r"(?<![0-9*])[0-9*](?: [0-9*]| ?[-~.] ?[0-9*]){8,}(?![0-9*])")


@dataclass(frozen=True)
class Folded:
    """A text to search in, and the place of each of its characters in the line; None where they are the same."""

    text: str
    places: tuple[int, ...] | None = None

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """The span of the line that a span of the text stands for."""
        return (begin, end) if self.places is None else (self.places[begin], self.places[end - 1] + 1)

    def without(self, spans: Iterable[tuple[int, int]]) -> "Folded":
        """The same with some spans of the text, in their order, blank: what has a kind is not looked at again."""
        pieces, at = [], 0
        for begin, end in spans:
            pieces += [self.text[at:begin], "\0" * (end - begin)]
            at = end
        return Folded("".join([*pieces, self.text[at:]]), self.places)


def folded(line: str) -> Folded:
    """The line in one form; invisible characters are left out."""
    if line.isascii() or not _FOLDABLE.search(line):
        return Folded(line)
    text = _LONE_ENCLOSED.sub(" ", line) if _ENCLOSED.intersection(map(ord, line)) else line
    whole = Folded(text.translate(SIGNS))
    if _DROPPED.search(line):
        whole = _kept(whole, [place for place, char in enumerate(line) if char not in INVISIBLE])
    return whole


def undisguised(whole: Folded) -> Folded:
    """The same with digits that are words (공일공), look-alikes (O1O), or each by itself, as digits; crosses as stars.

    Only whole runs of digits and disguised ones are changed, so that ordinary words stay.
    """
    crossed = _CROSSES.sub(lambda crosses: "*" * len(crosses[0]), whole.text)
    text = list(crossed)
    for run in _RUN.finditer(crossed):
        begin, body = _digits_of(run)
        disguised = sum(char in _LIKE for char in body)
        plain = sum(char in "0123456789" for char in body)
        words = sum(char in NUMBER_WORDS for char in body)
        if not disguised or plain + words < 5 or disguised - words > 2 * plain:
            continue
        body = _SPOKEN_SIGN.sub(lambda sign: "-".ljust(len(sign[0])), body).translate(_LIKENESS)
        text[begin : begin + len(body)] = body
    plainer = Folded("".join(text), whole.places)
    gone = [
        place
        for run in _SPACED.finditer(plainer.text)
        for place in range(run.start(), run.end())
        if plainer.text[place] == " "
    ]
    if gone:
        left = set(gone)
        return _kept(plainer, [place for place in range(len(plainer.text)) if place not in left])
    return plainer


def _digits_of(run: re.Match[str]) -> tuple[int, str]:
    """The run without what only looks like part of it (대`구 09-`, `ㅇㅇ 공일공`, 5678`이에요`): its place, itself."""
    ahead = _NO_PART_AHEAD.match(run[0])
    begin = ahead.end() if ahead else 0
    body = _NO_PART_BEHIND.sub("", run[0][begin:])
    rest = run.string[run.start() + begin + len(body) : run.end() + 3]
    if body[-1] in "이구":
        count = sum(char in _LIKE or char in "0123456789*" for char in body)
        wanted = 11 if body.translate(_LIKENESS).startswith("01") else 13
        too_long = count == wanted + 1
        if too_long or (body[-1] == "이" and _COPULA.match(rest)) or (count != wanted and _ENDING.match(rest)):
            body = body[:-1]
    return run.start() + begin, body


def _kept(whole: Folded, places: list[int]) -> Folded:
    origins = tuple(places) if whole.places is None else tuple(whole.places[place] for place in places)
    return Folded("".join(whole.text[place] for place in places), origins)
