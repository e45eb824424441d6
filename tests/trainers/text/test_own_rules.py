"""A user's own filter rules, through the real corpus stage, in this process and in workers."""

import pytest

from tests.support.corpus_landing import data_request, read_jsonl, run_data_stage, write_jsonl
from tests.support.plugins import FOLDER
from trainers.contract import BadRequest
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.shards import read_shards
from trainers.runner.stage import run_stage
from trainers.text.own_rules import own_verdicts

RULE = "korean_extras.rules:too_many_ads"
PLACES = [
    "봄에는 산에 꽃이 피고",
    "여름에는 바다에 사람이 모이고",
    "가을에는 들판이 노랗게 물들고",
    "겨울에는 마을에 눈이 쌓이고",
]
TEXTS = [f"{place} 아이들이 {n}번째 골목에서 놀다가 저녁이 되면 집으로 갔습니다." for n, place in enumerate(PLACES)]
AD = "오늘만 무료 쿠폰! 이 광고를 보신 분께 특가로 드립니다. 문의는 010-1234-5678로 주세요."


@pytest.fixture
def landing(tmp_path, monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate([*TEXTS, AD])]
    write_jsonl(tmp_path / "landing/r1/corpus/a.jsonl", rows)
    return tmp_path


@pytest.mark.parametrize("pooled", (False, True))
def test_a_rule_of_a_plugin_excludes_by_its_name(landing, monkeypatch, pooled):
    monkeypatch.setattr("trainers.corpus.chain._pool_size", lambda plan, workers: int(pooled))
    manifest, folder = run_data_stage("corpus", landing, filter={"rules": [RULE]})
    assert manifest.details.excluded == {RULE: 1}
    (row,) = read_jsonl(folder / "exclusions.jsonl.zst")
    assert (row["id"], row["reason"], row["detail"]) == ("d4", RULE, "무료, 광고, 특가, 쿠폰")
    kept = {row["id"] for part in ("train", "validation") for row in read_shards(folder / part)}
    assert kept == {"d0", "d1", "d2", "d3"}
    plain, _ = run_data_stage("corpus", landing)
    assert plain.details.excluded == {} and plain.request_digest != manifest.request_digest


@pytest.mark.parametrize("pooled", (False, True))
def test_a_rule_that_fails_is_named_with_the_document(landing, monkeypatch, pooled):
    monkeypatch.setattr("trainers.corpus.chain._pool_size", lambda plan, workers: int(pooled))
    with pytest.raises(BadRequest, match=r"korean_extras\.rules:fails_on_rain fails on a\.jsonl:1: ValueError"):
        run_data_stage("corpus", landing, filter={"rules": ["korean_extras.rules:fails_on_rain"]})


def test_the_stage_refuses_code_that_is_not_that_of_the_request(landing):
    request = data_request("corpus", landing / "landing", filter={"rules": [RULE]})
    for digests in ({}, {RULE: "0" * 64}):
        other = request.model_copy(update={"plugins": digests})
        with pytest.raises(BadRequest, match=r"filter\.rules names 'korean_extras.*is not that of the request"):
            run_stage(other, ArtifactStore(landing / "artifacts"), landing / "landing")


def test_the_stage_refuses_code_from_a_drop(landing, monkeypatch):
    drop = landing / "landing/r1/corpus"
    (drop / "evil.py").write_text("def rule(text): return True")
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(drop))
    with pytest.raises(BadRequest, match="where data lies: code is never taken from there"):
        run_data_stage("corpus", landing, filter={"rules": ["evil:rule"]})


def test_a_rule_sees_no_personal_data(landing):
    seen = []
    assert own_verdicts(["가"], {"m:f": lambda text: seen.append(text)}, ["a:1"]) == [None] and seen == ["가"]
    _, folder = run_data_stage("corpus", landing, filter={"rules": ["korean_extras.rules:echoes_numbers"]})
    (row,) = read_jsonl(folder / "exclusions.jsonl.zst")
    assert row["detail"].endswith("[PHONE]로 주세요.") and "1234" not in row["detail"]


@pytest.mark.parametrize(("answer", "verdict"), ((None, None), (False, None), ("", None), (True, ""), ("왜", "왜")))
def test_answers_of_a_rule(answer, verdict):
    expected = None if verdict is None else ("m:f", verdict)
    assert own_verdicts(["글"], {"m:f": lambda text: answer}, ["a:1"]) == [expected]


def test_the_first_rule_that_excludes_is_the_reason_and_odd_answers_are_refused():
    rules = {"m:no": lambda text: None, "m:first": lambda text: True, "m:second": lambda text: 1 / 0}
    assert own_verdicts(["글"], rules, ["a:1"]) == [("m:first", "")]
    with pytest.raises(BadRequest, match=r"m:odd answers 3 on a:1; it must be a text"):
        own_verdicts(["글"], {"m:odd": lambda text: 3}, ["a:1"])
