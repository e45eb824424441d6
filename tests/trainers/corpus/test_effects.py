"""What each rule does: what it excludes first, what it alone excludes, and examples that hold no personal data."""

import json

from tests.support.corpus_landing import run_data_stage, write_jsonl
from trainers.contract.recipe.filters import FilterSettings
from trainers.corpus.effects import effects, merged
from trainers.text.characters import Texts
from trainers.text.filters import judge, measure

PROSE = "아침에 강가를 걷다가 오래된 다리를 건너서 시장까지 갔습니다. 사과를 사고 집으로 돌아왔습니다."
TEXTS = [
    PROSE,
    f"{PROSE} 010-1234-5678로 연락했습니다.",
    "짧다",
    "12345678",  # too short, and of digits alone
    f"{PROSE[:40]} {'12345' * 20}",
    "010-1234-5678 " * 4,
]


def of(texts, others=None, unshown=None):
    nothing = [False] * len(texts)
    judgements = judge(measure(Texts.of(texts)), FilterSettings())
    return effects(judgements, Texts.of(texts), others or nothing, unshown or nothing)


def by_rule(rows):
    return {row.rule: row for row in rows}


def test_a_document_counts_for_the_first_rule_it_breaks_and_alone_where_it_breaks_no_other():
    rules = by_rule(merged([of(TEXTS)]))
    assert {name: (row.documents, row.alone) for name, row in rules.items()} == {
        "too_short": (2, 1),
        "no_letters": (1, 0),
        "digits": (1, 1),
    }
    assert rules["too_short"].bytes == len("짧다".encode()) + 8 and rules["too_short"].alone_bytes == 6
    assert rules["digits"].limit == 0.5 and rules["digits"].excluded[0].value > 0.5


def test_what_something_else_excludes_counts_for_no_rule():
    assert by_rule(merged([of(TEXTS, [False, False, True, True, True, True])])) == {}


def test_nothing_of_a_document_that_was_taken_down_is_shown():
    shown = json.dumps(of(["짧다", PROSE, f"{PROSE} 끝."], unshown=[True, True, False]), ensure_ascii=False)
    assert "짧다" not in shown and f'"{PROSE}"' not in shown and "끝." in shown
    assert by_rule(merged([of(["짧다"], unshown=[True])]))["too_short"].documents == 1


def test_examples_stand_on_both_sides_of_the_limit_and_hold_no_personal_data():
    row = by_rule(merged([of(TEXTS)]))["no_letters"]
    assert [example.text for example in row.excluded] == ["[PHONE] [PHONE] [PHONE] [PHONE]"]
    kept = by_rule(merged([of(TEXTS)]))["too_short"].kept
    assert kept[0].text == PROSE and "[PHONE]로" in kept[1].text
    assert "1234-5678" not in json.dumps(of(TEXTS), ensure_ascii=False)


def test_blocks_together_say_what_one_block_says():
    many = [f"{n}번째 {PROSE}" for n in range(20)] + [f"{n}" * 9 for n in range(20)] + TEXTS
    whole = merged([of(many)])
    assert merged([of(many[:7]), of(many[7:30]), of(many[30:])]) == whole
    assert len(by_rule(whole)["too_short"].excluded) == 3


def test_the_report_shows_them(tmp_path):
    rows = [{"id": str(n), "text": f"{n}번째 {PROSE}"} for n in range(3)] + [{"id": "s", "text": "짧다"}]
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows)
    manifest, folder = run_data_stage("corpus", tmp_path)
    assert [(row.rule, row.documents, row.alone) for row in manifest.details.rules] == [("too_short", 1, 1)]
    assert "| too_short | 1 | 6 | 1 | 6 | 30 | 2: 짧다 |" in (folder / "report.md").read_text()
    assert "Filters, rule by rule" in (folder / "report.html").read_text()
