"""Every algorithm of RLHF, end to end on a model of a few thousand weights, moves its own figure the right way."""

import json
from pathlib import Path

import pytest

from tests.support.micro import Micro
from tests.support.plugins import FOLDER
from trainers.contract import BadRequest, ServiceMissing
from trainers.contract.recipe import RlhfSection
from trainers.contract.recipe.alignment import ALGORITHMS

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
WHOLE = {"method": "full", "lora": None, **LONGER}
IPO_BETA = 0.01
"""IPO stops at a margin of 1 / (2 beta); a narrow one leaves pairs unturned that stood far on the wrong side."""
PREFERENCE_RISE = 0.8
REWARD_RISE = 0.2
JUDGED_RIGHT = 0.9


class Contrary(Micro):
    """People who prefer what SFT has taught the model not to say: no algorithm finds its work done already."""

    def _write_preferences(self, folder: Path) -> None:
        super()._write_preferences(folder)
        for path in folder.iterdir():
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in swapped))


def test_the_recipe_and_the_code_know_the_same_algorithms():
    from trainers.training.alignment.algorithms import MADE_BY, chosen

    assert set(MADE_BY) == set(ALGORITHMS)
    for name, samples in ALGORITHMS.items():
        sampling = SAMPLING if samples else None
        section = RlhfSection(algorithm=name, method="full", learning_rate=1e-3, batch_size=8, sampling=sampling)
        assert (chosen(section, "transformers").watch is not None) == samples


@pytest.mark.parametrize("how", ("colocate", "server"))
def test_a_vllm_that_answers_is_told_to_trl_in_its_own_words_and_refused_where_it_cannot_be(monkeypatch, how):
    """Its weights come from a GPU by NCCL, so that it trains nothing here."""
    from trl import GRPOConfig, RLOOConfig

    from trainers.training.alignment import algorithms

    section = RlhfSection(algorithm="grpo", **{**ONLINE, "sampling": {**SAMPLING, "vllm": how}})
    with pytest.raises(BadRequest, match=r"sampling\.vllm needs a GPU"):
        algorithms.vllm_settings(section)
    monkeypatch.setattr(algorithms.torch.cuda, "is_available", lambda: True)
    with pytest.raises(ServiceMissing, match="vllm is not installed"):
        algorithms.vllm_settings(section)
    monkeypatch.setattr(algorithms.importlib.util, "find_spec", lambda name: name)
    if how == "server":
        with pytest.raises(BadRequest, match="KOREAN_LLM_ROLLOUT_SERVER does not say"):
            algorithms.vllm_settings(section)
        monkeypatch.setenv("KOREAN_LLM_ROLLOUT_SERVER", "http://rollouts:8000")
    settings = algorithms.vllm_settings(section)
    assert settings["use_vllm"] and settings["vllm_mode"] == how
    assert settings.get("vllm_server_base_url") == ("http://rollouts:8000" if how == "server" else None)
    for kind in (GRPOConfig, RLOOConfig):
        assert settings.keys() <= kind.__dataclass_fields__.keys()


def test_an_algorithm_of_a_plugin_must_give_one(monkeypatch):
    from trainers.training.alignment.algorithms import chosen

    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    for name, words in (("nothing", "gives None; it must be a Chosen"), ("absent", "it has: Chosen, IpoTrainer")):
        section = RlhfSection(algorithm=f"korean_extras.algorithms:{name}", method="full", learning_rate=1e-3)
        with pytest.raises(BadRequest, match=words):
            chosen(section, "transformers")


@pytest.fixture(scope="module")
def micro(tmp_path_factory) -> Micro:
    micro = Contrary(tmp_path_factory.mktemp("micro"))
    for stage in ("base_model", "cpt", "sft"):
        micro.run(stage)
    return micro


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "changes"),
    (
        pytest.param("grpo", ONLINE, id="grpo"),
        pytest.param("rloo", ONLINE, id="rloo", marks=pytest.mark.prove),
        pytest.param("kto", WHOLE, id="kto", marks=pytest.mark.prove),
        pytest.param("orpo", {**WHOLE, "beta": 1.0, "max_steps": 40}, id="orpo", marks=pytest.mark.prove),
        pytest.param("reward_model", LONGER, id="reward_model", marks=pytest.mark.prove),
        pytest.param("dpo", WHOLE, id="dpo", marks=pytest.mark.prove),
    ),
)
def test_the_algorithm_moves_its_figure(micro, algorithm, changes):
    metrics = micro.run("rlhf", algorithm=algorithm, **changes).metrics
    if algorithm in ("grpo", "rloo"):
        assert metrics["reward"] >= metrics["reward_before"] + REWARD_RISE
    elif algorithm == "reward_model":
        assert metrics["reward_accuracy"] >= JUDGED_RIGHT  # 0.5 is a guess
        assert (micro.folder("rlhf_model") / "reward_model" / "model.safetensors").is_file()
    else:
        assert metrics["preference_accuracy"] >= metrics["preference_accuracy_before"] + PREFERENCE_RISE


@pytest.mark.slow
def test_an_algorithm_of_a_plugin_learns_the_preference(micro, monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    manifest = micro.run("rlhf", algorithm="korean_extras.algorithms:ipo", **WHOLE, beta=IPO_BETA)
    metrics = manifest.metrics
    assert metrics["preference_accuracy"] >= metrics["preference_accuracy_before"] + PREFERENCE_RISE
    assert manifest.details.alignment.algorithm == "korean_extras.algorithms:ipo"
    assert list(manifest.request.plugins) == ["korean_extras.algorithms:ipo"]


@pytest.mark.slow
def test_a_reward_of_a_plugin_is_learnt(micro, monkeypatch):
    monkeypatch.setenv("KOREAN_LLM_PLUGINS", str(FOLDER))
    sampling = {**SAMPLING, "rewards": ["korean_extras.rewards:short_words"]}
    metrics = micro.run("rlhf", algorithm="grpo", **{**ONLINE, "sampling": sampling}).metrics
    assert metrics["reward"] >= metrics["reward_before"] + REWARD_RISE


@pytest.mark.prove
@pytest.mark.parametrize("algorithm", ("kto", "orpo", "reward_model", "grpo", "rloo"))
def test_the_algorithm_trains_on_two_processes(micro, algorithm):
    """DPO does in test_equivalence.py."""
    sampling = {**SAMPLING, "generations": 4} if algorithm in ("grpo", "rloo") else None
    manifest = micro.run("rlhf", 2, algorithm=algorithm, sampling=sampling, max_steps=3)
    assert [step for step, _ in manifest.details.loss] == [1, 2, 3]


@pytest.mark.prove
def test_a_rule_stops_a_model_that_games_its_reward(micro):
    manifest = micro.run("rlhf", algorithm="grpo", stop={"kl": 0.02}, **ONLINE)
    assert manifest.details.alignment.stopped.startswith("kl ")
    assert manifest.details.steps < ONLINE["max_steps"]
