"""Model folders that are refused before a weight is loaded, with the reason."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from tests.support.toy import build_model
from trainers.contract import BadData, BadRequest
from trainers.training.model_folder import ModelFolder, publish_weights, require_adapter_of


@pytest.fixture
def folder(tmp_path):
    return build_model(tmp_path / "model", seed=1)


def test_a_whole_folder_passes(folder):
    ModelFolder(folder).check(chat=True)


def test_a_missing_shard_is_named(folder):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadData, match="lacks model-00002-of-00002.safetensors"):
        ModelFolder(folder).check()


def test_no_weights_at_all(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadData, match="lacks model.safetensors"):
        ModelFolder(folder).check()


def test_a_tokenizer_with_more_tokens_than_the_model(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))
    with pytest.raises(BadData, match="does not match its model"):
        ModelFolder(folder).check()


def test_a_model_without_a_template(folder):
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(BadRequest, match="has no chat template; name one with base_model's key 'template'"):
        ModelFolder(folder).check(chat=True)


def test_an_adapter_is_no_model_and_belongs_to_one_base(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "digest-a"}))
    with pytest.raises(BadRequest, match="is an adapter of digest-a, not a whole model"):
        ModelFolder(folder).check()
    require_adapter_of(folder, "digest-a")
    with pytest.raises(BadRequest, match="trained on base digest-a, not on digest-b"):
        require_adapter_of(folder, "digest-b")


def test_what_is_published_is_as_wide_as_its_base_and_keeps_its_cache(tmp_path):
    """Trainers widen weights to float32 and switch the cache off while they train; neither belongs to the model."""
    source = build_model(tmp_path / "source", seed=1)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    model.save_pretrained(source)
    trained = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    trained.config.use_cache = False
    publish_weights(trained, source, tmp_path / "published")
    config = json.loads((tmp_path / "published" / "config.json").read_text())
    assert (config["dtype"], config["use_cache"]) == ("bfloat16", True)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "published")
    assert {weight.dtype for weight in loaded.parameters()} == {torch.bfloat16}


def test_parameters_are_counted_over_all_shards(tmp_path):
    save_file({"a": torch.zeros(2, 3), "scalar": torch.zeros(())}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(4)}, tmp_path / "model-00002-of-00002.safetensors")
    assert ModelFolder(tmp_path).parameters == 2 * 3 + 1 + 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "[]"),
        ("config.json", "{"),
        ("config.json", "{}"),
        ("config.json", "[" * 200_000),
        ("config.json", '{"vocab_size": "many", "architectures": ["LlamaForCausalLM"]}'),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", '{"added_tokens": [{"id": null}], "model": {"vocab": {"a": 1}}}'),
        ("model.safetensors.index.json", '{"weight_map": []}'),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../../etc/passwd"}}'),
        ("model.safetensors", "\x10\x00\x00\x00\x00\x00\x00\x00" + '{"a": [1, 2, 3]}'),
    ],
)
def test_whatever_lies_in_a_models_files_is_bad_data_in_words(folder, name, text):
    (folder / name).write_text(text)
    with pytest.raises(BadData, match=re.escape(str(folder)) + "|no name for a file"):
        ModelFolder(folder).refuse_code().check(chat=True)


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "code of the model's own"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Tok", None]}}, "code of the model's own"),
        ("config.json", {"architectures": ["EvilForCausalLM"]}, "no causal language model called 'EvilForCausalLM'"),
    ],
)
def test_a_base_that_needs_code_of_its_own_is_refused(folder, name, change, why):
    ModelFolder(folder).refuse_code()
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, **change}))
    with pytest.raises(BadData, match=why):
        ModelFolder(folder).refuse_code()
