"""Importance is what a layer's inputs say it is, on texts that nothing is measured on."""

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.toy import build_model
from trainers.export.gguf_form import check
from trainers.export.gguf_form.importance import importances


def test_it_is_the_mean_square_of_every_linear_layers_inputs(tmp_path):
    folder = build_model(tmp_path / "model", seed=1)
    texts = ["나는 학교에 갑니다.", "너는 집에 안 갑니다. 비가 옵니다."]
    measured = importances(folder, texts)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    rows = [tokenizer(text, return_tensors="pt")["input_ids"] for text in texts]
    with torch.inference_mode():
        first = [model.model.layers[0].input_layernorm(model.model.embed_tokens(row))[0] for row in rows]
    expected = torch.cat(first).square().mean(dim=0).numpy()
    assert measured["model.layers.0.self_attn.q_proj.weight"] == pytest.approx(expected, rel=1e-4)
    weights = {name: weight.shape for name, weight in model.named_parameters() if "proj" in name}
    assert {name: (value.shape, value.dtype) for name, value in measured.items() if name in weights} == {
        name: ((shape[1],), numpy.float32) for name, shape in weights.items()
    }


def test_texts_to_calibrate_on_are_none_that_perplexity_is_measured_on():
    calibration, measured = check.calibration_texts(), check._spread(0)
    assert len(calibration) == len(measured) == 16 and not set(calibration) & set(measured)
