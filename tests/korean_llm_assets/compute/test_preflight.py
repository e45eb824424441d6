"""Preflight: what cannot fit is refused with the arithmetic."""

import pytest

from korean_llm_assets.compute.preflight import check_fit
from korean_llm_assets.compute.profiles import load_profile
from trainers.contract import DoesNotFit, Needs, StageRequest

_72B = 145_400_000_000  # bytes of bf16 weights of 72.7 billion parameters
_7B = 15_200_000_000


def _request(stage: str = "sft", **section: object) -> StageRequest:
    return StageRequest(stage=stage, stage_version=1, model="m", release="r", section=section)


def test_72b_on_two_gpus_is_refused_with_the_arithmetic():
    with pytest.raises(DoesNotFit) as caught:
        check_fit(_request(), Needs(gpus=2, cpu=16, memory="100Gi"), load_profile("h100"), _72B)
    message = str(caught.value)
    assert "145.4 GB x 1.15 (lora) = 167.2 GB, but 2 x 80Gi x 0.9 = 154.6 GB; at least 3 GPUs" in message
    assert "Nothing was launched" in message


def test_72b_on_four_gpus_fits():
    check_fit(_request(), Needs(gpus=4, cpu=16, memory="100Gi"), load_profile("h100"), _72B)


def test_full_training_needs_sixteen_bytes_a_parameter():
    with pytest.raises(DoesNotFit, match=r"15\.2 GB x 8 \(full\) = 121\.6 GB, but 1 x"):
        check_fit(_request("cpt", method="full"), Needs(gpus=1), load_profile("h100"), _7B)


def test_only_training_is_spread_over_machines():
    with pytest.raises(DoesNotFit, match="2 nodes, but a stage like evaluate uses one"):
        check_fit(_request("evaluate"), Needs(gpus=16, nodes=2), load_profile("h100"))


@pytest.mark.parametrize(
    ("profile", "needs", "words"),
    [
        ("h100", Needs(gpus=9), r"9 GPUs / 1 node\(s\) = 9 per node, a h100 node has 8; at least 2 nodes"),
        ("h100", Needs(gpus=3, nodes=2), "3 GPUs cannot be divided over 2 nodes"),
        ("h100", Needs(gpus=40, nodes=5), "asks for 5 nodes, the pool has 4"),
        ("h100", Needs(nodes=2), "2 nodes but no GPU"),
        ("h100", Needs(cpu=64), "64 cores per node, a node has 60"),
        ("kind", Needs(gpus=1), "asks for 1 GPUs, the profile has none"),
        ("kind", Needs(memory="64Gi"), "64Gi of memory per node, a node has 6Gi"),
    ],
)
def test_needs_that_no_node_meets(profile: str, needs: Needs, words: str):
    with pytest.raises(DoesNotFit, match=words):
        check_fit(_request(), needs, load_profile(profile))
