"""A gold set of personal data: invented values in every way of writing them, in sentences of many genres, seeded.

`python -m tests.support.personal_gold FILE` writes it as JSON lines {"text", "spans": [[begin, end, kind]], "variant"}.
30% of its 2,000 entries are look-alikes that must stay; their kind is "". No value was given to anyone on purpose.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

SIZE, NEGATIVE_SHARE, SEED = 2000, 0.3, 20261130
WIDE = {ord("0") + n: 0xFF10 + n for n in range(10)} | {ord("-"): 0xFF0D}
WORDS = str.maketrans("0123456789", "공일이삼사오육칠팔구")
CIRCLED = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
LOOKS = str.maketrans("01", "Ol")


@dataclass(frozen=True)
class Entry:
    """A text, what in it is personal (begin, end, kind), and which variant it is an example of."""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    variant: str


def numerals(r: Random, count: int) -> str:
    """Random digits, never all the same."""
    return "".join(r.choice("0123456789") for _ in range(count - 1)) + r.choice("123456789")


def grouped(r: Random, *lengths: int, sign: str = "-") -> str:
    """Random digits in groups."""
    return sign.join(numerals(r, length) for length in lengths)


def resident(r: Random, sign: str = "-") -> str:
    """Birth date, sex (and alien) digit, the rest at random: so they are given out since October 2020."""
    year = r.randint(40, 125)
    sex = (1 if year < 100 else 3) + r.randint(0, 1) + r.choice((0, 0, 0, 4))
    return f"{year % 100:02d}{r.randint(1, 12):02d}{r.randint(1, 28):02d}{sign}{sex}{numerals(r, 6)}"


def corporate(r: Random, sign: str = "-") -> str:
    """A court's number, the company's legal form, serial and check digit."""
    body = r.choice(("1101", "1201", "1301", "1601", "2001")) + "11" + "0" + numerals(r, 5)
    total = sum(int(d) * w for d, w in zip(body, (1, 2) * 6, strict=True))
    return f"{body[:6]}{sign}{body[6:]}{(10 - total % 10) % 10}"


def card(r: Random, sign: str = "-") -> str:
    """Sixteen digits that pass Luhn's check."""
    body = r.choice("4569") + numerals(r, 14)
    doubled = sum(sum(divmod(int(d) * 2, 10)) for d in body[::2]) + sum(int(d) for d in body[1::2])
    number = body + str(-doubled % 10)
    return sign.join(number[i : i + 4] for i in range(0, 16, 4))


def business(r: Random, sign: str = "-") -> str:
    """3-2-5 digits with their check digit."""
    body = r.choice("123456") + numerals(r, 8)
    total = sum(int(a) * b for a, b in zip(body, (1, 3, 7, 1, 3, 7, 1, 3), strict=False))
    number = body + str(-(total + sum(divmod(int(body[8]) * 5, 10))) % 10)
    return f"{number[:3]}{sign}{number[3:5]}{sign}{number[5:]}"


def mobile(r: Random, sign: str = "-") -> str:
    """010-0xxx and 010-1xxx are not given to anyone."""
    return f"010{sign}{r.randint(0, 1999):04d}{sign}{numerals(r, 4)}"


def licence(r: Random, sign: str = "-") -> str:
    """Region, year, serial and check."""
    return f"{r.choice((*range(11, 27), 28))}{sign}{numerals(r, 2)}{sign}{numerals(r, 6)}{sign}{numerals(r, 2)}"


def hosts(r: Random) -> str:
    """An address for documentation (RFC 5737), or a private one."""
    return f"{r.choice(('192.0.2', '198.51.100', '203.0.113', '192.168.35', '172.16.31'))}.{r.randint(33, 254)}"


def _user(r: Random) -> str:
    return r.choice(("kim", "minsu", "haneul", "jiwon", "lee")) + r.choice((".", "_", "")) + str(r.randint(10, 9999))


def _site(r: Random) -> str:
    return r.choice(("example.com", "example.co.kr", "naver.com", "gmail.com", "hanmail.net", "mail.example.org"))


def _one_of(r: Random, names: str) -> str:
    return r.choice(names.split()).replace("_", " ")


def _date(r: Random, sign: str) -> str:
    return sign.join(("2026", f"{r.randint(1, 12):02d}", f"{r.randint(1, 28):02d}"))


def _time(r: Random, sign: str) -> str:
    return sign.join((f"{r.randint(0, 23):02d}", f"{r.randint(0, 59):02d}", f"{r.randint(0, 59):02d}"))


def _road(r: Random) -> str:
    return f"{_one_of(r, _DISTRICTS)} {_one_of(r, _ROADS)}"


def _parts(r: Random, *most: int) -> str:
    return ".".join(str(r.randint(1, limit)) for limit in most)


def _name(r: Random) -> str:
    return r.choice(("김하늘", "이도윤", "박서준", "최유나", "정다온"))


_REGIONS = """
서울 부산 경기 강원 충북 충남 전북 전남
경북 경남 제주 대구 인천 광주 대전 울산
"""
_BANKS = """
국민은행 신한은행 우리은행 하나은행 농협 기업은행
카카오뱅크 토스뱅크 새마을금고 우체국 수협 대구은행
"""
_SHAPES = ((6, 2, 6), (3, 3, 6), (4, 3, 6), (3, 6, 5), (3, 4, 4, 2), (3, 6, 2, 3), (4, 2, 7), (4, 4, 4), (3, 2, 6))
_DISTRICTS = """
서울특별시_종로구 서울시_강남구 경기도_성남시_분당구 부산광역시_해운대구
전남_순천시 대전_유성구 제주특별자치도_제주시
"""
_ROADS = """
세종대로 테헤란로 판교역로 해운대로
중앙로 대학로 첨단로
"""

Make = Callable[[Random], str]
"""Makes a value; where `\\1` marks a part of it, that is what is personal."""
LABELS = {
    "PHONE": ("전화", "연락처", "문의", "휴대폰 번호", "Tel"),
    "SERVICE": ("고객센터", "대표번호", "상담 전화"),
    "RRN": ("주민등록번호", "주민번호"),
    "CORPORATE_NUMBER": ("법인등록번호", "법인 등록번호"),
    "BUSINESS_NUMBER": ("사업자등록번호", "사업자번호"),
    "DRIVER_LICENCE": ("운전면허번호", "면허번호"),
    "PASSPORT": ("여권번호", "여권 번호"),
    "ACCOUNT": ("계좌번호", "입금 계좌", "환불 계좌"),
    "CARD": ("카드번호", "결제 카드"),
    "EMAIL": ("이메일", "메일", "E-mail"),
    "IP": ("접속 IP", "아이피"),
    "ADDRESS": ("주소", "배송지"),
}
PLAIN: dict[str, tuple[str, Make]] = {
    "mobile": ("PHONE", mobile),
    "mobile dots": ("PHONE", lambda r: mobile(r, ".")),
    "mobile spaces": ("PHONE", lambda r: mobile(r, " ")),
    "mobile together": ("PHONE", lambda r: mobile(r, "")),
    "mobile spaced dashes": ("PHONE", lambda r: mobile(r, " - ")),
    "mobile bracket": ("PHONE", lambda r: f"010){numerals(r, 4)}-{numerals(r, 4)}"),
    "mobile in brackets": ("PHONE", lambda r: f"(010) {grouped(r, 4, 4)}"),
    "mobile two groups": ("PHONE", lambda r: f"010-{numerals(r, 8)}"),
    "mobile slashes": ("PHONE", lambda r: mobile(r, "/")),
    "mobile middle dots": ("PHONE", lambda r: mobile(r, "·")),
    "mobile Hangul dash": ("PHONE", lambda r: mobile(r, "ㅡ")),
    "mobile full width": ("PHONE", lambda r: mobile(r).translate(WIDE)),
    "mobile invisible": ("PHONE", lambda r: mobile(r, "\u200b-")),
    "mobile words": ("PHONE", lambda r: mobile(r, r.choice((" ", "-", ""))).translate(WORDS)),
    "mobile words and digits": ("PHONE", lambda r: "공일공-" + mobile(r)[4:]),
    "mobile look-alikes": ("PHONE", lambda r: "OlO" + mobile(r)[3:]),
    "mobile Hangul zero": ("PHONE", lambda r: "ㅇ1ㅇ" + mobile(r)[3:]),
    "mobile circled": ("PHONE", lambda r: mobile(r).translate(CIRCLED)),
    "mobile apart": ("PHONE", lambda r: " ".join(mobile(r))),
    "mobile hidden": ("PHONE", lambda r: f"010-{r.choice(('****', 'XXXX', '○○○○'))}-{numerals(r, 4)}"),
    "mobile old": ("PHONE", lambda r: f"01{r.choice('16789')}-{grouped(r, 3, 4)}"),
    "mobile abroad": ("PHONE", lambda r: r.choice(("+82-10-", "+82 10-", "0082-10-", "+82)10-")) + grouped(r, 4, 4)),
    "land line": ("PHONE", lambda r: f"{r.choice(('02', '031', '051', '064', '070', '0505'))}-{grouped(r, 3, 4)}"),
    "land line brackets": ("PHONE", lambda r: f"{r.choice(('(02)', '02)', '(031) ', '(042)'))}{grouped(r, 3, 4)}"),
    "land line dots": ("PHONE", lambda r: f"02.{grouped(r, 3, 4, sign='.')}"),
    "land line abroad": ("PHONE", lambda r: f"+82-{r.choice(('2', '31', '51'))}-{grouped(r, 3, 4)}"),
    "freephone": ("PHONE", lambda r: f"080-{grouped(r, 3, 4)}"),
    "rrn": ("RRN", resident),
    "rrn together": ("RRN", lambda r: resident(r, "")),
    "rrn space": ("RRN", lambda r: resident(r, " ")),
    "rrn spaced dash": ("RRN", lambda r: resident(r, " - ")),
    "rrn Hangul dash": ("RRN", lambda r: resident(r, "ㅡ")),
    "rrn full width": ("RRN", lambda r: resident(r).translate(WIDE)),
    "rrn words": ("RRN", lambda r: resident(r, r.choice((" ", "-"))).translate(WORDS)),
    "rrn look-alikes": ("RRN", lambda r: resident(r).translate(LOOKS)),
    "rrn hidden": ("RRN", lambda r: resident(r)[:8] + r.choice(("******", "●●●●●●", "XXXXXX"))),
    "corporate": ("CORPORATE_NUMBER", corporate),
    "business": ("BUSINESS_NUMBER", business),
    "business full width": ("BUSINESS_NUMBER", lambda r: business(r).translate(WIDE)),
    "licence": ("DRIVER_LICENCE", licence),
    "licence spaces": ("DRIVER_LICENCE", lambda r: licence(r, " ")),
    "licence region": (
        "DRIVER_LICENCE",
        lambda r: f"{_one_of(r, _REGIONS)}{r.choice((' ', '', '-'))}{grouped(r, 2, 6, 2)}",
    ),
    "passport": (
        "PASSPORT",
        lambda r: r.choice((f"M{numerals(r, 8)}", f"M{numerals(r, 3)}{r.choice('ABC')}{numerals(r, 4)}")),
    ),
    "passport lower case": ("PASSPORT", lambda r: f"m{numerals(r, 3)}{r.choice('abc')}{numerals(r, 4)}"),
    "card": ("CARD", card),
    "card spaces": ("CARD", lambda r: card(r, " ")),
    "card dots": ("CARD", lambda r: card(r, ".")),
    "card together": ("CARD", lambda r: card(r, "")),
    "card hidden": ("CARD", lambda r: f"{numerals(r, 4)}-{numerals(r, 2)}**-****-{numerals(r, 4)}"),
    "account": ("ACCOUNT", lambda r: f"{_one_of(r, _BANKS)} \1{grouped(r, *r.choice(_SHAPES))}\1"),
    "account, bank behind": ("ACCOUNT", lambda r: f"\1{grouped(r, *r.choice(_SHAPES))}\1 ({_one_of(r, _BANKS)})"),
    "account spaces": ("ACCOUNT", lambda r: f"{_one_of(r, _BANKS)} \1{grouped(r, *r.choice(_SHAPES), sign=' ')}\1"),
    "account together": ("ACCOUNT", lambda r: f"{_one_of(r, _BANKS)} \1{numerals(r, r.randint(11, 14))}\1"),
    "account, short bank": (
        "ACCOUNT",
        lambda r: f"{r.choice(('국민', '신한', '우리', '하나', '카뱅', '토스'))} \1{grouped(r, 3, 3, 6)}\1",
    ),
    "e-mail": ("EMAIL", lambda r: f"{_user(r)}@{_site(r)}"),
    "e-mail plus": ("EMAIL", lambda r: f"{_user(r)}+news@{_site(r)}"),
    "e-mail Hangul domain": ("EMAIL", lambda r: f"{_user(r)}@{r.choice(('회사.한국', '우리가게.com', '한글.kr'))}"),
    "e-mail Hangul": ("EMAIL", lambda r: f"{_name(r)}@{r.choice(('example.com', '회사.한국'))}"),
    "e-mail golbaengi": ("EMAIL", lambda r: f"{_user(r)}{r.choice((' 골뱅이 ', '골뱅이', '(골뱅이)'))}{_site(r)}"),
    "e-mail [at]": ("EMAIL", lambda r: f"{_user(r)}{r.choice(('[at]', '(at)', ' (at) ', ' [AT] '))}{_site(r)}"),
    "e-mail at dot": ("EMAIL", lambda r: f"{_user(r)} at naver dot com"),
    "e-mail [dot]": ("EMAIL", lambda r: f"{_user(r)}[at]gmail[dot]com"),
    "e-mail dot in words": (
        "EMAIL",
        lambda r: f"{_user(r)}골뱅이naver{r.choice(('닷컴', '쩜컴', ' 닷 com', '점com'))}",
    ),
    "e-mail full width": ("EMAIL", lambda r: f"{_user(r)}＠{_site(r)}"),
    "e-mail spaces": ("EMAIL", lambda r: f"{_user(r)} @ {_site(r)}"),
    "e-mail hidden": ("EMAIL", lambda r: f"{r.choice(('ki', 'mi'))}***@{_site(r)}"),
    "ip": ("IP", hosts),
    "ip 6": ("IP", lambda r: ":".join(f"{r.randint(0x1000, 0xFFFF):x}" for _ in range(8))),
    "ip 6 short": (
        "IP",
        lambda r: r.choice(
            (f"2001:db8::{r.randint(1, 9999):x}", f"fe80::{r.randint(16, 9999):x}:1", "2001:db8:1::8a2e:7334")
        ),
    ),
    "address": ("ADDRESS", lambda r: f"{_road(r)} {r.randint(1, 400)}"),
    "address lane": (
        "ADDRESS",
        lambda r: f"{_road(r)}{r.randint(2, 90)}길 {r.randint(1, 99)}-{r.randint(1, 9)}",
    ),
    "address flat": (
        "ADDRESS",
        lambda r: f"{_road(r)} {r.randint(1, 400)}, {r.randint(101, 130)}동 {r.randint(101, 2500)}호",
    ),
    "address lot": (
        "ADDRESS",
        lambda r: f"{_one_of(r, _DISTRICTS)} {_one_of(r, '역삼동 우동 조례동')} {r.randint(1, 999)}-{r.randint(1, 50)}",
    ),
}
"""Recognisable by themselves."""
LABELLED: dict[str, tuple[str, Make]] = {
    "land line together": ("PHONE", lambda r: f"{r.choice(('02', '031', '051'))}{numerals(r, 7)}"),
    "land line spaces": ("PHONE", lambda r: f"{r.choice(('02', '031', '051'))} {grouped(r, 3, 4, sign=' ')}"),
    "land line local": ("PHONE", lambda r: f"{r.choice('23456789')}{numerals(r, 2)}-{numerals(r, 4)}"),
    "service": ("SERVICE", lambda r: f"{r.choice(('1588', '1544', '1644', '1899', '1800'))}-{numerals(r, 4)}"),
    "service together": ("SERVICE", lambda r: f"{r.choice(('1588', '1577', '1661', '1833'))}{numerals(r, 4)}"),
    "rrn dots": ("RRN", lambda r: resident(r, ".")),
    "rrn born before 2000, all hidden": ("RRN", lambda r: resident(r)[:7] + "*******"),
    "corporate named": ("CORPORATE_NUMBER", lambda r: resident(r)),
    "corporate together": ("CORPORATE_NUMBER", lambda r: corporate(r, "")),
    "business spaces": ("BUSINESS_NUMBER", lambda r: business(r, " ")),
    "business together": ("BUSINESS_NUMBER", lambda r: business(r, "")),
    "licence together": ("DRIVER_LICENCE", lambda r: licence(r, "")),
    "passport spaces": (
        "PASSPORT",
        lambda r: r.choice(
            (f"M {numerals(r, 8)}", f"m {numerals(r, 4)} {numerals(r, 4)}", f"M {numerals(r, 3)}A {numerals(r, 4)}")
        ),
    ),
    "passport old": ("PASSPORT", lambda r: r.choice(("SC", "JR", "TK")) + numerals(r, 7)),
    "passport other kinds": ("PASSPORT", lambda r: r.choice("SRGD") + numerals(r, 8)),
    "account named": ("ACCOUNT", lambda r: grouped(r, *r.choice(_SHAPES))),
    "account named, together": ("ACCOUNT", lambda r: numerals(r, r.randint(11, 14))),
    "account words": ("ACCOUNT", lambda r: grouped(r, 3, 3, 6).translate(WORDS)),
    "ip small": ("IP", lambda r: f"10.{r.randint(0, 9)}.{r.randint(0, 9)}.{r.randint(1, 9)}"),
    "e-mail other sign": ("EMAIL", lambda r: f"{_user(r)}#{_site(r)}"),
}
"""Recognisable only by the words around them."""
INNOCENT: dict[str, Make] = {
    "section": lambda r: f"{r.choice(('제', '§', ''))}{_parts(r, 12, 20, 20, 9)}{r.choice(('절', ' 항목', ''))}",
    "version": lambda r: f"{r.choice(('버전 ', 'v', 'Chrome ', 'Tomcat '))}{_parts(r, 90, 9, 9, 99)}",
    "build": lambda r: f"10.0.{r.randint(10000, 22631)}.{r.randint(1, 9999)}",
    "part number": lambda r: f"부품번호 {r.choice('ABK')}{numerals(r, 3)}-{numerals(r, 4)}-{numerals(r, 2)}",
    "serial number": lambda r: f"S/N {r.choice(('M', 'S', 'G'))}{numerals(r, 8)}",
    "serial with dashes": lambda r: f"일련번호 {grouped(r, 3, 2, 6)}",
    "model": lambda r: f"모델명 {r.choice(('SM-', 'KR', 'LG'))}{numerals(r, 4)}A",
    "time stamp": lambda r: f"{_date(r, '-')} {_time(r, ':')}",
    "time stamp together": lambda r: f"{_date(r, '')}{_time(r, '')}",
    "seconds since 1970": lambda r: f"1{r.randint(600000000, 799999999)}000",
    "document number": lambda r: f"문서번호 {r.choice(('총무', '기획'))}-2026-{numerals(r, 4)}",
    "document number of digits": lambda r: f"문서번호: 02-2026-{numerals(r, 4)}",
    "case number": lambda r: f"사건번호 2025{r.choice(('가합', '나', '도'))}{numerals(r, 5)}",
    "patent": lambda r: f"특허 제10-{numerals(r, 7)}호",
    "order number": lambda r: f"주문번호 {2026}{r.randint(1, 12):02d}{r.randint(1, 28):02d}-{numerals(r, 7)}",
    "order with dashes": lambda r: f"주문번호: {r.randint(2010, 2026)}-{grouped(r, 4, 4)}",
    "tracking": lambda r: f"운송장 번호 {r.choice((numerals(r, 12), grouped(r, 4, 4, 4)))}",
    "isbn": lambda r: f"ISBN 979-11-{grouped(r, 4, 3, 1)}",
    "bar code": lambda r: f"바코드 880{numerals(r, 10)}",
    "years": lambda r: f"{(first := r.randint(1500, 1899))}-{first + r.randint(1, 90)}",
    "amount": lambda r: f"{r.randint(1, 999)},{numerals(r, 3)},{numerals(r, 3)}원",
    "amount together": lambda r: f"{r.randint(1, 9)}{numerals(r, 9)}원",
    "population": lambda r: f"인구 {numerals(r, 7)}명",
    "coordinates": lambda r: f"위도 37.{numerals(r, 7)}, 경도 127.{numerals(r, 7)}",
    "decimal": lambda r: f"3.{numerals(r, 12)}",
    "hash": lambda r: f"커밋 {r.getrandbits(160):040x}",
    "uuid": lambda r: (
        f"{r.getrandbits(32):08x}-{r.getrandbits(16):04x}-4{r.getrandbits(12):03x}-a{r.getrandbits(12):03x}-{r.getrandbits(48):012x}"
    ),
    "mac": lambda r: ":".join(f"{r.randint(0, 255):02x}" for _ in range(6)),
    "scope": lambda r: r.choice(("std::vector<int>::iterator", "abc::def::add", "Foo::Bar2::baz", "a::b")),
    "clock": lambda r: f"{_time(r, ':')}:{r.randint(0, 24):02d}",
    "package": lambda r: f"npm install lodash@{r.randint(1, 9)}.{r.randint(0, 90)}.{r.randint(0, 9)}",
    "picture": lambda r: f"icon@{r.randint(2, 3)}x.png",
    "mention": lambda r: r.choice(
        ("@property 와 @staticmethod", "@minsu_kim 님", "회의@3층", "git@github.com:kim/repo.git")
    ),
    "golbaengi food": lambda r: r.choice(("을지로 골뱅이 무침 2인분", "골뱅이 소면 12000원", "골뱅이 통조림 400g")),
    "hidden throughout": lambda r: r.choice(
        ("010-XXXX-XXXX", "ㅇㅇㅇ-ㅇㅇㅇㅇ-ㅇㅇㅇㅇ", "000000-*******"[7:], "○○○-○○○○-○○○○")
    ),
    "loopback": lambda r: r.choice(("127.0.0.1", "0.0.0.0", "255.255.255.0", "::1")),
    "number words": lambda r: r.choice(
        ("이사 오는 날 일이 많았다", "삼사십 대 구직자 이십오만 명", "일이삼사 순서로", "오육 년 사이")
    ),
    "look-alike words": lambda r: r.choice(("OIL 2026 IO 100", "l10n 과 i18n", "SOS 112", "BOSS 101")),
    "table row": lambda r: " ".join(str(r.randint(10, 99)) for _ in range(6)),
    "street without number": lambda r: r.choice(
        ("서울 종로에서 만났다", "강남대로 5번 출구", "세종로 3월 행사", "제주도 2박 3일")
    ),
    "ratio": lambda r: f"{r.randint(1, 99)}:{r.randint(1, 99)}:{r.randint(1, 99)}",
    "score": lambda r: f"{r.randint(80, 120)}-{r.randint(80, 120)} 승리",
    "standard": lambda r: f"KS X 1001-{numerals(r, 4)}",
    "licence of trade": lambda r: f"통신판매업신고 제2026-서울강남-{numerals(r, 5)}호",
}
"""Of the same shapes, and nobody's."""
FRAMES = """{}
{}입니다.
- {}
값={};
제 번호는 {}입니다.
신청서에 {}라고 적었습니다.
오늘 {} 보고 왔어요 ㅎㅎ
| 1 | {} | 확인 |
「{}」이라고 적혀 있었다.
민수: {}\\n지혜: 알았어
[공지] {} 참고 바랍니다.
회의록: {} 건 논의
{{"value": "{}"}}
<td>{}</td>
그는 수첩에서 {}을 찾았다.
댓글) {} 맞나요?
ㅇㅇ {} 임
첫째, {}; 둘째, 없음
({})
안녕하세요.\\n{}\\n감사합니다.
RT {} #공유""".splitlines()
LABELLED_FRAMES = """{label}: {}
{label} {}
{label}는 {}입니다.
- {label} : {}
<b>{label}</b> {}
{label}({}) 확인 부탁드려요
| {label} | {} |
고객님의 {label} {}로 처리했습니다.
[{label}] {}
문의 주신 {label} {} 등록 완료
{label}은 {}이에요
1. {label} - {}""".splitlines()


def entries(seed: int = SEED, size: int = SIZE) -> Iterator[Entry]:
    """The gold set: positive entries go round the variants, and so do the look-alikes."""
    r = Random(seed)
    positive = [*PLAIN.items(), *LABELLED.items()]
    for number in range(size - round(size * NEGATIVE_SHARE)):
        variant, (label_kind, make) = positive[number % len(positive)]
        kind, value = "PHONE" if label_kind == "SERVICE" else label_kind, make(r)
        hint = " (#을 @로 바꿔 주세요)" if variant == "e-mail other sign" else ""
        label = r.choice(LABELS[label_kind])
        frame = r.choice(LABELLED_FRAMES if variant in LABELLED or r.random() < 0.5 else FRAMES)
        marked = value if "\1" in value else f"\1{value}\1"
        before, inside, after = (frame.replace("\\n", "\n").format(marked, label=label) + hint).split("\1")
        yield Entry(f"{before}{inside}{after}", ((len(before), len(before) + len(inside), kind),), variant)
    negative = list(INNOCENT.items())
    for number in range(round(size * NEGATIVE_SHARE)):
        variant, make = negative[number % len(negative)]
        yield Entry(r.choice(FRAMES).replace("\\n", "\n").format(make(r)), (), variant)


def main() -> None:
    """Write the set to the file named."""
    rows = (json.dumps(vars(entry), ensure_ascii=False) for entry in entries())
    Path(sys.argv[1]).write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
