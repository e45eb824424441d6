"""Where sentences end, by rules: punctuation, Korean endings that stand without it, quotes and brackets kept whole.

Korean ends its sentences with few verb endings, and writing on the web leaves the full stop out after many of them.
On kss's public test sets this is better than kss's `fast` backend, and some hundred times faster
(tests/trainers/text/test_sentences.py).
"""

import re
from itertools import pairwise

from trainers.text.characters import SYLLABLES, syllables_ending_in

_VERB_STEM = syllables_ending_in(4) + syllables_ending_in(20) + "겠없같"  # ㄴ: 간다; ㅆ: 갔다
_POLITE_STEM = syllables_ending_in(17)  # ㅂ: 갑니까
_POLITE = "어아에예해네세줘봐워와려져여게까나래데지고구든써써가군죠돼쳐내켜"
_ENDING = f"(?:[{_VERB_STEM}니이]다|아니다|[{_POLITE}]요|죠|[{_POLITE_STEM}]니까|[음함됨임](?=\\s?[ㅋㅎㅠㅜ]))"
_EMOJI = ("\U0001f300", "\U0001faff")  # the first, the last
_FEELING = f"(?:[ㅋㅎㅠㅜㅡ~;♡♥]|\\^\\^|:\\)|[{'-'.join(_EMOJI)}☺❤])"
_LAUGH = "(?:[ㅋㅎ]{2,}|[ㅠㅜ]+|\\^\\^|[♡♥])"
_CITED = "(?:\\[(?:참고 ?)?\\d{1,3}\\])"
_QUOTES = tuple("\"'”’")
_MARKS = ".…!?。？！"
_CLOSERS = "\"'”’」』》〉)]>"
_CLOSING = re.escape(_CLOSERS)
_LAST = f"{_MARKS}{_CLOSERS}~;^ㅋㅎㅠㅜㅡ♡♥☺❤"
LAST_CODES = (*map(ord, _LAST), *range(ord(_EMOJI[0]), ord(_EMOJI[1]) + 1))
"""Code points with which the written end of a sentence may end: marks, closed quotes and brackets, feelings."""
_NO_ABBREVIATION = "(?<!\\d)(?<!\\b[A-Za-z])(?<!\\b(?:Mr|Dr|vs|No|St))(?<!\\bMrs)"
_PLACE = re.compile(
    f"(?<=[다요죠까음함됨임{re.escape(_LAST)}{'-'.join(_EMOJI)}])\\s+(?=\\S)"
    f"|(?<=[다요죠][.!?]){_CITED}*+(?=[{SYLLABLES}(])|\n\\s*"
)
"""Where a sentence may begin: after a space behind what may end one, after a full stop without a space, on a line."""
_END = re.compile(
    f"(?:{_NO_ABBREVIATION}(?<![.])[.]|(?<![은는이가을를도면만서데.…])(?:[.]{{2,}}|…)[.…!?]*+|[!?。？！][{_MARKS}]*+){_CITED}*+"
    f"{_FEELING}*+(?P<close>[{_CLOSING}]*+){_CITED}*+\\Z"
    f"|(?<=[{SYLLABLES}])(?P<bare>{_ENDING}(?:\\s?{_FEELING})*+)\\Z"
    f"|[{SYLLABLES}.!?]{_LAUGH}\\Z"
)
_SHOWN_END = re.compile(
    f"(?:[{_MARKS}](?:\\s?{_FEELING}|[{_CLOSING}]|{_CITED})*+"
    f"|(?<=[{SYLLABLES}]){_ENDING}(?:\\s?{_FEELING})++[{_CLOSING}]*+|[{SYLLABLES}]{_LAUGH})\\Z"
)
_LONGEST_END = 40
_GOES_ON = re.compile(
    "이?라[고는며던]|고|[는며면]|보[니면]|하[고며는던더]|해도|싶|[한할]\\s|때|것|거|수|뿐|정도|만큼|치"
)
"""What goes on with a sentence after an ending without punctuation, or after a quote."""
_SAID = re.compile('[^.!?…\n"“]{0,40}(?:물었|물어|말했|말하|대답|외쳤|소리쳤|속삭|덧붙)')
"""Who said what a quote before holds."""
_QUOTED = re.compile("이?라[고는며던]")
KEPT_WHOLE = re.compile(
    "|".join(
        f"{before}{begin}[^{begin}{end}\n]{{1,400}}{end}"
        for before, begin, end in (
            ("", '"', '"'), ("(?<!\\S)", "'", "'"), ("", "“", "”"), ("", "‘", "’"), ("", "「", "」"), ("", "『", "』"),
            ("", "《", "》"), ("", "<", ">"), ("", "\\(", "\\)"), ("", "\\[", "\\]"),
        )
    )
)  # fmt: skip
"""Quotes and brackets with what they hold, closed on their line: no sentence ends inside."""


def ends_sentence(text: str) -> bool:
    """True where a text shows that its last sentence is whole: by a mark, or a feeling behind an ending (좋네요 ㅎㅎ).

    An ending alone (좋네요) ends a sentence where another follows, but at a text's end what follows may be cut off.
    """
    whole = text.rstrip()
    return _SHOWN_END.search(whole, max(0, len(whole) - _LONGEST_END)) is not None


def sentence_starts(text: str) -> list[int]:
    """Offsets at which a sentence begins, other than the text's own begin. A line end always ends a sentence."""
    whole = iter(match.span() for match in KEPT_WHOLE.finditer(text))
    opened, closed = next(whole, (len(text), len(text)))
    starts = []
    for place in _PLACE.finditer(text):
        start = place.end()
        while closed <= start and opened < len(text):
            opened, closed = next(whole, (len(text), len(text)))
        if start < len(text) and ("\n" in place[0] or (not opened < start < closed and _ends(text, *place.span()))):
            starts.append(start)
    return starts


def _ends(text: str, end: int, start: int) -> bool:
    """True where a sentence ends at `end` and another may begin at `start`."""
    if end == start or text[end] == "[":
        return True  # a full stop without a space, after which Hangul follows
    ending = _END.search(text, max(0, end - _LONGEST_END), end)
    if ending is None:
        return False
    if (ending["close"] or "")[:1] in _QUOTES and _SAID.match(text, start):
        return False
    return not (_GOES_ON if ending["close"] or ending["bare"] else _QUOTED).match(text, start)


def split_by_rules(text: str) -> list[str]:
    """Sentences in order, without surrounding space."""
    places = [0, *sentence_starts(text), len(text)]
    pieces = (text[begin:end].strip() for begin, end in pairwise(places))
    return [piece for piece in pieces if piece]
