"""Numbers that the state gives: resident and alien registration, corporations, businesses, licences, passports.

Resident numbers issued since October 2020 have no valid check digit, so none is asked of them where the shape speaks.
"""

import re

from trainers.text.personal.lines import DISGUISE, HALVES, LONG, NUMBER, PASSPORT, SHORT
from trainers.text.personal.recogniser import (
    GAP,
    Recogniser,
    after,
    before,
    begins,
    digits,
    hidden,
    in_a_word,
    is_ordinary,
    named,
    recogniser,
    words,
)

_RESIDENT = words("주민 등록 외국인 rrn 민증 신분증 생년월일 거소 주번 본인 resident")
_OWN_ID = re.compile(r"(?:^|[^\w ] ?)ID ?:? ?$")
"""Somebody's, not a thing's: no word stands before it (`주문 ID`, `item id`)."""
_SHORT_RESIDENT = re.compile("주민|생년월일|민증")
_CORPORATE = words("법인 corporate corp")
_BUSINESS = words("사업자 사업장 등록 brn biz business 고유번호 세금계산서")
_LICENCE = words(r"면허 driv\w{0,4}.{0,3}\slicen[cs]e")
_PASSPORT = words("여권 passport 旅券")
_SIGN = r" ?[-./·_~:]? {0,2}"
_DATE = r"[0-9](?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_DIGIT, _END = begins("[0-9]"), r"(?![0-9*])(?!-[0-9]{2})"
_REGIONS = "서울|부산|대구|인천|광주|대전|울산|세종|경기(?: ?[남북]부)?|강원|충북|충남|전북|전남|경북|경남|제주"


def _is_resident(match: re.Match[str]) -> bool:
    if re.search(r"법인[^0-9]{0,14}$", before(match)):
        return False
    labelled = named(match, _RESIDENT)
    if match[0][-7] in "09":  # born before 1900
        return bool(re.search(r"주민|외국인", before(match)))
    if re.search(r"[^0-9*]", match[0].strip()):
        return labelled or not (
            (is_ordinary(match) and not _OWN_ID.search(before(match))) or _checks_as_corporate(match)
        )
    if re.search("계좌|은행|뱅크|입금", before(match, 16)):
        return labelled
    return labelled or not (_is_bar_code(match[0]) or is_ordinary(match) or in_a_word(match))


def _checks_as_resident(number: list[int]) -> bool:
    weighed = sum(a * b for a, b in zip(number, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=False))
    return (11 - weighed % 11) % 10 == number[12]


def _checks_as_corporate(match: re.Match[str]) -> bool:
    """A number of the register of companies: its court, its legal form, and its check digit."""
    number = digits(match[0])
    weighed = sum(a * b for a, b in zip(number, (1, 2) * 6, strict=False))
    known_form = match[0][4:6] in {"11", "12", "13", "14", "21", "22", "31", "41", "71", "81"}
    in_range = "11" <= match[0][:2] <= "29" and number[6] <= 2
    return (
        known_form
        and in_range
        and (10 - weighed % 10) % 10 == number[12]
        and not (number[6] and _checks_as_resident(number))
    )


def _is_bar_code(number: str) -> bool:
    """An EAN-13 of Korea, or milliseconds since 1970, which would be somebody's of over a hundred years."""
    values = digits(number)
    bar_code = (sum(values[0:12:2]) + 3 * sum(values[1:12:2]) + values[12]) % 10 == 0 and number[:2] == "88"
    return bar_code or bool(re.fullmatch(r"1[4-9](?:\d{8}000|\d{4}[1256]\d{6})", number))


def _is_hidden_resident(match: re.Match[str]) -> bool:
    plain = len(digits(match[0]))
    if not hidden(match[0]) or plain < (5 if named(match, _RESIDENT) else 6):
        return False
    front = match[0][:6]
    return "*" in front or re.fullmatch(f"[0-9]{_DATE}", front) is not None or named(match, _RESIDENT)


def _is_corporate(match: re.Match[str]) -> bool:
    return bool(_CORPORATE.search(before(match, 24))) or (
        _checks_as_corporate(match) and "-" in match[0] and not is_ordinary(match)
    )


def _is_business(match: re.Match[str]) -> bool:
    labelled = bool(_BUSINESS.search(before(match, 24)) or re.search("사업자", after(match)))
    if hidden(match[0]):
        return labelled and len(digits(match[0])) >= 5
    number = digits(match[0])
    total = sum(a * b for a, b in zip(number, (1, 3, 7, 1, 3, 7, 1, 3), strict=False))
    total += sum(divmod(number[8] * 5, 10))
    checks = (10 - total % 10) % 10 == number[9]
    if re.search(r"사업자|사업장|brn|biz|business", before(match, 24), re.IGNORECASE):
        return not is_ordinary(match)
    return checks and (labelled or "-" in match[0]) and not is_ordinary(match)


def _is_licence(match: re.Match[str]) -> bool:
    groups = re.findall(r"[0-9*]+", match[0])
    if named(match, _LICENCE):
        return True
    return [len(group) for group in groups] == [2, 2, 6, 2] and not (
        hidden(match[0]) or is_ordinary(match) or re.search("계좌|은행|입금|뱅크", before(match))
    )


def _is_licence_of_region(match: re.Match[str]) -> bool:
    groups = [len(group) for group in re.findall(r"[0-9*]+", match[0])]
    return (
        (groups[-3:] == [2, 6, 2] or named(match, _LICENCE)) and len(digits(match[0])) >= 6 and not is_ordinary(match)
    )


def _is_passport(match: re.Match[str]) -> bool:
    if named(match, _PASSPORT):
        return True
    compact = re.fullmatch(r"(?i)[MSRGD](?:[0-9]{3}[A-Z][0-9]{4})|M[0-9]{8}", match[0])
    return compact is not None and not is_ordinary(match)


def _labelled_passport(match: re.Match[str]) -> bool:
    return named(match, _PASSPORT)


IDENTITY: tuple[Recogniser, ...] = (
    recogniser("CORPORATE_NUMBER", LONG | DISGUISE, rf"{_DIGIT}[0-9]{{5}}{_SIGN}[0-9]{{7}}{_END}", _is_corporate),
    recogniser("RRN", LONG | DISGUISE, rf"{_DIGIT}{_DATE}{_SIGN}[0-9][0-9]{{6}}{_END}", _is_resident),
    recogniser(
        "RRN",
        LONG | DISGUISE,
        r"[0-9](?<![0-9*.].)[0-9][-./ ](?:0[1-9]|1[0-2])[-./ ](?:0[1-9]|[12][0-9]|3[01])"
        r" ?[-/ ] ?[1-8][0-9]{6}(?![0-9])",
        lambda match: named(match, _RESIDENT),
    ),
    recogniser("RRN", DISGUISE, rf"{begins('[0-9*]')}[0-9*]{{5}}{_SIGN}[0-9*]{{7}}(?![0-9])", _is_hidden_resident),
    recogniser(
        "RRN",
        SHORT | DISGUISE,
        rf"{_DIGIT}{_DATE} ?- ?[1-8](?:[*]{{3,6}})?(?![-0-9])",
        lambda match: named(match, _SHORT_RESIDENT),
    ),
    recogniser("RRN", HALVES, rf"앞 ?자리\D{{0,6}}(?P<half>[0-9]{_DATE})(?=\D{{1,12}}뒷? ?자리)", part=1),
    recogniser("RRN", HALVES, r"뒷 ?자리\D{0,6}(?P<half>[1-8][0-9*]{6})(?![0-9])", part=1),
    recogniser(
        "DRIVER_LICENCE",
        NUMBER | DISGUISE,
        rf"(?:{_REGIONS}) ?(?:\(?[0-9]{{2}}\)?)?{GAP}[0-9]{{2}}{GAP}[0-9*]{{6}}{GAP}[0-9*]{{2}}(?![0-9])",
        _is_licence_of_region,
    ),
    recogniser(
        "DRIVER_LICENCE",
        LONG | DISGUISE,
        rf"{begins('[12]')}[0-9](?<=1[1-9]|2[0-8]){GAP}[0-9]{{2}}{GAP}[0-9*]{{6}}{GAP}[0-9*]{{2}}{_END}",
        _is_licence,
    ),
)
BUSINESSES: tuple[Recogniser, ...] = (
    recogniser(
        "BUSINESS_NUMBER",
        NUMBER | DISGUISE,
        rf"{begins('[1-9]')}(?<![A-Za-z].)(?<![A-Za-z]-.)[0-9]{{2}}{GAP}[0-9*]{{2}}{GAP}[0-9*]{{5}}{_END}",
        _is_business,
    ),
)
"""Behind accounts, which have a bank beside them."""
PASSPORTS: tuple[Recogniser, ...] = (
    recogniser(
        "PASSPORT",
        PASSPORT,
        r"[A-Za-z](?<![A-Za-z0-9].)[0-9]{3}(?:[A-Za-z][0-9]{4}|[0-9]{5}(?<![_-].{9}))(?![A-Za-z0-9])",
        _is_passport,
    ),
    recogniser(
        "PASSPORT",
        PASSPORT,
        r"(?<![A-Za-z0-9])(?:[A-Za-z]{1,2}[- ]?[0-9*]{4}[- ]?[0-9*]{3,4}|[A-Za-z] ?- ?[0-9]{8}|[A-Za-z][- ]?[0-9*]{3}"
        r"[- ]?[A-Za-z][- ]?[0-9*]{4}|[A-Za-z]{2}[- ]?[0-9*]{7})(?![A-Za-z0-9*])",
        _labelled_passport,
    ),
)
