"""GGUF files of each family against transformers, through llama.cpp itself: the same greedy text, or a refusal."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.real_models import real_folder
from tests.support.toy import build_model, sentences, teach
from trainers.contract import BadData, BadRequest
from trainers.contract.replies import GreedyReply
from trainers.evaluation.model import ModelUnderTest
from trainers.evaluation.served_replies import greedy_replies
from trainers.export.gguf_form import families
from trainers.export.gguf_form.check import (
    calibration_texts,
    perplexities,
    replies_of,
    require_close,
    require_same_replies,
)
from trainers.export.gguf_form.file import GgufSource
from trainers.export.gguf_form.importance import importances

SIZES: dict[str, Any] = {
    **{"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
    **{"intermediate_size": 128, "max_position_embeddings": 256, "tie_word_embeddings": True},
}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10_000.0, "factor": 4.0, "original_max_position_embeddings": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"rope_parameters": {**LLAMA3, "low_freq_factor": 1.0, "high_freq_factor": 4.0}},
    "mistral": {"sliding_window": None, "tie_word_embeddings": False},
    "qwen2": {},
    "gemma3_text": {"num_hidden_layers": 7, "sliding_window": 32, "query_pre_attn_scalar": 16},
    "exaone4": {"sliding_window": None, "layer_types": ["full_attention"] * 4},
}


def taught(folder: Path, family: str) -> Path:
    """A small model of a family that answers with Korean words."""
    from transformers import AutoConfig

    build_model(folder, seed=1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **SIZES | FAMILIES[family]
    )
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return teach(folder)


def heard_of(folder: Path) -> list[GreedyReply]:
    heard = greedy_replies(ModelUnderTest(folder, max_length=256, batch_tokens=2048))
    assert sum(reply.certain for reply in heard) > 40, "a model in doubt everywhere would prove nothing"
    return heard


def same_as_transformers(folder: Path, out: Path) -> None:
    source = GgufSource(folder)
    files = {form: out / f"{form}.gguf" for form in ("f16", "q8_0", "q4_k_m")}
    for form, path in files.items():
        source.write(form, path, "toy")
    require_same_replies(files["f16"], heard_of(folder))
    assert files["q4_k_m"].stat().st_size < files["q8_0"].stat().st_size < files["f16"].stat().st_size


@pytest.mark.slow
def test_llama_cpp_says_what_transformers_says_and_a_wrong_file_is_refused(tmp_path, monkeypatch):
    """Wrong: the heads of a Llama left as transformers turns them, which loads, and talks nonsense."""
    folder = taught(tmp_path / "model", "llama")
    same_as_transformers(folder, tmp_path)
    monkeypatch.setitem(families.FAMILIES, "llama", replace(families.FAMILIES["llama"], interleaved_rope=False))
    GgufSource(folder).write("f16", tmp_path / "wrong.gguf", "toy")
    with pytest.raises(BadData, match=r"llama.cpp does not serve wrong.gguf as it was trained: .*but evaluation heard"):
        require_same_replies(tmp_path / "wrong.gguf", heard_of(folder))


@pytest.mark.prove
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "llama"])
def test_so_it_is_with_every_family(family, tmp_path):
    same_as_transformers(taught(tmp_path / "model", family), tmp_path)


def test_a_form_that_costs_too_much_is_refused():
    require_close({"f16": 10.0, "q8_0": 10.09, "q4_k_m": 10.49})
    with pytest.raises(BadData, match=r"GGUF q8_0 has a perplexity of 10.200, 2.0% above f16's; at most 1%"):
        require_close({"f16": 10.0, "q8_0": 10.2})


def test_what_llama_cpp_does_not_compute_is_refused_by_name(tmp_path):
    folder = build_model(tmp_path / "model", seed=1)
    source = GgufSource(folder)
    for change, words in (
        ({"model_type": "phi3"}, "of type 'phi3' is not written as GGUF here; those that are: llama, mistral"),
        ({"layer_types": ["sliding_attention", "full_attention"]}, "pattern of sliding windows"),
        ({"query_pre_attn_scalar": 5}, "attention by 5"),
    ):
        with pytest.raises(BadRequest, match=words):
            families.family_of(source.config | change)
    with pytest.raises(BadRequest, match="rope scaling 'longrope' is not written"):
        families.rope_factors({**source.config, "rope_parameters": {"rope_type": "longrope", "rope_theta": 1.0}})
    with pytest.raises(BadRequest, match="no place for the model's tensor model.extra.weight"):
        source.name_of("model.extra.weight")


@pytest.mark.realmodel
@pytest.mark.prove
def test_a_real_model_gives_the_same_text_and_costs_little_in_fewer_bits(tmp_path):
    folder = real_folder("SmolLM2-135M-Instruct", tmp_path / "model")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    source = GgufSource(folder)
    files = {form: tmp_path / f"{form}.gguf" for form in ("f16", "q8_0", "q4_k_m")}
    importance = importances(folder, calibration_texts())
    for form, path in files.items():
        source.write(form, path, "smollm2", importance)
    prompts = ["대한민국의 수도는 어디인가요?", "'크다'의 반대말은 무엇인가요?", *sentences(8, seed=3)]
    prompts += [f"What is the capital of {country}?" for country in ("France", "Korea", "Japan", "Italy", "Spain")]
    prompts += ["Write a haiku.", "Count to ten.", "Who wrote Hamlet?", "What is 2 + 2?", "Translate 'tree' to French."]
    talks = [[{"role": "user", "content": prompt}] for prompt in prompts]
    served = replies_of(files["f16"], talks, 24)
    expected = []
    for talk in talks:
        fed = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        whole = model.generate(**fed, max_new_tokens=24, do_sample=False)[0, fed["input_ids"].shape[1] :]
        expected.append(tokenizer.decode(whole, skip_special_tokens=True))
    assert len(talks) == 20
    assert [text.rstrip("�") for text, _ in served] == [text.rstrip("�") for text in expected]
    measured = perplexities(source, files)
    print({form: f"{perplexity / measured['f16'] - 1:+.2%}" for form, perplexity in measured.items()})
    require_close(measured)
