"""Every algorithm of RLHF, end to end on a model of a few thousand weights, moves its own figure the right way."""

import pytest

from tests.trainers.micro import Micro

pytestmark = pytest.mark.slow
SAMPLING = {"rewards": ["language"], "generations": 8, "completion_length": 12}
# Every weight is trained: adapters over embeddings this small cannot make a model sure of anything.
ONLINE = {
    "method": "full",
    "lora": None,
    "sampling": SAMPLING,
    "batch_size": 32,
    "max_steps": 20,
    "learning_rate": 1e-2,
    "schedule": "constant_with_warmup",
    "beta": 1e-3,
}
LONGER = {"max_steps": 24, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Micro:
    micro = Micro(tmp_path_factory.mktemp("micro"))
    for stage in ("base_model", "cpt", "sft"):
        micro.run(stage)
    return micro


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    (
        pytest.param("grpo", ONLINE, id="grpo"),
        pytest.param("rloo", ONLINE, id="rloo", marks=pytest.mark.prove),
        pytest.param("kto", LONGER, id="kto", marks=pytest.mark.prove),
        pytest.param("orpo", LONGER, id="orpo", marks=pytest.mark.prove),
        pytest.param("reward_model", LONGER, id="reward_model", marks=pytest.mark.prove),
        pytest.param("dpo", LONGER, id="dpo", marks=pytest.mark.prove),
    ),
)
def test_the_algorithm_moves_its_figure(micro, algorithm, changes):
    metrics = micro.run("rlhf", algorithm=algorithm, **changes).metrics
    if algorithm in ("grpo", "rloo"):
        assert metrics["reward"] >= metrics["reward_before"] + 0.1
    elif algorithm == "reward_model":
        assert metrics["reward_accuracy"] >= 0.8
        assert (micro.folder("rlhf_model") / "reward_model" / "model.safetensors").is_file()
    else:
        assert metrics["preference_accuracy"] >= max(0.8, metrics["preference_accuracy_before"])


@pytest.mark.prove
def test_a_rule_stops_a_model_that_games_its_reward(micro):
    manifest = micro.run("rlhf", algorithm="grpo", stop={"kl": 0.02}, **ONLINE)
    assert manifest.details.extra["stopped"].startswith("kl ")
    assert manifest.details.steps < ONLINE["max_steps"]
