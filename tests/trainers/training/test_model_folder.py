"""Model folders that are refused before a weight is loaded, with the reason."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.support.toy import build_model
from trainers.contract import BadData, BadRequest
from trainers.training.model_folder import ModelFolder, require_adapter_of


@pytest.fixture
def folder(tmp_path):
    return build_model(tmp_path / "model", seed=1)


def test_a_whole_folder_passes(folder):
    assert ModelFolder(folder).check(max_length=256, chat=True).max_length == 256


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


def test_max_length_above_the_models(folder):
    with pytest.raises(BadRequest, match="above the 256 positions"):
        ModelFolder(folder).check(max_length=257)


def test_a_template_without_marks(folder):
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(BadRequest, match="no {% generation %} marks"):
        ModelFolder(folder).check(chat=True)


def test_an_adapter_is_no_model_and_belongs_to_one_base(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "digest-a"}))
    with pytest.raises(BadRequest, match="is an adapter of digest-a, not a whole model"):
        ModelFolder(folder).check()
    require_adapter_of(folder, "digest-a")
    with pytest.raises(BadRequest, match="trained on base digest-a, not on digest-b"):
        require_adapter_of(folder, "digest-b")


def test_parameters_are_counted_over_all_shards(tmp_path):
    save_file({"a": torch.zeros(2, 3), "scalar": torch.zeros(())}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(4)}, tmp_path / "model-00002-of-00002.safetensors")
    assert ModelFolder(tmp_path).parameters == 2 * 3 + 1 + 4
