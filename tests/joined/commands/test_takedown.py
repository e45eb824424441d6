"""A takedown leaves documents out of later builds and names what was made from them: with the real corpus stage."""

import json

import pytest

from korean_llm_assets.__main__ import main
from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.recipes import data_recipe
from korean_llm_assets.partitions.requests import as_input, stage_request
from trainers.contract import STAGES, Artifact, CorpusDetails, Input, Manifest
from trainers.contract.artifacts import ArtifactStore
from trainers.runner.stage import run_stage

TEXTS = (
    "강릉의 바닷가에는 아침마다 갈매기가 모여들고, 어부들은 밤새 잡은 오징어를 천천히 내립니다.",
    "전주에서 비빔밥을 처음 먹던 날, 할머니는 고추장을 조금만 넣으라고 여러 번 말씀하셨습니다.",
    "도서관 이용 시간은 평일 아홉 시부터 여덟 시까지이며, 책은 한 번에 다섯 권까지 빌릴 수 있습니다.",
    "이 전기 주전자는 물이 빨리 끓어서 좋지만, 손잡이가 뜨거워지는 점은 고쳐 주었으면 합니다.",
    "지구는 태양의 둘레를 일 년에 한 바퀴 돌고, 그 때문에 우리는 네 계절을 차례로 맞이합니다.",
    "동생은 피아노를 배우기 시작한 지 석 달 만에 작은 연주회에서 세 곡을 끝까지 연주했습니다.",
)


def build(home: Home, release: str = "r1", *earlier: Input) -> Manifest:
    data_recipe.cache_clear()
    store, landing = ArtifactStore(home.artifacts), Landing(home.landing)
    request = stage_request(STAGES["benchmarks"], None, "r1", [landing.input("r1", "benchmarks", [])])
    clean = Artifact.of(run_stage(request, store, home.landing))
    inputs = [landing.input(release, "corpus", []), as_input(clean), *earlier]
    return run_stage(stage_request(STAGES["corpus"], None, release, inputs), store, home.landing)


@pytest.mark.slow
def test_a_document_is_left_out_and_what_holds_it_is_named(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": f"doc-{number}", "text": text} for number, text in enumerate(TEXTS)]
    corpus, benchmarks = home.landing / "r1" / "corpus", home.landing / "r1" / "benchmarks"
    for folder in (corpus, benchmarks):
        folder.mkdir(parents=True)
    (corpus / "a.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    item = {"id": "1", "question": "하나 더하기 하나는?", "choices": ["둘", "셋"], "answer": 0}
    (benchmarks / "facts.jsonl").write_text(json.dumps(item, ensure_ascii=False) + "\n")
    before = build(home)
    later = home.landing / "r2" / "corpus" / "b.jsonl"
    later.parent.mkdir(parents=True)
    later.write_text("".join(json.dumps({"text": text[::-1]}, ensure_ascii=False) + "\n" for text in TEXTS))
    beside = build(home, "r2", as_input(Artifact.of(before), "earlier_r1", only=("dedup_index",)))
    ids = home.root / "ids.txt"
    ids.write_text("doc-3\nnobody\n")
    assert main(["takedown", "--ids", str(ids)]) == 0
    output = capsys.readouterr().out
    assert f"made from them: {before.request.relative_path}  holds doc-3" in output
    assert "in no corpus that is kept here: nobody" in output
    assert beside.request.relative_path not in output  # it was compared with that corpus, not made from it
    after = build(home)
    assert after.request_digest != before.request_digest
    assert isinstance(after.details, CorpusDetails) and isinstance(before.details, CorpusDetails)
    assert after.details.kept == before.details.kept - 1
    assert after.details.excluded["takedown"] == 1
    data_recipe.cache_clear()
