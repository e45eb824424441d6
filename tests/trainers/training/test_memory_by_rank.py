"""What each of two sharding processes takes of the host, phase by phase, against the planner; and of its /tmp: nothing.

On a CPU the planner's GPUs lie on the host, too: each one's share of the weights, and what the leader publishes from.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.micro import SECTIONS, Micro
from tests.support.watched_ranks import NOTES, notes_in
from trainers.contract.memory import Setting, host_memory, learning_weights
from trainers.contract.model_shape import Shape
from trainers.contract.recipe import CptSection

pytestmark = [pytest.mark.slow, pytest.mark.prove]
SIZES = {"hidden_size": 1024, "layers": 4, "heads": 8, "kv_heads": 8, "intermediate_size": 4096, "max_length": 128}
LORA = {"method": "lora", "lora": {"rank": 4, "alpha": 8}, "precision": "bfloat16", "shard_weights": True}
STEPS = {"batch_size": 1, "max_length": 32, "max_steps": 2, "checkpoint_steps": 1}
NOISE = 30e6
"""Of what allocator and libraries take beside the weights."""


def in_bfloat16(folder):
    path = folder / "model" / "model.safetensors"
    save_file({name: weight.to(torch.bfloat16) for name, weight in load_file(path).items()}, path, {"format": "pt"})
    config = folder / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "bfloat16"}))


def test_the_host_holds_what_the_planner_says(tmp_path):
    base = {"source": "built", "architecture": SIZES, "vocabulary": 500}
    micro = Micro(tmp_path, sections={**SECTIONS, "base_model": base})
    micro.here("base_model")
    micro.change("base_model", in_bfloat16)
    request = micro.request("cpt", **STEPS, **LORA)
    process = micro.start(request, 2, program="tests.support.watched_ranks", **{NOTES: str(tmp_path / "notes")})
    output, _ = process.communicate()
    assert process.returncode == 0, output
    notes = notes_in(tmp_path / "notes")
    leader, follower = ({took.phase: took for took in notes if took.rank == rank} for rank in (0, 1))
    assert [*leader] == [*follower] == ["imports", "set_up", "training", "publishing"]

    section = CptSection.model_validate(request.section)
    shape = Shape.of_config(json.loads((micro.folder("base_model") / "model" / "config.json").read_text()))
    setting = Setting.of(section, 2)
    planned = host_memory(shape, setting, sharded=True)
    processes = planned["training"] - 2 * 4 * learning_weights(shape, setting)
    read, published = planned["set_up"] - processes, planned["publishing"] - processes / 2
    share = 2 * shape.weights / 2

    most = max(took["set_up"].peak - took["set_up"].began for took in (leader, follower))
    assert 0.85 * (read + share) < most < 1.15 * (read + share) + NOISE, (most, read, share)
    added = leader["publishing"].peak - leader["publishing"].began
    assert published - NOISE < added < 1.15 * (published + 2 * shape.weights) + NOISE, (added, published)
    assert follower["publishing"].peak - follower["publishing"].began < NOISE, "it publishes nothing"
    # torch leaves frozen weights out by one name each; tied embeddings have two.
    learning = 4 * learning_weights(shape, setting) + 2 * shape.embedding_weights
    for phase in ("training", "publishing"):
        assert leader[phase].gathered == pytest.approx(learning, rel=0.01), "what is frozen is gathered nowhere"
    assert {took.gathered for took in follower.values()} == {took.tmp for took in notes} == {0}
