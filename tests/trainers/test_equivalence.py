"""The same rows a step give the same weights, however they are fed: micro-batches, processes.

Tolerance: float32 sums in another order differ in the last bits, and AdamW divides by the root of small numbers.
"""

import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.micro import Micro

pytestmark = pytest.mark.slow
TOLERANCE = 5e-4
STEPS = {"max_steps": 5, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Micro:
    micro = Micro(tmp_path_factory.mktemp("micro"))
    micro.run("base_model")
    return micro


@pytest.fixture(scope="module")
def eight_at_once(micro):
    return weights(micro, batch_size=8, accumulation=1)


def weights(micro, processes=1, **changes):
    manifest = micro.run("cpt", processes, **STEPS, **changes)
    return load_file(micro.store.folder(manifest.request) / "model" / "model.safetensors"), manifest


@pytest.mark.parametrize(
    ("processes", "changes"),
    (
        pytest.param(1, {"batch_size": 1, "accumulation": 8}, id="1 x 8 micro-batches", marks=pytest.mark.prove),
        pytest.param(2, {"batch_size": 4, "accumulation": 1}, id="2 processes x 4"),
        pytest.param(
            2, {"batch_size": 4, "shard_weights": True}, id="2 processes x 4, sharded", marks=pytest.mark.prove
        ),
    ),
)
def test_eight_rows_a_step_are_eight_rows_a_step(micro, eight_at_once, processes, changes):
    expected, reference = eight_at_once
    found, manifest = weights(micro, processes, **changes)
    assert found.keys() == expected.keys()
    assert max(float((found[name] - expected[name]).abs().max()) for name in found) < TOLERANCE
    assert manifest.details.tokens_trained == reference.details.tokens_trained
    torch.testing.assert_close(manifest.details.loss, reference.details.loss, rtol=1e-3, atol=1e-3)
