"""What is published of a training: an adapter's settings, and what computed it."""

import json
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM, LlamaConfig, Phi3Config, TrainingArguments

from trainers.training.backends.transformers import TransformersBackend
from trainers.training.result import _kernels, _publish_adapter

SIZE = {
    **{"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "pad_token_id": 0},
}
LLAMA = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
PHI = ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]


def adapted_layers(model) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, LoraLayer)}


@pytest.mark.parametrize(
    ("config", "targets", "published"),
    (
        (LlamaConfig(**SIZE), ["v_proj", "q_proj"], ["q_proj", "v_proj"]),
        (LlamaConfig(**SIZE), r"(?:.*?)\.(q_proj|v_proj)", ["q_proj", "v_proj"]),
        (LlamaConfig(**SIZE), "all-linear", LLAMA),
        (LlamaConfig(**SIZE), r"(?:.*?)\.1\.self_attn\.q_proj", ["model.layers.1.self_attn.q_proj"]),
        (Phi3Config(**SIZE), "all-linear", PHI),
    ),
)
def test_an_adapters_targets_are_names_by_which_the_same_layers_are_adapted_again(tmp_path, config, targets, published):
    base = AutoModelForCausalLM.from_config(config)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=targets))
    _publish_adapter(model, "digest", tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["target_modules"] == published and settings["base_model_name_or_path"] == "digest"
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_config(config), tmp_path / "adapter")
    assert adapted_layers(again) == adapted_layers(model)


def test_what_computed_a_training_is_read_off_it(tmp_path):
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SIZE), attn_implementation="eager", dtype=torch.bfloat16)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
    arguments = TrainingArguments(str(tmp_path), optim="adamw_bnb_8bit", use_cpu=True, report_to=[])
    trainer = SimpleNamespace(model=adapted, args=arguments, accelerator=SimpleNamespace(mixed_precision="bf16"))
    assert _kernels(trainer, TransformersBackend()) == {
        **{"attention": "eager", "optimizer": "adamw_bnb_8bit"},
        **{"trained": "float32", "frozen": "bfloat16", "autocast": "bf16"},
    }
