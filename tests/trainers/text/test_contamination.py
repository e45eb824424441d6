"""Contamination: pieces of evaluation items are found however they are spaced, and removed or cut with evidence."""

import pytest

from tests.support.corpus_landing import data_request, read_jsonl, run_data_stage, write_jsonl
from tests.trainers.corpus.test_stage import everything, rows
from trainers.contract import Artifact, Input
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.recipe.data import DecontaminationSettings
from trainers.runner.stage import run_stage
from trainers.text.characters import Texts
from trainers.text.contamination import Suites

ITEM = (
    "세종대왕은 조선의 제4대 국왕으로 1443년에 훈민정음을 창제하고 1446년에 반포하였으며 과학 기술과 예술의 발전에도 "
    "크게 이바지하였다."
)


@pytest.mark.parametrize(
    ("text", "contaminated"),
    [
        (f"앞의 글입니다. {ITEM} 뒤의 글입니다.", True),
        (f"앞의 글 {ITEM.replace(' ', '')} 뒤", True),
        (f"앞의 글 {ITEM[:70]} 여기서 끊깁니다", True),
        ("세종대왕은 조선의 제4대 국왕이었다. 훈민정음을 창제하였다.", False),
        ("", False),
    ],
)
def test_pieces_are_found(text, contaminated):
    suites = Suites(DecontaminationSettings(), [("s:1", ITEM)])
    hits = suites.find(Texts.of(["다른 문서입니다.", text]))
    assert bool(hits) == contaminated
    assert all(hit.document == 1 and hit.item == "s:1" and text[hit.begin : hit.end] for hit in hits)


def test_what_many_items_share_is_their_template():
    template = "다음 글을 처음부터 끝까지 아주 천천히 잘 읽은 다음에 이어지는 질문에 예 또는 아니오로만 짧게 답하세요"
    suites = Suites(DecontaminationSettings(), [(f"s:{n}", f"{template} {n}") for n in range(5)])
    assert suites.find(Texts.of([template])) == []


def run_with_suite(tmp_path, **section):
    write_jsonl(tmp_path / "landing/r1/benchmarks/history.jsonl", [{"id": "k1", "text": ITEM}])
    benchmarks, _ = run_data_stage("benchmarks", tmp_path)
    artifact = Artifact.of(benchmarks)
    documents = [*rows(), {"id": "leak", "text": f"{rows()[0]['text']}\n{ITEM}\n{rows()[1]['text']} 끝입니다."}]
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", documents)
    request = data_request("corpus", tmp_path / "landing", **section)
    suite = Input(name="benchmarks", digest=artifact.digest, path=artifact.path)
    request = request.model_copy(update={"inputs": (*request.inputs, suite)})
    store = ArtifactStore(tmp_path / "artifacts")
    return run_stage(request, store, tmp_path / "landing"), store.folder(request)


def test_contaminated_documents_are_removed_with_evidence(tmp_path):
    manifest, folder = run_with_suite(tmp_path)
    assert manifest.details.excluded == {"contaminated": 1}
    assert read_jsonl(folder / "exclusions.jsonl.zst")[0]["detail"] == "history:k1"
    (evidence,) = manifest.details.contaminated
    assert (evidence.document, evidence.item) == ("leak", "history:k1") and evidence.piece in ITEM


def test_or_cut(tmp_path):
    manifest, folder = run_with_suite(tmp_path, decontamination={"action": "cut"})
    assert manifest.details.excluded == {}
    text = next(row["text"] for row in everything(folder) if row["id"] == "leak")
    assert "세종대왕" not in text and text.count("\n") == 1
    assert len(manifest.details.contaminated) == 1


def test_or_left(tmp_path):
    manifest, _ = run_with_suite(tmp_path, decontamination={"action": "off"})
    assert manifest.details.excluded == {} and manifest.details.contaminated == []
