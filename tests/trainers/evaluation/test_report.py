"""The report's page: what changed sides, what was said, and no radar where there is too little to draw."""

import re

from trainers.evaluation.report import Report, Sample
from trainers.evaluation.results import Results, Row


def accuracy(suite, values):
    return [Row(suite, "accuracy", f"i{n}", value, 1.0, f"<{value}>", "답") for n, value in enumerate(values)]


def page_of(suites):
    stages = {"base": [1.0, 0.0, 1.0], "cpt": [1.0, 0.0, 1.0], "sft": [0.0, 1.0, 1.0], "rlhf": [0.0, 1.0, 1.0]}
    rows = {stage: [row for suite in suites for row in accuracy(suite, v)] for stage, v in stages.items()}
    samples = [Sample("수도는?", "서울", {stage: f"{stage}의 답" for stage in stages})]
    losses = {"cpt": [(1, 3.0), (2, 2.0)], "sft": []}
    report = Report("t", Results(rows, {}, seed=1), [], samples, losses, {})
    return report.html()


def test_flips_and_samples_are_told_item_by_item():
    page = page_of(["quiz"])
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    assert ["quiz", "sft against cpt", "right to wrong", "i0", "&lt;0.0&gt;", "답"] in cells
    assert ["quiz", "sft against cpt", "wrong to right", "i1", "&lt;1.0&gt;", "답"] in cells
    assert not any(row[1:2] == ["rlhf against sft"] and len(row) == 6 and row[3] == "i0" for row in cells)
    assert ["수도는?", "서울", "base의 답", "cpt의 답", "sft의 답", "rlhf의 답"] in cells
    assert "cpt: training loss" in page and "sft: training loss" not in page


def test_a_radar_needs_three_suites():
    assert "<polygon" not in page_of(["a", "b"])
    assert page_of(["a", "b", "c"]).count("<polygon") == 8
