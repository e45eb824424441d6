"""Training keys that another key would leave unread are refused, by name."""

import pytest

from trainers.contract.recipe import RlhfSection, SftSection

COMMON = {"lora": {}, "learning_rate": 1e-5}


@pytest.mark.parametrize(
    ("keys", "message"),
    (
        ({"algorithm": "kto", "loss": "ipo"}, "algorithm: kto would ignore the key 'loss'"),
        ({"algorithm": "orpo", "rpo_alpha": 1.0}, "would ignore the key 'rpo_alpha'"),
        ({"loss": "robust"}, "needs the key 'label_smoothing'"),
        ({"label_smoothing": 0.1}, "no other loss reads it"),
        ({"liger": True}, "is for cpt and sft"),
        (
            {"algorithm": "grpo", "backend": "unsloth", "sampling": {"rewards": ["format"], "vllm": "server"}},
            "ignore the key 'sampling.vllm'",
        ),
        ({"algorithm": "grpo", "sampling": {"rewards": ["format"]}, "patience": 2}, "has no held-out loss"),
        ({"algorithm": "rloo", "sampling": {"rewards": ["format"]}, "keep": "best"}, "remove the key 'keep'"),
    ),
)
def test_keys_of_one_algorithm_are_no_others(keys, message):
    with pytest.raises(ValueError, match=message):
        RlhfSection(**COMMON, **keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    (
        ({"optimizer": "muon"}, "muon is for whole matrices"),
        ({"schedule": "linear", "final_rate_share": 0.1}, "schedule: linear would ignore the key 'final_rate_share'"),
        ({"backend": "unsloth", "liger": True}, "would ignore the key 'liger'"),
    ),
)
def test_keys_that_another_key_leaves_unread_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        SftSection(**COMMON, **keys)


def test_unsloth_chooses_its_attention():
    with pytest.raises(ValueError, match="remove the key 'attention'"):
        SftSection(**COMMON, backend="unsloth", attention="flash_attention_2")
