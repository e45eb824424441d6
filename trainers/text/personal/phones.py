"""Telephone numbers: mobile, land line, national service numbers, abroad; with and without what parts their groups.

Numbering: the ministry's 전기통신번호관리세칙. 15xx, 16xx and 18xx are a company's lines, and masked like any other.
"""

import re

from trainers.text.personal.lines import DISGUISE, NUMBER, SHORT
from trainers.text.personal.recogniser import (
    GAP,
    Recogniser,
    after,
    before,
    digits,
    hidden,
    is_ordinary,
    named,
    recogniser,
    words,
)

_NEAR = words(
    r"""
    전화 연락 문의 팩스 fax tel phone mobile call ☎ ☏ 📞 📱 ✆ 대표 번호 핸드폰 휴대 휴대폰 폰 콜 고객 상담 센터
    ars 예약 내선 직통 유선 무선 문자 sms 카톡 가입자 통화 걸어 접수처 안내 민원 신고 제보 hp h\.p 연결 수신
    발신 집전화 사무실 당직 매장 배달 교환
    """
)
_LABEL = words(
    "전화 전번 폰 팩스 전송 직통 유선 내선 연락처 fax tel phone call ☎ ☏ 📞 ✆ 문의 대표 교환",
    behind=r"(?: ?번호| ?처)?[^0-9\n가-힣]{0,6}(?:은|는|이|가)?[^0-9\n가-힣]{0,4}$",
)
_NEXT_NUMBER = re.compile(r"\0[,/~· ]{1,3}(?:또는 |혹은 |및 )?$")
"""A number that was taken, and what parts it from another of the same telephone."""
_PREFIX = words(
    r"h\.?p tel phone mobile mob cell call fax sms contact kakao no [tmpcfh]",
    ahead="(?<![A-Za-z])",
    behind=r"[ .:_)-]{0,2}$",
)
"""Latin letters that may stand right before a number: `Tel.02-...`, `M.010-...`."""
_YEARS = re.compile(r"(1[5-9]\d\d|20[0-4]\d)\D*(1[5-9]\d\d|20[0-4]\d)")
_SERVICE = re.compile(
    "15(?:22|33|44|51|55|66|77|88|90|99)"
    "|16(?:0[0-24-6]|1[1-48]|22|3[0-36]|4[146]|5[25]|6[0-268]|7[0178]|8[89]|9[03689])"
    "|18(?:0[01]|11|33|44|55|66|77|78|80|88|90|99)"
)
_UNIT = re.compile(r" ?(?:원|명|년|개|건|km|kg|mm|cm|g\b|m\b|%|쪽|페이지|권|점|회|호\b|번지|톤|㎡|평|세기)")
_CODES = "(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[146]|852|855|856|886|880|9[0-58]|971|972|966)"
_COUNTRY = (
    r"(?:\((?:\+ ?|00)?82 ?\)[-. ]?0?|\+ ?82\)?[-. ]?(?:\(0\)|0)?|00(?:[127]|700)?[- ]?82[-. ]?(?:\(0\)|0)?"
    r"|82(?<![0-9]82)[-. ]?(?:\(0\)|0)?|\(0(?=[0-9]{1,3} ?\))|0)"
)
"""Every branch begins with a sign of its own: so `re` skips to one."""
_END = r"(?![0-9])(?!-[0-9]{2})(?!\.[0-9]{3})"
_DIGIT = "[0-9*]"


def _stands_alone(match: re.Match[str]) -> bool:
    """No part of a longer number, nor of a word in Latin letters that is no label of a number."""
    ahead = before(match, 14)
    if re.search(r"[0-9][-.,/]?$", ahead):
        return False
    return not re.search(r"[A-Za-z_][-._]?$", ahead) or bool(_PREFIX.search(ahead))


def _is_mobile(match: re.Match[str]) -> bool:
    number = digits(match["number"])
    if (hidden(match[0]) and len(number) < 4) or len(set(number)) == 1:
        return False  # 010-XXXX-XXXX and 010-0000-0000 say how a number is written
    return _stands_alone(match) and not is_ordinary(match)


def _is_land_line(match: re.Match[str]) -> bool:
    if not _stands_alone(match) or is_ordinary(match) or (hidden(match[0]) and len(digits(match["number"])) < 4):
        return False
    groups = re.findall(r"[0-9*]+", match[0])
    if len(set(digits(match["number"]))) == 1 and not hidden(match[0]):
        return False  # 02-000-0000
    if len(groups) > 2 and re.fullmatch(r"0?\d{1,2}[-./](?:19|20)\d\d[-./]\d{4}", match[0]):
        return named(match, _NEAR)  # 02-2024-0001 is as often a document as a telephone
    if re.fullmatch(r"0[0-9]{4,6}-[0-9]{4}", match[0]):
        return named(match, _NEAR)  # 02110-1301 is a place in Boston
    if any(sign in match[0].strip("(") for sign in "-)./·~_") or match[0].startswith(("+", "00")):
        return True
    return named(match, _NEAR) and not _UNIT.match(after(match))


def _is_short(match: re.Match[str]) -> bool:
    ahead = before(match, 16)
    labelled = _LABEL.search(ahead) or _NEXT_NUMBER.search(ahead)
    return _stands_alone(match) and bool(labelled) and not _UNIT.match(after(match))


def _without_zero(match: re.Match[str]) -> bool:
    return _stands_alone(match) and bool(
        _LABEL.search(before(match, 16)) or re.search("휴대|핸드|폰", before(match, 12))
    )


def _is_service(match: re.Match[str]) -> bool:
    if not _stands_alone(match) or re.match(r"[-.,][0-9]", after(match)) or _UNIT.match(after(match)):
        return False
    near = named(match, _NEAR)
    if is_ordinary(match):
        return False
    years = _YEARS.fullmatch(match[0])
    if years and 0 < int(years[2]) - int(years[1]) <= 150:
        return bool(_LABEL.search(before(match, 16)) or re.search("센터|고객|상담|ARS", before(match, 12)))
    return near or ("-" in match[0] and _SERVICE.match(match[0]) is not None)


def _is_abroad(match: re.Match[str]) -> bool:
    count = len(digits(match[0]))
    parts = re.findall(r"[0-9]+", match[0])
    abroad = len(parts) >= 3 or named(match, _NEAR)
    return 9 <= count <= 15 and abroad and _stands_alone(match) and not is_ordinary(match)


MOBILE = rf"{_COUNTRY}1[016789]\)?{GAP}(?P<number>{_DIGIT}{{3,4}}{GAP}{_DIGIT}{{4}}){_END}"
_AREA = "(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[0-9]?|80|60|30)"
PHONES: tuple[Recogniser, ...] = (
    recogniser("PHONE", NUMBER | DISGUISE, MOBILE, _is_mobile),
    recogniser(
        "PHONE",
        NUMBER | DISGUISE,
        rf"{_COUNTRY}{_AREA}\)?{GAP}(?P<number>{_DIGIT}{{3,4}}{GAP}{_DIGIT}{{4}}){_END}",
        _is_land_line,
    ),
    recogniser("PHONE", SHORT | DISGUISE, rf"1[568][0-9]{{2}}{GAP}[0-9*]{{4}}(?![0-9])", _is_service),
    recogniser("PHONE", NUMBER, rf"10{GAP}[0-9]{{4}}{GAP}[0-9]{{4}}{_END}", _without_zero),
    recogniser("PHONE", SHORT, rf"[2-9][0-9]{{2,3}} ?[-.)~ ] ?[0-9]{{4}}{_END}", _is_short),
    recogniser(
        "PHONE",
        NUMBER,
        rf"(?:\+|00(?<![0-9]00)){_CODES}(?:[-. ]?\(?[0-9]{{1,5}}\)?){{1,5}}(?![0-9])",
        _is_abroad,
    ),
)
"""Mobile numbers are looked for before accounts, whose shapes hold theirs; all others behind."""
