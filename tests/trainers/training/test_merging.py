"""Merging adapters: the same answers after as before, or a refusal."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.toy import build_model
from trainers.contract import BadData
from trainers.training.merging import merge


@pytest.fixture
def adapted(tmp_path):
    folder = build_model(tmp_path / "model", seed=1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return adapted, AutoTokenizer.from_pretrained(folder)


def test_merged_answers_as_adapter_plus_base(adapted):
    merged, figures = merge(*adapted)
    assert figures["max_logit_difference"] < 1e-3
    assert figures["greedy_tokens_equal"] == 1
    assert not any("lora" in name for name, _ in merged.named_parameters())


@pytest.mark.parametrize("harm", (0.5, float("nan")))
def test_a_merge_that_went_wrong_is_refused(adapted, monkeypatch, harm):
    model, tokenizer = adapted
    merge_rightly = model.merge_and_unload

    def merge_wrongly():
        merged = merge_rightly()
        merged.model.layers[0].mlp.down_proj.weight.data.add_(harm)
        return merged

    monkeypatch.setattr(model, "merge_and_unload", merge_wrongly)
    with pytest.raises(BadData, match="merged model differs"):
        merge(model, tokenizer)
