"""The same rows a step give the same weights, however they are fed: micro-batches, processes, shards (FSDP2), rings.

Sharding that does not come on is refused (trainers/training/loop.py), so none of these compares DDP with DDP.

Tolerance: float32 sums in another order differ in the last bits, and AdamW divides by the root of small numbers.
"""

from functools import cache

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
TOLERANCE = 5e-4
STEPS = {"max_steps": 5, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def eight_at_once(started):
    return cache(lambda stage, *changes: weights(started, stage, batch_size=8, accumulation=1, **dict(changes)))


def weights(micro, stage, processes=1, **changes):
    before = dict(micro.made)
    layout = {"layout": "buckets"} if stage == "sft" else {}
    manifest = micro.run(stage, processes, **STEPS, **layout, **changes)
    micro.made = before  # what stands in for the stages before goes on doing so
    trained = "reward_model" if changes.get("algorithm") == "reward_model" else "model"
    return load_file(micro.store.folder(manifest.request) / trained / "model.safetensors"), manifest


SHARDED = {"batch_size": 4, "shard_weights": True}
SHARING = {"batch_size": 8, "shard_weights": True, "context_parallel": 2}
ROWS = ("layout", "rows")
FROZEN_ROWS = ("shard_weights", True)
"""In a section that shards no single row of the embeddings learns (sft.py), on one process neither."""
REWARD_MODEL = ("algorithm", "reward_model")


@pytest.mark.parametrize(
    ("stage", "processes", "changes", "same"),
    (
        pytest.param("cpt", 1, {"batch_size": 1, "accumulation": 8}, (), id="cpt, 1 x 8", marks=pytest.mark.prove),
        pytest.param("cpt", 2, {"batch_size": 4}, (), id="cpt, 2 processes x 4", marks=pytest.mark.prove),
        pytest.param("cpt", 2, SHARDED, (), id="cpt, 2 processes, sharded"),
        pytest.param("cpt", 2, SHARING, (ROWS,), id="cpt, 2 processes share rows", marks=pytest.mark.prove),
        pytest.param("sft", 2, SHARING, (FROZEN_ROWS,), id="sft, 2 processes share rows", marks=pytest.mark.prove),
        pytest.param("sft", 1, {"batch_size": 1, "accumulation": 8}, (), id="sft, 1 x 8", marks=pytest.mark.prove),
        pytest.param("sft", 2, {"batch_size": 4}, (), id="sft, 2 processes x 4", marks=pytest.mark.prove),
        pytest.param("sft", 2, SHARDED, (FROZEN_ROWS,), id="sft, 2 processes, sharded", marks=pytest.mark.prove),
        pytest.param("rlhf", 1, {"batch_size": 1, "accumulation": 8}, (), id="dpo, 1 x 8", marks=pytest.mark.prove),
        pytest.param("rlhf", 2, {"batch_size": 4}, (), id="dpo, 2 processes x 4"),
        pytest.param("rlhf", 2, SHARDED, (), id="dpo, 2 processes, sharded", marks=pytest.mark.prove),
        pytest.param(
            "rlhf", 2, SHARDED, (REWARD_MODEL,), id="reward model, 2 processes, sharded", marks=pytest.mark.prove
        ),
    ),
)
def test_eight_rows_a_step_are_eight_rows_a_step(micro, eight_at_once, stage, processes, changes, same):
    expected, reference = eight_at_once(stage, *same)
    trained, manifest = weights(micro, stage, processes, **{**changes, **dict(same)})
    assert trained.keys() == expected.keys()
    assert max(float((trained[name] - expected[name]).abs().max()) for name in trained) < TOLERANCE
    assert manifest.details.tokens_trained == reference.details.tokens_trained
    torch.testing.assert_close(manifest.details.loss, reference.details.loss, rtol=1e-3, atol=1e-3)


def test_one_process_takes_the_steps_that_a_request_for_two_counts(micro, eight_at_once):
    """A recipe for two GPUs on a machine with one: the same request, the same model."""
    expected, reference = eight_at_once("cpt")
    manifest = micro.here("cpt", batch_size=4, processes=2, **STEPS)
    trained = load_file(micro.store.folder(manifest.request) / "model" / "model.safetensors")
    assert max(float((trained[name] - expected[name]).abs().max()) for name in trained) < TOLERANCE
    assert manifest.details.tokens_trained == reference.details.tokens_trained


def test_sharding_that_does_not_come_on_is_refused(micro):
    request = micro.request("cpt", max_steps=1, **SHARDED)  # made by no other test: what is there is not made again
    output, _ = (process := micro.start(request, 2, program="trainers")).communicate(timeout=300)
    assert process.returncode and "shard_weights: true, but FSDP does not come on here" in output
