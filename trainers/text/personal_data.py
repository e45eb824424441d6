"""Personal data become typed placeholders: `010-1234-5678` -> `[PHONE]`.

What looks like it but is not stays: dates, order numbers, bar codes, versions, amounts. Resident numbers issued
since October 2020 have no valid checksum, so none is asked of them. Nothing here ever logs a value.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trainers.text.characters import Codes, Starts, Texts

_DASHES = "‐‑‒–—―−－ー﹣"
_FOLD: dict[int, str | int | None] = {0xFF01 + i: 0x21 + i for i in range(94)}
_FOLD |= {0x3000: " ", 0xA0: " "} | {ord(dash): "-" for dash in _DASHES}
"""One character to one, so that a match in the folded text has the same place in the original."""

_FOLDABLE = re.compile(f"[！-～\u3000\u00a0{_DASHES}]")
_AT, _DIGITS, _DOTS, _CAPITAL, _COLONS, _ANY = 1, 2, 4, 8, 16, 32
"""What a line must hold for a rule to be tried: an at sign, nine digits hardly apart, three dots between digits,
a capital and three digits, three colons among hexadecimal digits; few lines of ordinary text hold any of it."""
_GAP = r"[-. ]?"
_ORDINARY = re.compile(
    r"(?:주문|송장|운송장|접수|예약|관리|상품|일련|거래|문서|승인|모델|바코드|isbn|issn|ean|order|serial|build|commit|버전|version|ver\.?)"
    r"[^0-9\n]{0,8}$",
    re.IGNORECASE,
)
_ACCOUNT_NEAR = re.compile(r"은행|뱅크|계좌|입금|송금|이체|농협|수협|신협|새마을|우체국|예금주|account", re.IGNORECASE)
_PHONE_NEAR = re.compile(r"전화|연락|문의|팩스|fax|tel|phone|☎|📞|대표|번호", re.IGNORECASE)


def mask(texts: Texts, addresses: bool = False) -> tuple[Texts, Counter[str]]:
    """Mask a batch; also counts what was masked, by type."""
    masked: Counter[str] = Counter()
    begins, ends, signs = _lines_to_read(texts.codes, texts.starts, addresses)
    changed = []
    for begin, end, seen in zip(begins.tolist(), ends.tolist(), signs.tolist(), strict=True):
        line = texts.piece(begin, end)
        if (clean := _mask_line(line, seen, masked)) != line:
            changed.append((begin, end, clean))
    return texts.replace(changed), masked


def _mask_line(line: str, signs: int, counts: Counter[str]) -> str:
    for kind, needs, pattern, accepts in _RULES:
        if not signs & needs:
            continue
        folded = line.translate(_FOLD) if _FOLDABLE.search(line) else line
        spans = [match.span() for match in pattern.finditer(folded) if accepts(match, folded)]
        for begin, end in reversed(spans):
            line = f"{line[:begin]}[{kind}]{line[end:]}"
        if spans:
            counts[kind] += len(spans)
    return line


@njit(cache=True)
def _lines_to_read(
    codes: Codes, starts: Starts, everything: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Lines that may hold personal data: begin, end, and the signs that were seen in them."""
    begins, ends, signs = [0], [0], [np.uint8(0)]  # first entries give numba the types
    for document in range(len(starts) - 1):
        stop = starts[document + 1]
        begin = starts[document]
        seen, digits, gap, dots, colons, after_capital = _ANY if everything else 0, 0, 0, 0, 0, 0
        for i in range(begin, stop + 1):
            code = codes[i] if i < stop else np.uint32(10)
            if code == 10:
                if seen and i > begin:
                    begins.append(begin)
                    ends.append(i)
                    signs.append(np.uint8(seen))
                begin = i + 1
                seen, digits, gap, dots, colons, after_capital = _ANY if everything else 0, 0, 0, 0, 0, 0
                continue
            if 0xFF01 <= code <= 0xFF5E:
                code -= np.uint32(0xFEE0)
            if 48 <= code <= 57:
                digits, gap = digits + 1, 0
                after_capital += after_capital > 0
                if digits >= 9:
                    seen |= _DIGITS
                if dots >= 3:
                    seen |= _DOTS
                if after_capital > 3:
                    seen |= _CAPITAL
                continue
            gap += 1
            separates = code == 32 or code == 40 or code == 41 or code == 45 or code == 46
            if gap > 3 or not (
                separates or code == 160 or code == 0x3000 or 0x2010 <= code <= 0x2212 or code == 0x30FC
            ):
                digits = 0
            if code == 46:
                dots += 1
            elif code != 58:
                dots = 0
            if code == 58:
                colons += 1
                if colons >= 3:
                    seen |= _COLONS
            elif not (97 <= code <= 102 or 65 <= code <= 70):
                colons = 0
            if code == 64:
                seen |= _AT
            after_capital = 1 if 65 <= code <= 90 else 0
    return np.array(begins[1:]), np.array(ends[1:]), np.array(signs[1:])


def _before(match: re.Match[str], line: str, width: int = 24) -> str:
    return line[max(0, match.start() - width) : match.start()]


def _digits(match: re.Match[str]) -> list[int]:
    return [int(char) for char in match.group() if char in "0123456789"]


def _is_resident_number(match: re.Match[str], line: str) -> bool:
    if "-" in match.group() or " " in match.group():
        return True
    before = _before(match, line)
    if re.search(r"주민|등록|외국인|rrn", before, re.IGNORECASE):
        return True
    digits = _digits(match)
    bar_code = (sum(digits[0:12:2]) + 3 * sum(digits[1:12:2]) + digits[12]) % 10 == 0 and digits[:2] == [8, 8]
    weighed = sum(a * b for a, b in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=False))
    checks = (11 - weighed % 11) % 10 == digits[12]
    return checks or not (bar_code or _ORDINARY.search(before))


def _is_card(match: re.Match[str], line: str) -> bool:
    digits = _digits(match)
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    luhn = (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
    return luhn and len(set(digits)) > 1 and not ("-" not in match.group() and _ORDINARY.search(_before(match, line)))


def _is_business_number(match: re.Match[str], line: str) -> bool:
    digits = _digits(match)
    total = sum(a * b for a, b in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3), strict=False))
    total += sum(divmod(digits[8] * 5, 10))
    checks = (10 - total % 10) % 10 == digits[9]
    return checks and ("-" in match.group() or "사업자" in _before(match, line))


def _is_land_line(match: re.Match[str], line: str) -> bool:
    body = match.group()
    if _ORDINARY.search(_before(match, line)):
        return False
    return any(sign in body for sign in "-.) ") or bool(_PHONE_NEAR.search(_before(match, line)))


def _is_mobile(match: re.Match[str], line: str) -> bool:
    return not _ORDINARY.search(_before(match, line))


def _is_account(match: re.Match[str], line: str) -> bool:
    count = len(_digits(match))
    around = _before(match, line, 30) + " " + line[match.end() : match.end() + 15]
    date = re.match(r"(?:19|20)\d\d-\d\d-\d\d", match.group())
    return 10 <= count <= 14 and not date and bool(_ACCOUNT_NEAR.search(around))


def _is_passport(match: re.Match[str], line: str) -> bool:
    if re.search(r"여권|passport", _before(match, line, 30), re.IGNORECASE):
        return True
    return bool(re.fullmatch(r"[MSRGD]\d{3}[A-Z]\d{4}|M\d{8}", match.group())) and not _ORDINARY.search(
        _before(match, line)
    )


def _is_driver_licence(match: re.Match[str], line: str) -> bool:
    if "-" in match.group():
        return not _ORDINARY.search(_before(match, line))
    return "면허" in _before(match, line)


def _is_address_of_host(match: re.Match[str], line: str) -> bool:
    if re.search(r"(?:버전|version|ver|release|릴리스|v)[ .:]*$", _before(match, line, 12), re.IGNORECASE):
        return False
    try:
        address = ipaddress.ip_address(match.group())
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_multicast or match.group()[:4] == "255.")


def _is_mail(match: re.Match[str], line: str) -> bool:
    return not match.group().startswith("git@")


def _always(match: re.Match[str], line: str) -> bool:
    return True


_Accepts = Callable[[re.Match[str], str], bool]
_RULES: tuple[tuple[str, int, re.Pattern[str], _Accepts], ...] = tuple(
    (kind, needs, re.compile(pattern, re.ASCII), accepts)
    for kind, needs, pattern, accepts in (
        (
            "EMAIL",
            _AT,
            r"(?<![\w.+-])[A-Za-z0-9][\w.%+-]*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}",
            _is_mail,
        ),
        (
            "RRN",
            _DIGITS,
            r"(?<![0-9-])[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]) ?-? ?[1-8][0-9]{6}(?![0-9]|-[0-9])",
            _is_resident_number,
        ),
        (
            "DRIVER_LICENCE",
            _DIGITS,
            r"(?<![0-9-])(?:1[1-9]|2[0-8])-?[0-9]{2}-?[0-9]{6}-?[0-9]{2}(?![0-9-])",
            _is_driver_licence,
        ),
        (
            "CARD",
            _DIGITS,
            r"(?<![0-9-])(?:[3-69][0-9]{3}(?:[- ]?[0-9]{4}){3}|3[47][0-9]{2}[- ]?[0-9]{6}[- ]?[0-9]{5})"
            r"(?![0-9]|-[0-9])",
            _is_card,
        ),
        (
            "PHONE",
            _DIGITS,
            rf"(?<![0-9A-Za-z.-])(?:\+?82{_GAP}(?:\(0\)|0)?|(\()?0)1[016789](?(1)\)){_GAP} ?"
            rf"[0-9]{{3,4}}{_GAP}[0-9]{{4}}(?![0-9]|-[0-9])",
            _is_mobile,
        ),
        (
            "BUSINESS_NUMBER",
            _DIGITS,
            r"(?<![0-9-])[1-9][0-9]{2}-?[0-9]{2}-?[0-9]{5}(?![0-9]|-[0-9])",
            _is_business_number,
        ),
        (
            "ACCOUNT",
            _DIGITS,
            r"(?<![0-9-])[0-9]{2,6}(?:-[0-9]{2,8}){1,3}(?![0-9-])|(?<![0-9-])[0-9]{10,14}(?![0-9-])",
            _is_account,
        ),
        (
            "PHONE",
            _DIGITS,
            r"(?<![0-9A-Za-z.-])(?:\+?82[-. ]?(?:\(0\)|0)?|(\()?0)"
            r"(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|50[0-9]?|80)(?:(?(1)\)|\)?))"
            r"[-. ]{0,2}[0-9]{3,4}[-. ]?[0-9]{4}(?![0-9]|-[0-9])",
            _is_land_line,
        ),
        ("PASSPORT", _CAPITAL, r"(?<![A-Za-z0-9])[A-Z](?:[0-9]{8}|[0-9]{3}[A-Z][0-9]{4})(?![A-Za-z0-9])", _is_passport),
        ("IP", _DOTS, r"(?<![0-9.A-Za-z])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9])", _is_address_of_host),
        (
            "IP",
            _COLONS,
            r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){3,7}:?(?:[0-9A-Fa-f]{1,4}:?){0,4}(?<!:)(?![\w:])",
            _is_address_of_host,
        ),
        (
            "ADDRESS",
            _ANY,
            r"(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충청[남북]|충[남북]|전라[남북]|전[남북]|경상[남북]|경[남북]|제주)"
            r"\S{0,6} (?:\S+[시군구] ){0,2}(?:\S+[읍면동] )?\S+(?:로|길|동|리|가) ?[0-9]+(?:-[0-9]+)?"
            r"(?:번지|번길 ?[0-9]+)?(?:,? ?(?:[0-9]+동 ?)?[0-9]+호)?",
            _always,
        ),
    )
)
