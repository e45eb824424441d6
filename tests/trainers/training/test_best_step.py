"""With `keep: best` the weights of the lowest held-out loss are published, however the training was interrupted."""

import pytest

from tests.support.micro import COMMON
from trainers.contract import BadData
from trainers.training import loop
from trainers.training.best_step import lowest

pytestmark = pytest.mark.slow
STEADY = {"schedule": "constant_with_warmup", "warmup_share": 0, "checkpoint_steps": 50}
"""Rates that do not follow from the number of steps: a shorter training begins like a longer one."""
WORSENING = {
    "cpt": {**STEADY, "learning_rate": 0.5, "max_steps": 9, "evaluation_steps": 2},
    "sft": {**STEADY, "learning_rate": 0.3, "max_steps": 9, "evaluation_steps": 2},
}


def weights(manifest):
    return {file.path: file.sha256 for file in manifest.files if "history" not in file.path}


def test_the_lowest_loss_is_the_earliest_of_equals():
    history = [{"step": 1, "loss": 0.1}, *({"step": step, "eval_loss": loss} for step, loss in ((2, 3.0), (4, 2.0)))]
    assert lowest(history) == (2.0, 4)
    assert lowest([*history, {"step": 6, "eval_loss": 2.0}, {"step": 8, "eval_loss": float("nan")}]) == (2.0, 4)
    assert lowest(history[:1]) is None


@pytest.mark.parametrize("stage", WORSENING)
def test_weights_of_the_best_step_are_those_of_a_training_that_ends_there(micro, stage):
    """cpt trains every weight, sft adapters and one row of the embeddings."""
    best = micro.here(stage, **WORSENING[stage], keep="best")
    curve = dict(best.details.evaluation_loss)
    step = best.details.best_step
    assert [*curve] == [2, 4, 6, 8, 9], "the last step is measured, too"
    assert curve[step] == min(curve.values()) == best.metrics["evaluation_loss"]
    assert step < best.details.steps == 9
    last = micro.here(stage, **WORSENING[stage])
    there = micro.here(stage, **{**WORSENING[stage], "max_steps": step})
    assert weights(best) == weights(there) != weights(last)
    assert last.details.best_step is None


@pytest.mark.prove
def test_weights_that_are_shared_out_go_back_to_the_best_step(micro):
    """FSDP2 over two processes: each loads its part of what was kept; a step has as many rows as above."""
    sharded = {**WORSENING["cpt"], "shard_weights": True, "batch_size": COMMON["batch_size"] // 2}
    best = micro.run("cpt", 2, **sharded, keep="best")
    step = best.details.best_step
    assert step < best.details.steps == 9
    there = micro.run("cpt", 2, **{**sharded, "max_steps": step})
    assert weights(best) == weights(there)


def test_a_training_that_is_interrupted_publishes_the_same_step(micro, crash_after):
    """Killed long after the best step, whose checkpoint two newer ones must not push out."""
    keys = {**WORSENING["sft"], "keep": "best", "checkpoint_steps": 1, "weight_decay": 0.01}
    straight = micro.here("sft", **keys)
    keys["failure_hours"] = 23
    with crash_after(8):
        micro.here("sft", **keys)
    again = micro.here("sft", **keys)
    assert again.attempts[-1].resumed_from_step == 7
    assert again.details.best_step == straight.details.best_step < 6
    assert weights(again) == weights(straight)


def test_a_best_checkpoint_that_was_spoilt_is_not_published(micro, monkeypatch):
    keys = {**WORSENING["sft"], "keep": "best", "failure_hours": 22}
    newest = loop.go_back_to_best

    def spoil(trainer, checkpoints, say):
        (kept,) = checkpoints.folder.glob("step-*")
        weights = kept / f"checkpoint-{checkpoints.step_of(kept)}" / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"1234")
        return newest(trainer, checkpoints, say)

    monkeypatch.setattr(loop, "go_back_to_best", spoil)
    with pytest.raises(BadData, match=r"checkpoint step-\d+, which is to be published, is not whole: .*Remove"):
        micro.here("sft", **keys)
