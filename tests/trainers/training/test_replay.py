"""Replay: pre-training text beside each step keeps what CPT taught, whatever the stage and its algorithm."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.micro import Micro, texts
from trainers.contract.recipe import ReplaySettings, RlhfSection
from trainers.training.data.rows import PackedCollator
from trainers.training.replay import TextReplay

SAMPLING = {"rewards": ["format"], "generations": 2, "completion_length": 4}
ALGORITHMS = [
    pytest.param({}, id="dpo"),
    pytest.param({"algorithm": "kto"}, id="kto", marks=pytest.mark.prove),
    pytest.param({"algorithm": "orpo"}, id="orpo", marks=pytest.mark.prove),
    pytest.param({"algorithm": "grpo", "sampling": SAMPLING}, id="grpo", marks=pytest.mark.prove),
    pytest.param({"algorithm": "rloo", "sampling": SAMPLING}, id="rloo", marks=pytest.mark.prove),
]


@pytest.fixture(scope="module")
def micro(tmp_path_factory):
    micro = Micro(tmp_path_factory.mktemp("replay"))
    micro.here("base_model")
    micro.here("cpt", max_steps=40)
    return micro


def held_out_loss(folder: Path) -> float:
    """Nats a token of text that nothing was trained on."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer(text, return_tensors="pt")["input_ids"][:, :100] for _, text in texts(10, seed=2)]
    with torch.no_grad():
        return float(sum(model(ids, labels=ids).loss for ids in rows)) / len(rows)


def replay_losses(micro: Micro, asset: str) -> list[float]:
    lines = (micro.folder(asset) / "history.jsonl").read_text().splitlines()
    return [row["replay_loss"] for row in map(json.loads, lines) if "loss" in row]


@pytest.mark.slow
def test_sft_keeps_the_language_that_it_loses_without(micro):
    full = {"method": "full", "lora": None, "max_steps": 16, "learning_rate": 1e-2}
    losses, manifests = {}, {}
    for name, replay in {"without": None, "with": {"rows": 2}}.items():
        manifests[name] = micro.here("sft", **full, replay=replay)
        losses[name] = held_out_loss(micro.folder("sft_model") / "model")
    before = held_out_loss(micro.folder("cpt_checkpoint") / "model")
    assert losses["with"] < before * 1.05 < before * 1.15 < losses["without"], (before, losses)
    assert len(replay_losses(micro, "sft_model")) == 16
    assert manifests["with"].details.packing["replay_rows"] >= 2
    seen = [manifest.details.tokens_seen for manifest in manifests.values()]
    assert seen[0] == seen[1], "of the stage's own rows"


@pytest.mark.slow
@pytest.mark.parametrize("changes", ALGORITHMS)
def test_each_algorithm_learns_beside_the_text(micro, changes):
    micro.made.setdefault("sft_model", micro.made["cpt_checkpoint"].model_copy(update={"name": "sft_model"}))
    micro.here("rlhf", **changes, max_steps=4, replay={"rows": 3})
    losses = replay_losses(micro, "rlhf_model")
    assert len(losses) == 4 and all(0 < loss < 10 for loss in losses)


def test_rows_follow_from_the_step_and_the_process(monkeypatch):
    rows = Dataset.from_list([{"input_ids": [number], "lengths": [1]} for number in range(7)])
    replay = TextReplay(rows, PackedCollator(0), ReplaySettings(rows=3), {})

    def of(step: int, size: int = 2) -> list[list[int]]:
        return [[row["input_ids"][0] for row in batch] for batch in replay._batches(step, size)]

    assert of(0) == [[0, 1], [2]]
    assert of(2) == [[6, 0], [1]], "after the last row comes the first"
    assert of(2) == of(2), "a resumed training sees what it would have seen"
    assert of(0, size=8) == [[0, 1, 2]]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert of(0) == [[0, 1], [2]]
    monkeypatch.setenv("RANK", "1")
    assert of(0) == [[3, 4], [5]], "another process has other rows"


def test_the_gradient_is_the_mean_of_the_rows_times_the_weight_however_many_fit_at_once():
    table = torch.nn.Parameter(torch.arange(16.0).reshape(4, 4).sin())

    def model(input_ids, labels, position_ids, use_cache):
        losses = [torch.nn.functional.cross_entropy(table[ids[:-1]], ids[1:]) for ids in input_ids]
        return SimpleNamespace(loss=torch.stack(losses).mean())

    def gradient(size: int) -> torch.Tensor:
        trainer = SimpleNamespace(
            state=SimpleNamespace(global_step=0),
            args=SimpleNamespace(per_device_train_batch_size=size),
            accelerator=SimpleNamespace(backward=lambda loss: loss.backward()),
            _prepare_input=lambda batch: batch,
            compute_loss_context_manager=nullcontext,
        )
        table.grad = None
        assert replay.backward(trainer, model) == pytest.approx(float(whole))
        return table.grad

    rows = [[0, 1, 2], [1, 2, 3], [3, 0, 1]]
    stored = Dataset.from_list([{"input_ids": ids, "lengths": [3]} for ids in rows])
    replay = TextReplay(stored, PackedCollator(0), ReplaySettings(rows=3, weight=0.5), {})
    whole = model(torch.tensor(rows), None, None, False).loss
    (wanted,) = torch.autograd.grad(whole, table)
    for size in (1, 2, 3):
        torch.testing.assert_close(gradient(size), wanted / 2)


def test_a_reward_model_predicts_no_text_to_keep():
    section = {"algorithm": "reward_model", "learning_rate": 1e-3, "lora": {}, "replay": {"rows": 1}}
    with pytest.raises(ValidationError, match="would ignore the key 'replay'"):
        RlhfSection.model_validate(section)
