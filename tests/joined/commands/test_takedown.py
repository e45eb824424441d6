"""A takedown leaves documents out of later builds and names what was made from them: with the real corpus stage."""

import hashlib
import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest

from korean_llm_assets.__main__ import main
from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.recipes import recipes
from korean_llm_assets.partitions.requests import as_input, stage_request
from korean_llm_assets.partitions.takedown_list import holders as refused
from korean_llm_assets.partitions.takedown_list import takedown_file
from trainers.contract import STAGES, Artifact, CorpusDetails, Manifest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.shards import read_shards
from trainers.corpus.holders import holders
from trainers.runner.stage import run_stage

TEXTS = (
    "강릉의 바닷가에는 아침마다 갈매기가 모여들고, 어부들은 밤새 잡은 오징어를 천천히 내립니다.",
    "전주에서 비빔밥을 처음 먹던 날, 할머니는 고추장을 조금만 넣으라고 여러 번 말씀하셨습니다.",
    "도서관 이용 시간은 평일 아홉 시부터 여덟 시까지이며, 책은 한 번에 다섯 권까지 빌릴 수 있습니다.",
    "이 전기 주전자는 물이 빨리 끓어서 좋지만, 손잡이가 뜨거워지는 점은 고쳐 주었으면 합니다.",
    "지구는 태양의 둘레를 일 년에 한 바퀴 돌고, 그 때문에 우리는 네 계절을 차례로 맞이합니다.",
    "동생은 피아노를 배우기 시작한 지 석 달 만에 작은 연주회에서 세 곡을 끝까지 연주했습니다.",
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


CALL = "제 번호는 010-1234-5678이니 저녁에 편하게 전화 주세요. 강릉 시장에서 뵙겠습니다. 조심히 오세요."
"""A text that is another one in the corpus: its number is masked."""
ROWS = {
    "corpus": [
        *({"id": f"doc-{number}", "text": text} for number, text in enumerate(TEXTS)),
        {"id": "copy-b", "text": TEXTS[1]},
        {"text": TEXTS[2][::-1]},
        {"text": CALL},
    ],
    "instructions": [
        {"id": f"q-{number}", "instruction": f"{number} 번째 질문은 무엇입니까?", "output": f"{number} 번 답입니다."}
        for number in range(12)
    ]
    + [{"instruction": "연락처를 알려 주세요.", "output": CALL}],
    "preferences": [
        {
            "id": f"p-{number}",
            "prompt": f"{number} 잔 주세요.",
            "chosen": f"{number} 잔입니다.",
            "rejected": "싫습니다.",
        }
        for number in range(12)
    ],
    "benchmarks": [
        {"id": f"b-{number}", "question": f"{number} 더하기 하나는?", "choices": ["하나", "둘"], "answer": 1}
        for number in range(3)
    ],
}


@pytest.fixture
def landed(home: Home) -> Landing:
    for kind, rows in ROWS.items():
        folder = home.landing / "r1" / kind
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return Landing(home.landing)


def made(home: Home, kind: str) -> Manifest:
    """A data asset of the release, with the list as it is."""
    reload_recipes()
    landing = Landing(home.landing)
    inputs = [landing.input("r1", kind, [])]
    if kind != "benchmarks":
        inputs.append(as_input(Artifact.of(made(home, "benchmarks"))))
    store = ArtifactStore(home.artifacts)
    return run_stage(stage_request(STAGES[kind], None, "r1", inputs), store, home.landing)


def texts_in(home: Home, manifest: Manifest) -> str:
    """Everything that an artifact says, unpacked, but for its exclusions' ids."""
    folder = home.artifacts / manifest.request.relative_path
    packed = [json.dumps(row, ensure_ascii=False) for part in folder.glob("*/") for row in _shards(part)]
    plain = [path.read_text() for path in folder.glob("*.jsonl") if path.stem != "exclusions"]
    return "\n".join([*packed, *plain, json.dumps(manifest.details.model_dump(mode="json"), ensure_ascii=False)])


def _shards(folder: Path) -> Iterator[object]:
    return read_shards(folder) if folder.name in ("train", "validation") else iter(())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "gone"),
    [
        pytest.param("corpus", "doc-3", TEXTS[3], id="an id"),
        pytest.param("corpus", "copy-b", TEXTS[1], id="an id whose text lies there under another"),
        pytest.param("corpus", "sha-" + blake2b(TEXTS[2][::-1].encode(), digest_size=16).hexdigest(), TEXTS[2][::-1]),
        pytest.param("corpus", sha(TEXTS[4]), TEXTS[4], id="sha256 of the text as the corpus has it"),
        pytest.param("corpus", sha(CALL), "강릉 시장에서 뵙겠습니다", id="sha256 of the text as it came"),
        pytest.param("instructions", "q-3", "3 번째 질문", id="an id of an instruction"),
        pytest.param("instructions", sha(CALL), "강릉 시장에서 뵙겠습니다", id="sha256 of an answer as it came"),
        pytest.param("preferences", "p-5", "5 잔", id="an id of a pair"),
        pytest.param("benchmarks", "b-1", "1 더하기", id="an id of an item"),
    ],
)
def test_by_whatever_name_a_document_is_excluded_it_and_its_copies_are_gone_from_the_next_build(
    home: Home, landed: Landing, kind: str, name: str, gone: str
) -> None:
    before = made(home, kind)
    assert gone in texts_in(home, before)
    assert holders(ArtifactStore(home.artifacts), home.landing, [name]) == {before.request.relative_path: [name]}
    takedown_file().write_text(name + "\n")
    after = made(home, kind)
    assert gone not in texts_in(home, after)
    assert after.request_digest != before.request_digest
    assert holders(ArtifactStore(home.artifacts), home.landing, [name]) == {before.request.relative_path: [name]}


@pytest.mark.slow
def test_a_purge_removes_what_holds_a_document_and_certifies_it(
    home: Home, landed: Landing, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made(home, "corpus")
    others = [made(home, kind) for kind in ("instructions", "preferences")]
    ids = home.root / "ids.txt"
    ids.write_text(f"doc-3\n{sha(CALL)}\nnobody\n")
    assert main(["takedown", "--ids", str(ids)]) == 0
    output = capsys.readouterr().out
    assert f"made from them: {before.request.relative_path}  holds {', '.join(sorted(('doc-3', sha(CALL))))}" in output
    assert f"made from them: {others[0].request.relative_path}  holds {sha(CALL)}" in output
    assert others[1].request.relative_path not in output
    assert "landed: r1/corpus/a.jsonl" in output and "in nothing that is kept here: nobody" in output
    assert refused() == {before.digest, others[0].digest}

    assert main(["takedown", "--ids", str(ids), "--json"]) == 0
    says = json.loads(capsys.readouterr().out)
    assert says["made_from_them"] == sorted(each.request.relative_path for each in (before, others[0]))
    assert says["in_nothing"] == ["nobody"] and "r1/corpus/a.jsonl" in says["held"]["landed"]
    assert "certificate" not in says and says["ids"] == sorted(("doc-3", "nobody", sha(CALL)))

    assert main(["takedown", "--ids", str(ids), "--purge"]) == 0
    certificate = json.loads(next(home.root.glob("takedown-*.json")).read_text())
    assert certificate["ids"] == sorted(("doc-3", "nobody", sha(CALL))) and certificate["left"] == {}
    assert set(certificate["removed"]) >= {before.request.relative_path, "landed r1/corpus/a.jsonl"}
    everything = b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())
    assert TEXTS[3].encode() not in everything and CALL.encode() not in everything
    rest = [json.loads(line) for line in (home.landing / "r1/corpus/a.jsonl").read_text().splitlines()]
    assert rest == [row for row in ROWS["corpus"] if row.get("id") != "doc-3" and row["text"] != CALL]
    after = made(home, "corpus")
    assert isinstance(after.details, CorpusDetails) and "takedown" not in after.details.excluded


def reload_recipes() -> None:
    recipes.cache_clear()


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    reload_recipes()
