"""What recognises one kind of personal data, and what the words around a number say of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

Accepts = Callable[[re.Match[str]], bool]

GAP = r" ?(?:[-./·_~]|--)? {0,2}"
"""Between the groups of a number, as people write them: one sign at most, or two dashes, and spaces around it."""
_FAR, _CLOSE = 30, 15


def either(expressions: str) -> str:
    """Any of some expressions, which are parted by spaces, as one."""
    return f"(?:{'|'.join(expressions.split())})"


_THINGS = r"""
송장 등기 일련 모델 바코드 부품 품번 시리얼 사건 특허 출원 고시 공고 추적 로트 규격 의안 품목 참조 코드 도면 자재
심의필? 좌표 위도 경도 타임스탬프 펌웨어 버전 릴리스 빌드 학번 커밋 해시 표준 원장 전표 공문 문항 차대
"""
_LATIN_THINGS = r"""
isbn issn ean upc doi orders? serial builds? commit version ver\.? part model lot ref sku tracking invoice ticket
timestamp epoch firmware s/n p/n sn pn id key hash (?:bar|zip|qr|item|product|error)?code
"""
_ACTIONS = """
주문 접수 예약 관리 상품 거래 문서 승인 제품 계약 증권 견적 티켓 쿠폰 회차 청구 결재 허가 인증 신고 조달 배송 물품 자산
발주 입찰 도서 우편 회원 포인트 색인 시행
"""
_NUMBERED = r"(?:번호|코드|넘버|no\b|num(?:ber)?|id\b|nr\b|제(?= ?$)|[#№])"
_NO_WORD = r"[^0-9A-Za-z가-힣\n\0>]"
_ORDINARY = re.compile(
    rf"(?:{either(_THINGS)}|(?<![a-z]){either(_LATIN_THINGS)}|{either(_ACTIONS)} ?{_NUMBERED})"
    rf"(?P<gap>(?: ?(?:{_NUMBERED}|명|이름|[은는이가]))?{_NO_WORD}{{0,6}}(?:[a-z]{{1,3}}{_NO_WORD}{{0,3}})?제?)$",
    re.IGNORECASE,
)
"""Labels of numbers that belong to a thing: an order, a part, a document, a version. What people do
(주문, 예약) is one with `번호` behind it only: `예약 010-...` is whom to call, as is 주문자, 관리사무소."""
_OF_SOMEBODY = re.compile(r"tel|phone|mobile|cell|fax|call|contact|rrn|mail|account", re.IGNORECASE)


@dataclass(frozen=True)
class Recogniser:
    """Spans of `pattern` that `accepts` are of `kind`.

    `needs`: signs (lines.py), one of which a line must show for it to be tried. `part`: the group of the pattern that
    is the span.
    """

    kind: str
    needs: int
    pattern: re.Pattern[str]
    accepts: Accepts
    part: int = 0


def recogniser(kind: str, needs: int, pattern: str, accepts: Accepts | None = None, part: int = 0) -> Recogniser:
    """A recogniser of a pattern as text; letters and digits in it are ASCII, in either case where it says `(?i)`."""
    return Recogniser(kind, needs, re.compile(pattern, re.ASCII), accepts or (lambda match: True), part)


def begins(first: str) -> str:
    """A first character without a digit before it. The look behind comes second: so `re` skips to the character."""
    return rf"{first}(?<![0-9*].)(?<![0-9*]-.)"


def before(match: re.Match[str], width: int = _FAR) -> str:
    """The characters before a match."""
    return match.string[max(0, match.start() - width) : match.start()]


def after(match: re.Match[str], width: int = _CLOSE) -> str:
    """The characters behind a match."""
    return match.string[match.end() : match.end() + width]


def named(match: re.Match[str], words: re.Pattern[str], width: int = _FAR) -> bool:
    """Do the words stand before the match, or close behind it?"""
    return bool(words.search(before(match, width)) or words.search(after(match)))


def is_ordinary(match: re.Match[str]) -> bool:
    """Is the number labelled as one that belongs to a thing: an order, a part, a document, a version?"""
    label = _ORDINARY.search(before(match))
    return label is not None and not _OF_SOMEBODY.search(label["gap"])


def in_a_word(match: re.Match[str]) -> bool:
    """Is the number a part of a name or a hash, by the Latin letters at its ends?"""
    ends = match.string[max(0, match.start() - 1) : match.start()] + match.string[match.end() : match.end() + 1]
    return re.search(r"[A-Za-z_]", ends) is not None


def digits(text: str) -> list[int]:
    """The digits of a text; hidden ones (`*`) are left out."""
    return [int(char) for char in text if char in "0123456789"]


def hidden(text: str) -> int:
    """How many digits are hidden behind `*`."""
    return text.count("*")


def words(alternatives: str, ahead: str = "", behind: str = "") -> re.Pattern[str]:
    """Any of some expressions, in either case, between two others; they are parted by spaces."""
    return re.compile(f"{ahead}{either(alternatives)}{behind}", re.IGNORECASE)
