"""Instructions that a program can check, from a landed file to the gate: every kind of check, met and missed."""

from tests.support.corpus_landing import run_data_stage, write_jsonl
from tests.support.scripted_replies import Replies
from trainers.benchmarks.formats import read_suites
from trainers.contract.recipe import GateSection
from trainers.evaluation.gate import VERIFIED, apply_gate
from trainers.evaluation.measures import measure_suite
from trainers.evaluation.results import Results

ASKED = [  # (check, a reply that meets it, one that does not)
    ({"kind": "json", "value": True}, '{"도시": "부산"}', "도시: 부산"),
    ({"kind": "list_items", "value": 2}, "- 사과\n- 배", "사과와 배"),
    ({"kind": "max_characters", "value": 10}, "부산입니다.", "부산은 바닷가에 있는 아주 큰 도시입니다."),
    ({"kind": "level", "value": "해요체"}, "비가 와요. 우산을 챙기세요.", "비가 온다. 우산을 챙겨라."),
    ({"kind": "level", "value": "합쇼체"}, "비가 옵니다.", "비가 와요."),
    ({"kind": "language", "value": "ko"}, "가을 하늘은 높습니다.", "The autumn sky is high."),
    ({"kind": "forbidden", "value": ["바보"]}, "그런 말은 쓰지 않겠습니다.", "바보라고 하세요."),
]


def test_verifiable_instructions_are_judged_kind_by_kind_and_held_to_the_recipe(tmp_path):
    user = [{"role": "user", "content": "시킨 대로 답하세요."}]
    rows = [{"id": f"v{n}", "messages": user, "checks": [check]} for n, (check, _, _) in enumerate(ASKED)]
    write_jsonl(tmp_path / "landing/r1/benchmarks/follow.jsonl", rows)
    _, folder = run_data_stage("benchmarks", tmp_path)
    (suite,) = read_suites(folder, "all", None)
    good = [meets for _, meets, _ in ASKED]
    bad = [misses for _, _, misses in ASKED]
    measured = {
        "sft": measure_suite(Replies(good), suite),
        "rlhf": measure_suite(Replies(bad[:1] + good[1:-1] + bad[-1:]), suite),
    }
    results = Results(measured, {VERIFIED: ["follow"]}, seed=1)
    assert results.figure("follow", "sft").value == 1
    assert all(row.value == 0 for row in measure_suite(Replies(bad), suite))
    assert {suite: results.figure(suite, "rlhf").value for suite in results.suites if "/" in suite} == {
        "all/verified": round(5 / 7, 6), "follow/forbidden": 0, "follow/json": 0, "follow/language": 1,
        "follow/level": 1, "follow/list_items": 1, "follow/max_characters": 1,
    }  # fmt: skip
    limits = {"follow/forbidden": 1, "follow/level": 1}
    gate = GateSection(instruction_following=0.9, suites=limits, text_bits_per_byte_rise=None)
    judged = {result.name: result for result in apply_gate(gate, results, [])}
    failed = {"instruction_following", "suite_limit/follow/forbidden"}
    assert {name for name, result in judged.items() if not result.passed} == failed
    assert "follows 71.4% of 7 verifiable instructions" in judged["instruction_following"].explanation
    assert "18.6 points short" in judged["instruction_following"].explanation
