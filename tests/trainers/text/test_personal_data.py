"""Personal data: a gold set of invented values in sentences, and a set of look-alikes that must stay."""

from random import Random

import pytest

from trainers.text.characters import Texts
from trainers.text.personal_data import mask

WIDE = {ord("0") + n: 0xFF10 + n for n in range(10)} | {ord("-"): 0xFF0D}
EACH = 60


def masked(text, addresses=False):
    texts, counts = mask(Texts.of([text]), addresses)
    return texts[0], counts


def digits(random, count):
    return "".join(random.choice("0123456789") for _ in range(count))


def resident(random, dash, checksum=False, foreign=False):
    born = f"{random.randint(0, 99):02d}{random.randint(1, 12):02d}{random.randint(1, 28):02d}"
    body = born + random.choice("5678" if foreign else "1234") + digits(random, 5)
    weighed = sum(int(a) * b for a, b in zip(body, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=True))
    last = str((11 - weighed % 11) % 10) if checksum else random.choice("0123456789")
    return f"{body[:6]}{dash}{body[6:]}{last}"


def card(random, dash):
    body = random.choice("3456"[1:]) + digits(random, 14)
    doubled = sum(sum(divmod(int(d) * 2, 10)) for d in body[::2]) + sum(int(d) for d in body[1::2])
    number = body + str(-doubled % 10)
    return dash.join(number[i : i + 4] for i in range(0, 16, 4))


def business(random, dash):
    body = random.choice("123456789") + digits(random, 8)
    total = sum(int(a) * b for a, b in zip(body, (1, 3, 7, 1, 3, 7, 1, 3), strict=False)) + sum(
        divmod(int(body[8]) * 5, 10)
    )
    number = body + str(-total % 10)
    return f"{number[:3]}{dash}{number[3:5]}{dash}{number[5:]}"


def octet(random):
    return random.randint(1, 223)


GOLD = {
    "rrn with dash": lambda r: ("RRN", resident(r, "-")),
    "rrn without dash": lambda r: ("RRN", resident(r, "")),
    "rrn full width": lambda r: ("RRN", resident(r, "-").translate(WIDE)),
    "rrn other dash": lambda r: ("RRN", resident(r, r.choice("–−‐"))),
    "foreigner": lambda r: ("RRN", resident(r, r.choice(["-", ""]), foreign=True)),
    "mobile": lambda r: ("PHONE", f"010{(d := r.choice(['-', '.', ' ', '']))}{digits(r, 4)}{d}{digits(r, 4)}"),
    "old mobile": lambda r: ("PHONE", f"01{r.choice('16789')}-{digits(r, 3)}-{digits(r, 4)}"),
    "mobile abroad": lambda r: ("PHONE", f"+82{r.choice(['-', ' '])}10-{digits(r, 4)}-{digits(r, 4)}"),
    "mobile full width": lambda r: ("PHONE", f"010-{digits(r, 4)}-{digits(r, 4)}".translate(WIDE)),
    "land line": lambda r: ("PHONE", f"{r.choice(['02', '031', '051', '064', '070'])}-{digits(r, 3)}-{digits(r, 4)}"),
    "land line brackets": lambda r: ("PHONE", f"{r.choice(['(02)', '02)', '(031) '])}{digits(r, 3)}-{digits(r, 4)}"),
    "e-mail": lambda r: ("EMAIL", f"user{digits(r, 3)}.name@{r.choice(['example.com', 'mail.co.kr', 'a-b.or.kr'])}"),
    "card": lambda r: ("CARD", card(r, r.choice(["-", " ", ""]))),
    "account": lambda r: (
        "ACCOUNT",
        r.choice(["국민은행 ", "계좌번호: ", "입금 계좌 ", "우리은행 예금주 김아무개 "])
        + r.choice(
            [
                f"{digits(r, 6)}-{digits(r, 2)}-{digits(r, 6)}",
                f"{digits(r, 3)}-{digits(r, 4)}-{digits(r, 4)}-{digits(r, 2)}",
            ]
        ),
    ),
    "passport": lambda r: (
        "PASSPORT",
        r.choice([f"M{digits(r, 8)}", f"M{digits(r, 3)}{r.choice('ABC')}{digits(r, 4)}"]),
    ),
    "passport named": lambda r: ("PASSPORT", f"여권번호 {r.choice('SRGD')}{digits(r, 8)}"),
    "driver licence": lambda r: ("DRIVER_LICENCE", f"{r.randint(11, 28)}-{digits(r, 2)}-{digits(r, 6)}-{digits(r, 2)}"),
    "business": lambda r: ("BUSINESS_NUMBER", business(r, "-")),
    "business named": lambda r: ("BUSINESS_NUMBER", f"사업자등록번호 {business(r, '')}"),
    "ip": lambda r: ("IP", ".".join(str(octet(r)) for _ in range(4)).replace("127.", "128.")),
    "ip 6": lambda r: ("IP", ":".join(f"{r.randint(0x1000, 0xFFFF):x}" for _ in range(8))),
}
FRAMES = (
    "제 번호는 {}입니다.",
    "{}",
    "문의: {} (담당자)",
    "신청서에 {}라고 적었습니다.",
    "값={};",
    "- {}\n- 다음 항목",
)
INNOCENT = {
    "date": lambda r: f"{r.randint(1950, 2030)}{(s := r.choice('-./'))}{r.randint(1, 12):02d}{s}{r.randint(1, 28):02d}",
    "date and time": lambda r: (
        f"2024-{r.randint(1, 12):02d}-{r.randint(1, 28):02d} {r.randint(0, 23):02d}:{digits(r, 2)}:00"
    ),
    "stamp": lambda r: f"20{r.randint(10, 29)}{r.randint(1, 12):02d}{r.randint(1, 28):02d}{digits(r, 6)}",
    "order number": lambda r: (
        f"주문번호 20{r.randint(10, 29)}{r.randint(1, 12):02d}{r.randint(1, 28):02d}{digits(r, 5)}"
    ),
    "order with dashes": lambda r: f"주문번호: {2000 + r.randint(10, 29)}-{digits(r, 4)}-{digits(r, 4)}",
    "tracking": lambda r: f"운송장 번호 {digits(r, 12)}",
    "version": lambda r: f"버전 {r.randint(0, 20)}.{r.randint(0, 99)}.{r.randint(0, 9)}.{r.randint(0, 99)}",
    "short version": lambda r: f"v{r.randint(0, 20)}.{r.randint(0, 99)}.{r.randint(0, 99)}",
    "build": lambda r: f"10.0.{r.randint(10000, 22631)}.{r.randint(1, 9999)}",
    "amount": lambda r: f"{r.randint(1, 999)},{digits(r, 3)},{digits(r, 3)}원",
    "plain number": lambda r: f"{r.randint(1, 9)}{digits(r, 7)}명",
    "isbn": lambda r: f"ISBN 978-89-{digits(r, 4)}-{digits(r, 3)}-{digits(r, 1)}",
    "service line": lambda r: f"1588-{digits(r, 4)}",
    "package": lambda r: f"npm install lodash@{r.randint(1, 9)}.{digits(r, 2)}.{r.randint(0, 9)}",
    "decorator": lambda r: "@property 와 @staticmethod",
    "loopback": lambda r: r.choice(["127.0.0.1", "0.0.0.0", "255.255.255.0"]),
    "c plus plus": lambda r: "std::vector<int>::iterator",
    "clock": lambda r: f"{r.randint(0, 23):02d}:{r.randint(0, 59):02d}:{r.randint(0, 59):02d}",
    "hash": lambda r: f"커밋 {r.getrandbits(160):040x}",
    "decimal": lambda r: f"3.{digits(r, 12)}",
    "ratio": lambda r: f"{digits(r, 2)}.{digits(r, 2)}%",
}


def test_recall_on_the_gold_set():
    random = Random(20261121)
    missed, total = [], 0
    for name, make in GOLD.items():
        for _ in range(EACH):
            kind, value = make(random)
            text = random.choice(FRAMES).format(value)
            clean, counts = masked(text)
            total += 1
            number = value.split()[-1] if kind == "ACCOUNT" else value
            if (
                not counts[kind]
                or number in clean
                or sum(c.isdigit() for c in clean) > sum(c.isdigit() for c in text) / 2
            ):
                missed.append((name, text, clean))
    assert (total - len(missed)) / total >= 0.995, missed[:20]


def test_precision_on_look_alikes_and_gold_together():
    random = Random(20261122)
    wrong, right = [], 0
    for make in INNOCENT.values():
        for _ in range(EACH):
            text = random.choice(FRAMES).format(make(random))
            clean, counts = masked(text)
            if sum(counts.values()):
                wrong.append((text, clean))
    for make in GOLD.values():
        for _ in range(EACH):
            kind, value = make(random)
            counts = masked(random.choice(FRAMES).format(value))[1]
            right += counts[kind]
            wrong += [(value, other) for other in counts if other != kind for _ in range(counts[other])]
    assert right / (right + len(wrong)) >= 0.98, wrong[:20]


def test_several_in_a_line_and_the_rest_untouched():
    text, counts = masked("김(010-1234-5678, kim@example.com)은 3월 2일 02-123-4567로 전화했다.\n다음 줄 2024-01-02")
    assert text == "김([PHONE], [EMAIL])은 3월 2일 [PHONE]로 전화했다.\n다음 줄 2024-01-02"
    assert dict(counts) == {"PHONE": 2, "EMAIL": 1}


def test_addresses_are_an_option():
    line = "주소: 서울특별시 종로구 세종대로 175, 101동 1203호 우편함"
    assert masked(line)[0] == line
    assert masked(line, addresses=True)[0] == "주소: [ADDRESS] 우편함"
    assert masked("오늘은 서울에 갔다 왔다", addresses=True)[0] == "오늘은 서울에 갔다 왔다"


@pytest.mark.parametrize("text", ["", "\n\n", "010-1234-5678", "[PHONE]", "가\n010-1234-5678\n나"])
def test_masking_twice_changes_nothing(text):
    once = masked(text)[0]
    assert masked(once)[0] == once
