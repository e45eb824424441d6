"""Instruction sets: every schema becomes messages; what is wrong is told with its line."""

import pytest

from tests.support.corpus_landing import data_request, read_jsonl, run_data_stage, write_jsonl
from trainers.contract import Artifact, BadData, Input
from trainers.contract.artifacts import ArtifactStore
from trainers.conversations import instructions
from trainers.conversations.columns import INSTRUCTION, values_of
from trainers.runner.stage import run_stage
from trainers.text.records import Unusable


def conversation(row):
    return instructions.conversation(values_of(row, INSTRUCTION, {}))


USER = {"role": "user", "content": "수도는?"}
ANSWER = {"role": "assistant", "content": "서울입니다."}
SYSTEM = {"role": "system", "content": "친절히 답하세요."}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "수도는?", "input": "", "output": "서울입니다."}, [USER, ANSWER]),
        ({"messages": [SYSTEM, USER, ANSWER]}, [SYSTEM, USER, ANSWER]),
        (
            {"messages": [{"from": "system", "content": None, "value": "친절히 답하세요."}, USER, ANSWER]},
            [SYSTEM, USER, ANSWER],
        ),
        (
            {"conversations": [{"from": "human", "value": "수도는?"}, {"from": "gpt", "value": "서울입니다."}]},
            [USER, ANSWER],
        ),
        (
            {"instruction": "번역", "input": "hi", "output": "안녕"},
            [{"role": "user", "content": "번역\n\nhi"}, {**ANSWER, "content": "안녕"}],
        ),
    ],
)
def test_schemas(row, expected):
    assert conversation(row)["messages"] == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "field_empty"),
        ({"messages": "문자열"}, "messages_not_list"),
        ({"messages": [ANSWER]}, "roles_out_of_order"),
        ({"messages": [USER, USER]}, "roles_out_of_order"),
        ({"messages": [USER, SYSTEM, ANSWER]}, "roles_out_of_order"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "unknown_role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "unknown_role"),
        ({"messages": [{"role": "user"}]}, "field_missing"),
        ({"messages": [USER]}, "no_answer"),
        ({"messages": [USER, {"role": "assistant", "content": 5}]}, "field_not_text"),
        ({"instruction": "지시", "output": ""}, "field_empty"),
        ({"prompt": "x"}, "unknown_schema"),
    ],
)
def test_wrong_rows(row, reason):
    with pytest.raises(Unusable) as caught:
        conversation(row)
    assert caught.value.args[0] == reason


def rows(count):
    return [{"instruction": f"{n} 더하기 1은?", "output": f"{n + 1}입니다.", "task": "sum"} for n in range(count)]


def test_split_ledger_duplicates_and_lines(tmp_path):
    landed = [*rows(40), rows(1)[0], {"messages": [USER, USER]}]
    write_jsonl(tmp_path / "landing/r1/instructions/a.jsonl", landed)
    manifest, folder = run_data_stage("instructions", tmp_path, validation_share=0.1, inherited_from="r0")
    train, validation = read_jsonl(folder / "train.jsonl"), read_jsonl(folder / "validation.jsonl")
    assert len(train) + len(validation) == 40 == manifest.details.kept
    assert manifest.details.validation == len(validation) > 0
    assert all(set(row) == {"id", "messages", "source", "licence", "task"} for row in train + validation)
    assert [(row["line"], row["reason"]) for row in read_jsonl(folder / "exclusions.jsonl")] == [
        (41, "exact_duplicate"),
        (42, "roles_out_of_order"),
    ]
    assert manifest.details.inherited_from == "r0"
    prompts = {row["messages"][0]["content"] for row in train}
    assert not prompts & {row["messages"][0]["content"] for row in validation}


def test_too_many_broken_rows_fail_with_reasons_and_lines(tmp_path):
    write_jsonl(tmp_path / "landing/r1/instructions/a.jsonl", [*rows(5), *[{"messages": [USER]}] * 5])
    with pytest.raises(BadData, match=r"5 of 10 rows.*no_answer \(5\); first at a.jsonl:6"):
        run_data_stage("instructions", tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(BadData, match="empty"):
        run_data_stage("instructions", tmp_path)


@pytest.mark.realdata
def test_real_files(testdata, tmp_path):
    source = (testdata / "instruct" / "chatbot_data.jsonl").read_text().splitlines(keepends=True)[:2000]
    target = tmp_path / "landing/r1/instructions/a.jsonl"
    target.parent.mkdir(parents=True)
    target.write_text("".join(source) + (testdata / "bad_inputs/broken_instruct_preference.jsonl").read_text())
    manifest, _ = run_data_stage("instructions", tmp_path)
    broken = {k: v for k, v in manifest.details.excluded.items() if k != "exact_duplicate"}
    assert sum(broken.values()) == 12
    assert manifest.details.kept + sum(manifest.details.excluded.values()) == 2012


def test_length_language_privacy_and_manners(tmp_path):
    landed = [
        *rows(20),
        {"instruction": "길게", "output": "가나다 " * 200},
        {"instruction": "Ответь", "output": "Это ответ на русском языке"},
        {"instruction": "제 번호는 010-1234-5678입니다", "output": "알겠어요"},
    ]
    write_jsonl(tmp_path / "landing/r1/instructions/a.jsonl", landed)
    manifest, folder = run_data_stage("instructions", tmp_path, max_characters=500)
    excluded = {row["line"]: row["reason"] for row in read_jsonl(folder / "exclusions.jsonl")}
    assert excluded == {21: "too_long", 22: "language"}
    kept = read_jsonl(folder / "train.jsonl") + read_jsonl(folder / "validation.jsonl")
    assert any("[PHONE]" in row["messages"][0]["content"] for row in kept)
    assert manifest.details.masked == {"PHONE": 1}
    assert manifest.details.honorifics == {"formal": 20, "polite": 1}


def test_rows_that_a_benchmark_asks_or_holds_are_left_out_with_evidence(tmp_path):
    item = (
        "훈민정음은 조선의 제4대 임금인 세종이 1443년에 만들고 1446년에 펴낸 글자이며 백성이 쉽게 읽고 쓰게 하려는 "
        "뜻을 담았다"
    )
    quiz = [{"id": "k2", "messages": [{"role": "user", "content": "가장 긴 강은?"}], "answer": "압록강", "task": "t"}]
    template = [
        {**quiz[0], "id": f"t{n}", "messages": [{"role": "user", "content": "9 더하기 1은?"}]} for n in range(3)
    ]
    write_jsonl(tmp_path / "landing/r1/benchmarks/history.jsonl", [{"id": "k1", "text": item}])
    write_jsonl(tmp_path / "landing/r1/benchmarks/quiz.jsonl", quiz + template)
    artifact = Artifact.of(run_data_stage("benchmarks", tmp_path)[0])
    landed = [
        *rows(20),
        {"instruction": "설명해 줘", "output": item},
        {"messages": [SYSTEM, {"role": "user", "content": "가장 긴  강은"}, {**ANSWER, "content": "낙동강"}]},
    ]
    write_jsonl(tmp_path / "landing/r1/instructions/a.jsonl", landed)
    pairs = [{"prompt": row["instruction"], "chosen": row["output"], "rejected": "몰라요"} for row in rows(20)]
    pairs.append({"prompt": "가장 긴 강은?", "chosen": "압록강입니다", "rejected": "몰라요"})
    write_jsonl(tmp_path / "landing/r1/preferences/a.jsonl", pairs)
    suite = Input(name="benchmarks", digest=artifact.digest, path=artifact.path)
    store = ArtifactStore(tmp_path / "artifacts")
    evidence = {}
    for stage in ("instructions", "preferences"):
        request = data_request(stage, tmp_path / "landing")
        request = request.model_copy(update={"inputs": (*request.inputs, suite)})
        manifest = run_stage(request, store, tmp_path / "landing")
        excluded = read_jsonl(store.folder(request) / "exclusions.jsonl")
        assert {row["reason"]: len(excluded) for row in excluded} == manifest.details.excluded
        evidence[stage] = {row["line"]: row["detail"] for row in excluded}
    assert evidence["instructions"].keys() == {21, 22}
    assert evidence["instructions"][21].startswith("history:k1: 훈민정음은")
    assert evidence["instructions"][22] == "quiz:k2: 가장 긴  강은"
    assert evidence["preferences"] == {21: "quiz:k2: 가장 긴 강은?"}


def test_a_rows_weight_and_level_travel_with_it_and_wrong_ones_are_refused():
    row = {"instruction": "수도가 어디야?", "output": "서울입니다."}
    kept = conversation({**row, "weight": 2.5, "honorific": "formal"})
    assert (kept["weight"], kept["honorific"]) == (2.5, "formal")
    assert conversation({**row, "weight": None}).keys() == {"messages"}
    for wrong in ({"weight": 0}, {"weight": "2"}, {"weight": float("nan")}, {"honorific": "royal"}):
        with pytest.raises(Unusable, match=r"bad_weight|unknown_honorific"):
            conversation({**row, **wrong})
