"""What runs where: two processes whose device is told apart from their host, as a GPU is (tests/support/told_apart.py).

DPO with adapters, sharded: the figures before, the steps, the evaluation and the end of the stage.
"""

import pytest
import torch

from tests.support.micro import Micro
from tests.support.told_apart import DEVICE, FAULT, HOST, NOTES, Asked, Places, is_there, notes_in

DPO = {"max_steps": 2, "checkpoint_steps": 10, "shard_weights": True}


def test_a_tensor_stays_where_it_was_brought_to():
    places = Places()
    with Asked(places), places:
        host, weight = torch.ones(2, 3), torch.ones(3, 3).to(DEVICE).requires_grad_()
        there = host.to(DEVICE)
        assert (host.device, there.device, weight.device) == (HOST, DEVICE, DEVICE)
        (there @ weight).sum().backward()
        assert weight.grad.device == there[0].view(3).device == torch.zeros_like(there).device == DEVICE
        assert torch.tensor([1], device=weight.device).device == (there * 2).device == DEVICE
        assert there.cpu().device == there.to("cpu").device == torch.zeros(2).device == HOST
        assert there.to(torch.float64).device == torch.empty(2, device=DEVICE).device == DEVICE
        assert float((there * torch.tensor(2.0)).sum()) == 12, "a number of the host goes with all"
        host.copy_(there)
        assert not is_there(host) and is_there(there.to(there))
        for wrong in (lambda: host @ weight, lambda: there + host, lambda: torch.cat([there, host])):
            with pytest.raises(RuntimeError, match="found at least two devices"):
                wrong()


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Micro:
    return Micro.with_stand_ins(tmp_path_factory.mktemp("micro"))


def run(micro, notes, fault="", **changes) -> tuple[int, str]:
    """(exit code, its output) of DPO on two processes; forward passes are counted in `notes`."""
    request = micro.request("rlhf", **DPO | changes)
    more = {NOTES: str(notes), FAULT: fault}
    process = micro.start(request, 2, program="tests.support.told_apart", **more)
    try:
        output, _ = process.communicate(timeout=900)
    finally:
        process.kill()
    return process.returncode, output


@pytest.mark.slow
@pytest.mark.prove
def test_a_sharded_dpo_computes_on_its_device_alone(micro, tmp_path):
    code, output = run(micro, tmp_path)
    assert code == 0, output
    leader, follower = (notes_in(tmp_path, rank) for rank in (0, 1))
    for phases in (leader, follower):
        assert phases["set_up"]["device"] > 0 and "host" not in phases["set_up"], "the accuracy before, in the shards"
        assert phases["training"]["device"] > 0 and "host" not in phases["training"], "steps and evaluation"
    assert leader["publishing"]["device"] > 0 and "host" not in leader["publishing"]
    assert "publishing" not in follower


@pytest.mark.slow
@pytest.mark.prove
@pytest.mark.parametrize("fault", ("reference_before_sharding", "accuracy_before_sharding", "end_on_the_host"))
def test_a_model_or_a_batch_in_the_wrong_place_is_seen(micro, tmp_path, fault):
    """Each of the faults that the product once had. Its rate makes it a request of its own: nothing is reused."""
    code, output = run(micro, tmp_path, fault, learning_rate=1e-3 + len(fault) * 1e-6)
    if fault == "reference_before_sharding":
        assert code and "found at least two devices" in output, output
        return
    assert code == 0, output
    phases = notes_in(tmp_path, 0)
    if fault == "accuracy_before_sharding":
        assert phases["set_up"]["host"] > 0 and "device" not in phases["set_up"], phases
    else:
        assert phases["publishing"]["host"] > 0 and "device" not in phases["publishing"], phases
