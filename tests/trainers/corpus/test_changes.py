"""Lines before and after repairs, removal and masking: of each kind, however blocks are cut, and nothing private."""

import json
from functools import partial

from tests.support.corpus_landing import run_data_stage, write_jsonl
from trainers.contract.recipe.data import BoilerplateSettings, NormaliseSettings
from trainers.corpus.changes import _shaped, changes, merged
from trainers.text.boilerplate import remove_lines
from trainers.text.characters import Texts
from trainers.text.normalise import normalise
from trainers.text.personal_data import mask

STEPS = {
    "repaired": partial(normalise, settings=NormaliseSettings()),
    "removed lines": partial(remove_lines, settings=BoilerplateSettings()),
    "masked": mask,
}
MASK = partial(mask, addresses=True)


def of(step, texts, unshown=None):
    batch = Texts.of(texts)
    _, changed = STEPS[step](batch)
    return {step: changes(step, STEPS[step], batch, changed, unshown or [False] * len(texts), MASK)}


def shown(*blocks):
    return {row.kind: [(line.before, line.after) for line in row.examples] for row in merged(blocks)}


def test_a_repair_shows_what_nobody_sees():
    texts = [
        "첫 줄은 그대로입니다.\n둘째 줄의\u200b 끝",
        "하\u1112\u1161\u11ab국어",
        "전각　공백과 ＡＢＣ 글자",
        "ㅋㅋㅋㅋㅋ 재미있다",
    ]
    lines = shown(of("repaired", texts))
    assert lines["invisible"] == [("둘째 줄의‹U+200B› 끝", "둘째 줄의 끝")]
    assert lines["unicode_form"] == [("하‹U+1112›‹U+1161›‹U+11AB›국어", "하한국어")]
    assert lines["width"] == [("전각‹U+3000›공백과 ＡＢＣ 글자", "전각 공백과 ABC 글자")]
    assert lines["repeats"] == [("ㅋㅋㅋㅋㅋ 재미있다", "ㅋㅋ 재미있다")]


def test_the_line_with_fewest_other_repairs_is_shown_around_its_change():
    line = f"{'가나다라 ' * 30}여기\u200b서 끊깁니다. {'마바사아 ' * 30}"
    ((before, after),) = shown(of("repaired", [f"“따옴표”와\u200b 함께\n{line}"]))["invisible"]
    assert "여기‹U+200B›서" in before and "여기서" in after and "따옴표" not in before
    assert before[0] == before[-1] == after[-1] == "…" and len(before) <= 162


def test_what_was_masked_shows_its_shape_and_never_itself():
    text = "연락은 010-1234-5678 이나 hong@gana.example 로 주세요."
    lines = shown(of("masked", [text]))
    form = ("연락은 ▪▪▪-▪▪▪▪-▪▪▪▪ 이나 ▪▪▪▪@▪▪▪▪.▪▪▪▪▪▪▪ 로 주세요.", "연락은 [PHONE] 이나 [EMAIL] 로 주세요.")
    assert lines == {"EMAIL": [form], "PHONE": [form]}


def test_no_example_of_another_step_holds_personal_data():
    gone = "홍길동 기자 hong@gana.example"
    assert shown(of("removed lines", [f"글입니다.\n{gone}"])) == {"contact": [("홍길동 기자 [EMAIL]", "")]}
    private = ["전화\u200b 010-1234-5678", "주소는 서울시 강남구 테헤란로 12길 3\u200b 입니다"]
    row = merged([of("repaired", private)])[0]
    assert (row.kind, row.documents, row.examples) == ("invisible", 2, [])
    both = [f"{private[0]}\n이 줄은\u200b 보입니다."]
    assert shown(of("repaired", both)) == {"invisible": [("이 줄은‹U+200B› 보입니다.", "이 줄은 보입니다.")]}


def test_a_line_that_many_documents_share_is_shown_once():
    (row,) = merged([of("removed lines", [f"글 {n}입니다.\n무단 전재 및 재배포 금지" for n in range(3)])])
    assert (row.documents, len(row.examples)) == (3, 1)


def test_a_line_of_many_masks_is_looked_through_once():
    """By a pattern that tries every way to part it, this one would take longer than anybody waits."""
    line, masks = "1, " * 400, "[PHONE], " * 40
    assert _shaped(line, f"{masks}끝") == f"{masks}끝", "it is another line's"
    assert _shaped("1, " * 40 + "끝", f"{masks}끝") == "▪, " * 40 + "끝"
    assert _shaped("a@b.kr010-1 끝", "[EMAIL][PHONE] 끝").endswith(" 끝")


def test_a_long_document_is_looked_at_from_its_beginning_and_never_half_a_line():
    filler = f"{'가나다라 ' * 20}\n"
    assert shown(of("repaired", [f"{filler * 60}여기\u200b서"])) == {"invisible": []}
    late = (
        f"{filler * 39}{'마바' * 22} 여기\u200b서 010-1234-5678"  # the piece that is looked at ends inside the number
    )
    assert shown(of("repaired", [late])) == {"invisible": []}


def test_nothing_of_a_document_that_was_taken_down_is_shown():
    row = merged([of("repaired", ["비밀\u200b입니다"], [True])])[0]
    assert (row.documents, row.examples) == (1, [])


def test_blocks_together_say_what_one_block_says():
    many = [f"{n}번째 글은\u200b {'010-1234-5678' if n % 3 == 0 else 'ㅋㅋㅋㅋ'} {n}" for n in range(40)]
    whole = merged([of("repaired", many)])
    parts = [json.loads(json.dumps(of("repaired", part))) for part in (many[30:], many[:7], many[7:30])]
    assert merged(parts) == whole
    assert {row.kind: row.documents for row in whole} == {"invisible": 40, "repeats": 26}


def test_the_report_shows_them(tmp_path):
    prose = "아침에 강가를 걷다가 오래된 다리를 건너서 시장까지 갔습니다."
    text = f"{prose}\n제 번호는\u200b 지웠습니다.\n010-1234-5678\n무단 전재 및 재배포 금지"
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", [{"id": str(n), "text": f"{n}. {text}"} for n in range(3)])
    manifest, folder = run_data_stage("corpus", tmp_path)
    kinds = [(row.step, row.kind, row.documents) for row in manifest.details.changes]
    assert kinds == [("repaired", "invisible", 3), ("removed lines", "copyright", 3), ("masked", "PHONE", 3)]
    for name in ("report.md", "report.html"):
        page = (folder / name).read_text(encoding="utf-8")
        assert "제 번호는‹U+200B› 지웠습니다." in page and "▪▪▪-▪▪▪▪-▪▪▪▪" in page and "1234" not in page
        assert "무단 전재 및 재배포 금지" in page
