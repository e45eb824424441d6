"""Dirt as real drops have it, in known amounts: what a corpus chain must find, count and explain."""

import json
import random
import unicodedata
from collections import Counter
from dataclasses import replace

from trainers.sample.documents import SampleDocument
from trainers.sample.grammar import Grammar
from trainers.sample.vocabulary import words

# Shares of a file's clean documents; each kind occurs at least once in a file.
SHARES = {
    "exact_duplicate": 0.03,
    "near_duplicate": 0.02,
    "nfd": 0.02,
    "personal_data": 0.03,
    "laughter": 0.02,
    "spam": 0.02,
    "short": 0.02,
    "missing_text": 0.01,
    "empty_text": 0.01,
    "broken_line": 0.01,
}
_SPAM = (
    "★★지금 클릭★★ {과일} {천수}0원 특가!!! 오늘만!!! ▶▶ https://spam.invalid/{천수} ◀◀ ★★지금 클릭★★ 무료 상담 ☎☎☎",
    "{도시} 대출 {백수}만원 즉시 승인!!! 무직자 가능!!! ▶▶▶ 카톡 문의 ▶▶▶ 대출 대출 대출 대출 당일 입금!!! $$$",
    "로그인 | 회원가입 | 장바구니 | 고객센터\n이전글 | 다음글 | 목록\nCopyright ⓒ {회사} All rights reserved.",
)
_SHORT = ("네", "감사합니다.", "ㅇㅇ", "1빠", "퍼가요~", "내용 없음", "...")
_CONTACTS = (
    "신청서에는 성명 {성}{이름}, 주민등록번호 [rrn]을 적었다.",
    "문의: {성}{이름} 담당자 [phone], [mail]",
    "{성}{이름}({직업}) 연락처 [phone]. 본인 확인 번호는 [rrn]이다.",
    "메일은 [mail]로 보내 주세요. 전화는 [phone]입니다.",
)


def resident_number(rng: random.Random) -> str:
    """An invented resident registration number: real date before 2020, wrong check digit, so never issued."""
    date = f"{rng.randint(50, 99)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    head = f"{date}{rng.randint(1, 2)}{rng.randint(0, 99999):05d}"
    check = (11 - sum(int(d) * w for d, w in zip(head, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=True)) % 11) % 10
    return f"{head[:6]}-{head[6:]}{(check + rng.randint(1, 9)) % 10}"


def phone_number(rng: random.Random) -> str:
    """An invented mobile number: 010-0xxx and 010-1xxx are not given to anyone."""
    return f"010-{rng.randint(0, 1999):04d}-{rng.randint(0, 9999):04d}"


def soiled(documents: list[SampleDocument], rng: random.Random) -> tuple[list[str], Counter[str]]:
    """The lines of a jsonl file (JSON without line ends) with dirt of every kind among `documents`, and its counts."""
    grammar = Grammar(words(), rng)
    counts = {kind: max(1, round(share * len(documents))) for kind, share in SHARES.items()}
    order = rng.sample(range(len(documents)), len(documents))
    # English has no decomposed form to write.
    decomposed = [n for n in order if not documents[n].text.isascii()][: counts["nfd"]]
    counts["nfd"] = len(decomposed)
    changed = (n for n in order if n not in decomposed)
    kept = list(documents)
    for n in decomposed:
        kept[n] = replace(kept[n], text=unicodedata.normalize("NFD", kept[n].text))
    for _ in range(counts["personal_data"]):
        n = next(changed)
        kept[n] = replace(kept[n], text=kept[n].text + "\n" + _contact(grammar))
    for _ in range(counts["laughter"]):
        n = next(changed)
        kept[n] = replace(
            kept[n], text=kept[n].text.replace(". ", " " + "ㅋ" * rng.randint(5, 30) + ". ", 2) + " ㅎㅎㅎㅎㅎㅎ"
        )

    lines = [_line(one) for one in kept]
    extra: list[str] = []
    for kind, make in _ADDED.items():
        extra += [make(rng.choice(kept), grammar, f"{kind}-{n}") for n in range(counts[kind])]
    for line in extra:
        lines.insert(rng.randint(0, len(lines)), line)
    return lines, Counter(counts)


def _line(one: SampleDocument, **changes: str) -> str:
    return json.dumps(one.row() | changes, ensure_ascii=False)


def _contact(grammar: Grammar) -> str:
    rng = grammar.rng
    text = grammar.expand(rng.choice(_CONTACTS))
    mail = f"{rng.choice(('hong', 'minsu.kim', 'contact', 'jiyoung'))}{rng.randint(1, 999)}@example.com"
    return text.replace("[rrn]", resident_number(rng)).replace("[phone]", phone_number(rng)).replace("[mail]", mail)


def _near(one: SampleDocument, grammar: Grammar, mark: str) -> str:
    head = grammar.expand("({날짜} 수정) ")
    return _line(one, id=f"{one.id}-{mark}", text=head + one.text)


def _broken(one: SampleDocument, grammar: Grammar, mark: str) -> str:
    line = _line(one, id=f"{one.id}-{mark}")
    return line[: grammar.rng.randint(20, len(line) - 2)]


def _without_text(one: SampleDocument, _grammar: Grammar, mark: str) -> str:
    row = {key: value for key, value in one.row().items() if key != "text"}
    return json.dumps(row | {"id": f"{one.id}-{mark}"}, ensure_ascii=False)


_ADDED = {
    "exact_duplicate": lambda one, _, mark: _line(one, id=f"{one.id}-{mark}"),
    "near_duplicate": _near,
    "spam": lambda one, grammar, mark: _line(
        one, id=f"{one.id}-{mark}", text=grammar.expand(grammar.rng.choice(_SPAM))
    ),
    "short": lambda one, grammar, mark: _line(one, id=f"{one.id}-{mark}", text=grammar.rng.choice(_SHORT)),
    "missing_text": _without_text,
    "empty_text": lambda one, _, mark: _line(one, id=f"{one.id}-{mark}", text=""),
    "broken_line": _broken,
}
