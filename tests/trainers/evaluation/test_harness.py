"""lm_eval, offline on our own files: its figures are ours, its pins hold."""

import json
from pathlib import Path

import pytest
from jinja2.sandbox import SecurityError

from tests.support.lm_eval_tasks import local_task
from tests.support.toy import sentences
from trainers.benchmarks.formats import MultipleChoice, Suite
from trainers.contract import BadRequest
from trainers.contract.digests import tree_digest
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
    theirs, _ = run_tasks(model, {"mine": landed_pin(include)}, include, None)
    suite = Suite("mine", "multiple_choice", tuple(MultipleChoice(**item, score=score) for item in items))
    ours = {row.item: row.value for row in measure_suite(model, suite)}
    assert {row.item: row.value for row in theirs if row.suite == f"lm_eval/mine/{metric}"} == ours


def landed_pin(include):
    return f"landed@{tree_digest(include)[:16]}"


@pytest.mark.slow
def test_a_task_of_a_drop_runs_only_as_it_was_reviewed(model, suite_file, tmp_path):
    include = tmp_path / "lm_eval"
    include.mkdir()
    (include / "items.jsonl").write_bytes(suite_file.read_bytes())
    (include / "mine.yaml").write_text(json.dumps(local_task("my_task", Path("items.jsonl"))))
    for pin in ("", "1.0@other", "landed@0123456789abcdef"):
        with pytest.raises(BadRequest, match=rf"'my_task'\] came with .* pin them as '{landed_pin(include)}'"):
            run_tasks(model, {"my_task": pin}, include, None)
    reviewed = {"my_task": landed_pin(include)}
    assert run_tasks(model, reviewed, include, None)[1] == reviewed
    (include / "items.jsonl").write_text("{}")
    with pytest.raises(BadRequest, match="pin them as"):
        run_tasks(model, reviewed, include, None)


@pytest.mark.slow
def test_a_template_of_a_drop_reaches_nothing_of_pythons(model, suite_file, tmp_path):
    include = tmp_path / "lm_eval"
    include.mkdir()
    template = "{{ cycler.__init__.__globals__.os.system('touch %s') }}" % (tmp_path / "ran")
    task = {**local_task("my_task", suite_file), "doc_to_text": template}
    (include / "mine.yaml").write_text(json.dumps(task))
    with pytest.raises(SecurityError):
        run_tasks(model, {"my_task": landed_pin(include)}, include, None)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_an_unknown_task_is_named(model, tmp_path):
    with pytest.raises(BadRequest, match="'korean_riddles'"):
        run_tasks(model, {"korean_riddles": ""}, tmp_path / "none", None)
