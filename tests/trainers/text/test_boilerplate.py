"""Boilerplate lines: menus, footers, notices and contacts go, what only speaks of them stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.corpus_landing import read_jsonl, run_data_stage, write_jsonl
from tests.trainers.corpus.test_stage import everything, rows
from trainers.contract.recipe.data import BoilerplateSettings
from trainers.text.boilerplate import reason_of, remove_lines
from trainers.text.characters import Texts

ALL = BoilerplateSettings()
GONE = {
    "navigation": [
        "로그인 | 회원가입 | 고객센터",
        "로그인 회원가입",
        "HOME > 고객센터 > 공지사항",
        "이전글 다음글 목록",
        "이전 글",
        "▲ 이전글 : 3월 모임을 알립니다",
        "다음 기사 | 내일은 전국에 비",
        "본문 바로가기",
        "페이스북 트위터 카카오톡 URL복사 인쇄",
        "이용약관 · 개인정보처리방침 · 이메일무단수집거부",
    ],
    "copyright": [
        "무단 전재 및 재배포 금지",
        "<저작권자(c) 가나일보, 무단 전재-재배포 금지>",
        "ⓒ 가나신문. 무단전재·재배포 및 AI 학습 이용 금지합니다.",
        "Copyright ⓒ 2024 Gana Ilbo. All rights reserved.",
        "Copyright © 2021 가나다 주식회사",
        "All Rights Reserved",
        "저작권자 © 가나뉴스",
        "[사진 ⓒ 가나통신]",
    ],
    "notice": [
        "클린봇이 부적절한 표현을 감지한 댓글입니다.",
        "관리자에 의해 삭제된 댓글입니다.",
        "비밀 댓글입니다",
        "등록된 댓글이 없습니다.",
        "이 페이지를 보려면 자바스크립트를 활성화해 주세요.",
        "저희 사이트는 더 나은 이용을 위해 쿠키를 사용합니다.",
    ],
    "contact": [
        "기사제보 및 보도자료 news@gana.example",
        "홍길동 기자 hong@gana.example",
        "상호: 가나다 | 대표: 홍길동 | 사업자등록번호: 000-00-00000 | 통신판매업 신고 제2024-서울-0000호",
        "제호: 가나일보 발행인 홍길동 편집인 김가나 청소년보호책임자 이다라",
    ],
}
STAYS = [
    "정부는 기사의 무단 전재 및 재배포를 금지하는 법안을 발의했다.",
    "무단 전재가 무엇인지부터 알아봅시다.",
    "이 문서는 저작권법에 따라 보호됩니다.",
    "저작권 표시",
    "로그인하려면 회원가입을 먼저 해야 합니다.",
    "로그인",
    "공지사항",
    "- [로그인](auth.md)",
    "`login`, `logout` 명령을 차례로 씁니다.",
    "홈 > 설정 > 네트워크를 차례로 누르세요",
    "이전 글에서는 분사를 다루었습니다.",
    "다음 글자를 읽습니다.",
    "수정 삭제",
    "Copyright (C) <year> <name of author>",
    "소스 코드에는 Copyright 문구와 © 기호를 함께 적습니다.",
    "그는 기자에게 hong@gana.example 로 편지를 보냈다.",
    "이 댓글은 관리자에 의해 삭제된 댓글입니다만, 내용은 남아 있습니다.",
    "대표: 홍길동",
    "쿠키를 굽는 법을 배웁니다.",
    "친구에게 페이스북 링크를 보냈다",
]
WORDS = st.sampled_from([*(line for lines in GONE.values() for line in lines), *STAYS, "", "보통 줄입니다."])


@pytest.mark.parametrize(("reason", "line"), [(reason, line) for reason, lines in GONE.items() for line in lines])
def test_what_goes_and_why(reason, line):
    texts, removed = remove_lines(Texts.of([f"첫 문단입니다.\n\n{line}\n\n끝 문단입니다.", "다른 문서"]), ALL)
    assert removed == [(0, reason)]
    assert texts.strings == ["첫 문단입니다.\n\n끝 문단입니다.", "다른 문서"]


@pytest.mark.parametrize("line", STAYS)
def test_what_stays(line):
    texts = Texts.of([f"앞\n{line}\n뒤"])
    assert remove_lines(texts, ALL)[0] is texts


@given(st.lists(WORDS, max_size=8).map("\n".join))
def test_the_quick_look_misses_nothing_and_a_second_time_changes_nothing(text):
    texts, removed = remove_lines(Texts.of([text]), ALL)
    wanted = [line for line in text.split("\n") if reason_of(line, ALL) is None]
    assert [line for line in texts[0].split("\n") if line] == [line for line in wanted if line]
    assert len(removed) == text.count("\n") + 1 - len(wanted)
    assert remove_lines(texts, ALL)[1] == []


def test_rules_can_be_left_out_and_long_lines_are_text():
    line = GONE["copyright"][0]
    assert reason_of(line, BoilerplateSettings(rules=("navigation",))) is None
    assert remove_lines(Texts.of([line]), BoilerplateSettings(max_characters=len(line) - 1))[1] == []
    assert remove_lines(Texts.of([line]), BoilerplateSettings(max_characters=len(line)))[1] == [(0, "copyright")]


def test_the_stage_counts_lines_and_excludes_what_is_nothing_else(tmp_path):
    documents = [{**row, "text": f"로그인 | 회원가입\n{row['text']}\n무단 전재 및 재배포 금지"} for row in rows(20)]
    documents.append(
        {"id": "menu", "text": "로그인 회원가입\n고객센터 사이트맵 이용약관\nⓒ 2024 가나 주식회사 All rights reserved."}
    )
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", documents)
    manifest, folder = run_data_stage("corpus", tmp_path)
    assert manifest.details.removed_lines == {"navigation": 22, "copyright": 21}
    assert manifest.details.excluded == {"boilerplate": 1}
    assert {row["text"] for row in everything(folder)} == {row["text"] for row in rows(20)}
    assert [row["id"] for row in read_jsonl(folder / "exclusions.jsonl.zst")] == ["menu"]
    assert "| navigation | 22 |" in (folder / "report.md").read_text()
