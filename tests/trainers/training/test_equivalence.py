"""The same rows a step give the same weights, however they are fed: micro-batches, processes.

Tolerance: float32 sums in another order differ in the last bits, and AdamW divides by the root of small numbers.
"""

from functools import cache

import pytest
import torch
from safetensors.torch import load_file

from tests.support.micro import Micro

pytestmark = pytest.mark.slow
TOLERANCE = 5e-4
STEPS = {"max_steps": 5, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Micro:
    return Micro.with_stand_ins(tmp_path_factory.mktemp("micro"))


@pytest.fixture(scope="module")
def eight_at_once(micro):
    return cache(lambda stage: weights(micro, stage, batch_size=8, accumulation=1))


def weights(micro, stage, processes=1, **changes):
    before = dict(micro.made)
    layout = {"layout": "buckets"} if stage == "sft" else {}
    manifest = micro.run(stage, processes, **STEPS, **layout, **changes)
    micro.made = before  # what stands in for the stages before goes on doing so
    return load_file(micro.store.folder(manifest.request) / "model" / "model.safetensors"), manifest


@pytest.mark.parametrize(
    ("stage", "processes", "changes"),
    (
        pytest.param("cpt", 1, {"batch_size": 1, "accumulation": 8}, id="cpt, 1 x 8", marks=pytest.mark.prove),
        pytest.param("cpt", 2, {"batch_size": 4}, id="cpt, 2 processes x 4"),
        pytest.param(
            "cpt", 2, {"batch_size": 4, "shard_weights": True}, id="cpt, 2 processes, sharded", marks=pytest.mark.prove
        ),
        pytest.param("sft", 1, {"batch_size": 1, "accumulation": 8}, id="sft, 1 x 8", marks=pytest.mark.prove),
        pytest.param("sft", 2, {"batch_size": 4}, id="sft, 2 processes x 4", marks=pytest.mark.prove),
        pytest.param("rlhf", 1, {"batch_size": 1, "accumulation": 8}, id="dpo, 1 x 8", marks=pytest.mark.prove),
        pytest.param("rlhf", 2, {"batch_size": 4}, id="dpo, 2 processes x 4"),
    ),
)
def test_eight_rows_a_step_are_eight_rows_a_step(micro, eight_at_once, stage, processes, changes):
    expected, reference = eight_at_once(stage)
    trained, manifest = weights(micro, stage, processes, **changes)
    assert trained.keys() == expected.keys()
    assert max(float((trained[name] - expected[name]).abs().max()) for name in trained) < TOLERANCE
    assert manifest.details.tokens_trained == reference.details.tokens_trained
    torch.testing.assert_close(manifest.details.loss, reference.details.loss, rtol=1e-3, atol=1e-3)
