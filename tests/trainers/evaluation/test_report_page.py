"""The report's page: what changed sides and was asked, what was said, no radar where there is too little to draw."""

from tests.support.hostile import HOSTILE, cells, markup, read_page
from tests.trainers.contract.test_page import DRAWN, FILTERED, SHELL
from trainers.contract import GateResult
from trainers.evaluation.report import Report, Sample
from trainers.evaluation.report_page import report_page
from trainers.evaluation.results import ItemScore, Results


def accuracy(suite, values):
    return [ItemScore(suite, "accuracy", f"i{n}", value, 1.0, f"<{value}>", "답") for n, value in enumerate(values)]


def page_of(suites):
    stages = {"base": [1.0, 0.0, 1.0], "cpt": [1.0, 0.0, 1.0], "sft": [0.0, 1.0, 1.0], "rlhf": [0.0, 1.0, 1.0]}
    rows = {stage: [row for suite in suites for row in accuracy(suite, v)] for stage, v in stages.items()}
    samples = [Sample("수도는?", "서울", {stage: f"{stage}의 답" for stage in stages})]
    losses = {"cpt": [(1, 3.0), (2, 2.0)], "sft": []}
    report = Report("t", Results(rows, {}, seed=1), [], samples, losses, {})
    return report_page(report, {("quiz", f"i{number}"): f"질문 {number}?" for number in range(3)})


def test_flips_and_samples_are_told_item_by_item():
    page = page_of(["quiz"])
    rows = read_page(page).rows
    assert ["quiz", "sft against cpt", "right to wrong", "i0", "질문 0?", "<0.0>", "답"] in rows
    assert ["quiz", "sft against cpt", "wrong to right", "i1", "질문 1?", "<1.0>", "답"] in rows
    assert not any(row[1:2] == ["rlhf against sft"] and len(row) == 7 and row[3] == "i0" for row in rows)
    assert ["수도는?", "서울", "base의 답", "cpt의 답", "sft의 답", "rlhf의 답"] in rows
    assert "cpt: loss by step" in page and "sft: loss by step" not in page


def test_a_radar_needs_three_suites():
    assert "<polygon" not in page_of(["a", "b"])
    assert page_of(["a", "b", "c"]).count("<polygon") == 8


def test_hostile_text_in_every_field_stays_text():
    stages = {"base": 0.0, "cpt": 1.0, "sft": 0.0, "rlhf": 1.0}
    suites = [f"{HOSTILE}{number}" for number in range(3)]
    rows = {
        stage: [ItemScore(suite, "accuracy", HOSTILE, value, 1.0, HOSTILE, HOSTILE) for suite in suites]
        for stage, value in stages.items()
    }
    report = Report(
        title=HOSTILE,
        results=Results(rows, {}, seed=1),
        gate=[GateResult(name=HOSTILE, passed=False, value=0, threshold=0, explanation=HOSTILE)],
        samples=[Sample(HOSTILE, HOSTILE, dict.fromkeys(stages, HOSTILE))],
        losses={"cpt": [(1, 3.0), (2, 2.0)]},
        facts={HOSTILE: HOSTILE},
        evidence=[dict.fromkeys(("item", "document", "source", "piece"), HOSTILE)],
    )
    page = report_page(report, {(f"{HOSTILE}0", HOSTILE): HOSTILE})
    read = read_page(page)
    assert read.tags <= SHELL | DRAWN | FILTERED | {"polygon", "polyline"} and page.count("<script>") == 1
    assert [HOSTILE] * 4 in read.rows
    assert not {name for name in read.attributes if name.startswith("on") or name in ("src", "href")}
    text = report.markdown()
    assert not markup(text) & {"html_inline", "html_block", "image", "link", "code_inline"}
    shown = " ".join(HOSTILE.replace("\x00", "\ufffd").split())
    assert [shown, "NO", shown] in cells(text)
