"""Figures over releases: back from the champion as far as reports are kept, as lines with a table."""

from pathlib import Path

from tests.support.hostile import read_page
from tests.trainers.evaluation.test_gate import results
from trainers.contract import EvaluationDetails, ExportDetails, Input, Interval, Manifest, StageRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.details import Details
from trainers.contract.page import page
from trainers.evaluation.gate import PREFERENCE
from trainers.evaluation.releases import ReleaseFigures, champions_before, over_releases


def committed(store: ArtifactStore, stage: str, release: str, details: Details, **inputs: Manifest) -> Manifest:
    read = tuple(Input(name=name, digest=m.digest, path=m.request.relative_path) for name, m in inputs.items())
    request = StageRequest(stage=stage, stage_version=1, model="tiny", release=release, inputs=read)
    manifest = Manifest(request=request, request_digest=request.digest, files=(), metrics={}, details=details)
    with store.workspace(request) as workspace:
        workspace.begin_attempt()
        workspace.commit(manifest)
    return manifest


def figures(value: float) -> dict[str, dict[str, Interval]]:
    return {PREFERENCE: {"rlhf": Interval(value=value, low=value - 0.1, high=value + 0.1, n=9)}}


def champions(store: ArtifactStore, **values: float) -> list[Manifest]:
    """A report and a champion of each release, each report against the champion before."""
    before: dict[str, Manifest] = {}
    exports = []
    for release, value in values.items():
        report = committed(store, "evaluate", release, EvaluationDetails(suites=figures(value), gate=[]), **before)
        details = ExportDetails(formats=[], parameters=1, tokenizer_hash="0", model_card="")
        exports.append(committed(store, "export", release, details, eval_report=report))
        before = {"champion": exports[-1]}
    return exports


def test_each_report_leads_to_the_champion_before_it(tmp_path: Path):
    store = ArtifactStore(tmp_path)
    *_, champion = champions(store, r1=0.5, r2=0.6, r3=0.7)
    earlier = champions_before(store, champion)
    assert [(one.release, one.figures[PREFERENCE].value) for one in earlier] == [("r1", 0.5), ("r2", 0.6), ("r3", 0.7)]
    assert champions_before(store, None) == []


def test_the_line_begins_where_reports_are_kept(tmp_path: Path):
    store = ArtifactStore(tmp_path)
    first, champion = champions(store, r1=0.5, r2=0.6)
    store.beside(first.request).remove_artifact()
    assert [one.release for one in champions_before(store, champion)] == ["r2"]


def test_releases_are_lines_with_a_table_and_nothing_where_there_is_no_earlier_one():
    earlier = [
        ReleaseFigures("r1", {suite: by["rlhf"] for suite, by in figures(0.5).items()}),
        ReleaseFigures("r2", {}),
    ]
    read = read_page(page("t", [over_releases(results(rlhf_right=80), earlier, "r3")]))
    assert "better reply put first" in read.text
    (table,) = (table for table in read.tables if table[0][0].startswith("release"))
    column = next(place for place, name in enumerate(table[0]) if name.startswith("better reply"))
    assert [row[0] for row in table[1:]] == ["r1", "r2", "r3"]
    assert [row[column][:5] for row in table[1:]] == ["50.0%", "", "80.0%"]
    assert "Over releases" not in page("t", [over_releases(results(), [], "r1")])
