"""lm_eval, offline on our own files: its figures are ours, its pins hold."""

import json
from pathlib import Path

import pytest

from tests.support.lm_eval_tasks import local_task
from tests.support.toy import sentences
from trainers.benchmarks.formats import MultipleChoice, Suite
from trainers.contract import BadData, BadRequest
from trainers.evaluation.harness import run_tasks
from trainers.evaluation.measures import measure_suite
from trainers.evaluation.model import ModelUnderTest


@pytest.fixture(scope="module")
def model(model_folder):
    return ModelUnderTest(model_folder, max_length=64, batch_tokens=512)


@pytest.fixture(scope="module")
def items():
    texts = sentences(24, seed=21)
    return [
        {"id": str(n), "question": text, "choices": ["바다", "하늘 구름", "학교"], "answer": n % 3}
        for n, text in enumerate(texts)
    ]


@pytest.fixture
def suite_file(tmp_path, items, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("score", "metric"), [("sum", "acc"), ("per_character", "acc_norm")])
def test_lm_eval_gives_our_figures_item_by_item(model, items, suite_file, tmp_path, score, metric):
    include = tmp_path / "lm_eval"
    include.mkdir()
    (include / "mine.yaml").write_text(json.dumps(local_task("mine", suite_file)))
    theirs, _ = run_tasks(model, {"mine": ""}, include, None)
    suite = Suite("mine", "multiple_choice", tuple(MultipleChoice(**item, score=score) for item in items))
    ours = {row.item: row.value for row in measure_suite(model, suite)}
    assert {row.item: row.value for row in theirs if row.suite == f"lm_eval/mine/{metric}"} == ours


@pytest.mark.slow
def test_a_task_of_ones_own_is_found_and_pinned(model, suite_file, tmp_path):
    include = tmp_path / "lm_eval"
    include.mkdir()
    (include / "items.jsonl").write_bytes(suite_file.read_bytes())
    (include / "mine.yaml").write_text(json.dumps(local_task("my_task", Path("items.jsonl"))))
    _, pins = run_tasks(model, {"my_task": ""}, include, None)
    version, digest = pins["my_task"].split("@")
    assert version == "1.0" and len(digest) == 16
    assert run_tasks(model, pins, include, None)[1] == pins
    with pytest.raises(BadData, match=f"is {pins['my_task']}, but the recipe pins 1.0@other"):
        run_tasks(model, {"my_task": "1.0@other"}, include, None)


@pytest.mark.slow
def test_an_unknown_task_is_named(model, tmp_path):
    with pytest.raises(BadRequest, match="'korean_riddles'"):
        run_tasks(model, {"korean_riddles": ""}, tmp_path / "none", None)
