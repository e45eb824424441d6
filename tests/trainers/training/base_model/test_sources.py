"""Where a base model comes from: folders, pickles, GGUF, adapters, wrappers, the hub's cache; and what is refused."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.families import build_family
from tests.support.micro import Micro
from trainers.contract import BadData, BadRequest, Manifest, ServiceMissing
from trainers.contract.recipe import BaseSection
from trainers.training.base_model.sources import bring
from trainers.training.base_model.whole_model import name_controls

REVISION = "a" * 40


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    """A model's folder, as it was fetched."""
    return build_family("smollm2", tmp_path_factory.mktemp("hub") / "smollm2")


@pytest.fixture
def source(hub, tmp_path) -> Path:
    return Path(shutil.copytree(hub, tmp_path / "smollm2"))


def brought(folder: Path, tmp_path: Path, **more: Any) -> Path:
    section = BaseSection(source="folder", folder=str(folder), **more)
    bring(section, tmp_path / "out", print)
    return tmp_path / "out"


def logits(folder: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(torch.arange(3, 40)[None]).logits


def test_a_folder_is_copied_as_it_is_but_for_what_is_no_part_of_the_model(source, tmp_path):
    (source / "consolidated.safetensors").write_bytes(b"the same weights again, in another form")
    (source / "code.py").write_text("raise SystemExit")
    out = brought(source, tmp_path)
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert not (out / "consolidated.safetensors").exists() and not (out / "code.py").exists()


def test_pickled_weights_are_read_without_running_code(source, tmp_path):
    before = logits(source)
    weights = AutoModelForCausalLM.from_pretrained(source).state_dict()
    (source / "model.safetensors").unlink()
    torch.save(weights, source / "pytorch_model.bin")
    assert torch.equal(logits(brought(source, tmp_path)), before)

    class Evil:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "ran", "code"))

    (source / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": Evil()}))
    with pytest.raises(BadData, match="smollm2.* cannot be loaded"):
        brought(source, tmp_path)
    assert not (tmp_path / "ran").exists()


def test_half_precision_and_a_config_without_a_type(source, tmp_path):
    AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16).save_pretrained(source)
    path = source / "config.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "dtype"}))
    out = brought(source, tmp_path)
    assert next(AutoModelForCausalLM.from_pretrained(out).parameters()).dtype == torch.float16


def test_gguf_is_dequantised_with_its_tokenizer(tmp_path):
    gguf = pytest.importorskip("gguf")
    source = build_family("smollm2", tmp_path / "smollm2")
    path = tmp_path / "small.gguf"
    write_gguf(gguf, source, path)
    out = brought(path, tmp_path)
    assert torch.allclose(logits(out), logits(source), atol=1e-4)
    ours, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (out, source))
    assert ours("사과는 과일입니다.")["input_ids"] == theirs("사과는 과일입니다.")["input_ids"]
    assert specials(ours) == specials(theirs)
    shutil.copyfile(path, tmp_path / "two.gguf")
    with pytest.raises(BadData, match=r"holds 2 GGUF files; name one of them: small.gguf, two.gguf"):
        brought(tmp_path, tmp_path / "again")


def specials(tokenizer: Any) -> dict[str, int]:
    """What a text must not be able to spell, and its ids."""
    return {str(token): number for number, token in tokenizer.added_tokens_decoder.items() if token.special}


def test_control_tokens_that_transformers_takes_for_text_are_named_by_the_gguf_file(tmp_path):
    """It adds three of Qwen's by name, and none of Gemma's."""
    gguf = pytest.importorskip("gguf")
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<eos>": 0, "<start_of_turn>": 1, "<end_of_turn>": 2, "사과": 3, "<b>": 4}
    kinds = [3, 3, 3, 1, 4]
    path = tmp_path / "tokens.gguf"
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_token_list(list(vocabulary))
    writer.add_token_types(kinds)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="사과"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")
    assert specials(tokenizer) == {"<eos>": 0}
    name_controls(tokenizer, path)
    assert specials(tokenizer) == {"<eos>": 0, "<start_of_turn>": 1, "<end_of_turn>": 2} and len(tokenizer) == 5
    assert tokenizer("<start_of_turn>사과<end_of_turn>")["input_ids"] == [1, 3, 2]


def adapter_of(base: Path, folder: Path, name: str) -> Path:
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": name}))
    return folder


def test_an_adapter_is_merged_into_its_base_or_refused_by_name(source, tmp_path):
    from peft import PeftModel

    adapter = adapter_of(source, tmp_path / "adapter", "HuggingFaceTB/SmolLM2")
    with torch.inference_mode():
        adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(source), adapter)
        wanted = adapted.eval()(torch.arange(3, 40)[None]).logits
    out = brought(source, tmp_path, adapter=str(adapter))
    assert torch.allclose(logits(out), wanted, atol=1e-5) and not torch.allclose(logits(source), wanted, atol=1e-3)
    with pytest.raises(
        BadRequest, match=r"is an adapter of HuggingFaceTB/SmolLM2, not a whole model; .* key 'adapter'"
    ):
        brought(adapter, tmp_path)
    other = adapter_of(source, tmp_path / "other", "Qwen/Qwen2.5-7B")
    with pytest.raises(BadRequest, match=r"was trained on Qwen/Qwen2.5-7B, not on .*smollm2"):
        brought(source, tmp_path, adapter=str(other))
    with pytest.raises(ValueError, match="'adapter' belongs to source: folder or hub"):
        BaseSection(source="built", architecture={}, vocabulary=500, adapter="x")


def test_an_adapter_with_weights_that_the_model_has_not(source, tmp_path):
    from safetensors.torch import load_file, save_file

    adapter = adapter_of(source, tmp_path / "adapter", "smollm2")
    path = adapter / "adapter_model.safetensors"
    save_file({name.replace("layers.1", "layers.7"): value for name, value in load_file(path).items()}, path)
    with pytest.raises(BadData, match=r"has weights for .*layers.7.*, which the model has not"):
        brought(source, tmp_path, adapter=str(adapter))


def test_the_text_part_of_a_multimodal_model_is_the_model(tmp_path):
    from transformers import AutoModelForImageTextToText

    source = build_family("gemma3-multimodal", tmp_path / "gemma")
    wrapper = AutoModelForImageTextToText.from_pretrained(source).eval()
    with torch.inference_mode():
        wanted = wrapper(input_ids=torch.arange(6, 40)[None]).logits
        config = json.loads((brought(source, tmp_path) / "config.json").read_text())
        got = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()(torch.arange(6, 40)[None]).logits
    assert config["model_type"] == "gemma3_text" and "vision_config" not in config
    assert torch.allclose(got, wanted, atol=1e-5)


REFUSED: list[tuple[Callable[[Path], Any], type[Exception], str]] = [
    (lambda f: (f / "config.json").unlink(), BadData, "no model folder: it has no config.json"),
    (lambda f: (f / "model.safetensors").unlink(), BadData, "cannot be loaded"),
    (lambda f: config(f, model_type="exaone"), BadRequest, "has no model of type 'exaone' .* never run here"),
    (lambda f: config(f, model_type="t5"), BadRequest, "type 't5' .* does not write text from left to right"),
]


def config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(("change", "kind", "reason"), REFUSED, ids=["config", "weights", "own code", "t5"])
def test_what_is_no_text_model_is_refused_in_words(source, tmp_path, change, kind, reason):
    change(source)
    with pytest.raises(kind, match=reason):
        brought(source, tmp_path)


def test_a_folder_counts_by_its_content(source, tmp_path):
    def made() -> Manifest:
        return micro.here("base_model")

    micro = Micro(tmp_path)
    micro.sections["base_model"] = {"source": "folder", "folder": str(source)}
    first, again = made(), made()
    assert first.digest == again.digest and len(again.attempts) == 1
    weights = AutoModelForCausalLM.from_pretrained(source)
    weights.model.norm.weight.data *= 2
    weights.save_pretrained(source)
    request = micro.request("base_model")
    assert made().digest != first.digest
    weights.model.norm.weight.data *= 2
    weights.save_pretrained(source)
    assert micro.request("base_model").digest != request.digest
    from trainers.runner.stage import run_stage

    stale = micro.request("base_model").model_copy(update={"files": {"folder": "0" * 64}})
    with pytest.raises(
        BadData, match="base_model's folder: the content here is not the one that the request was made for"
    ):
        run_stage(stale, micro.store)
    shutil.rmtree(source)
    with pytest.raises(BadData, match="key 'folder' names .*, which is not there"):
        micro.request("base_model")


def cached(hub: Path, cache: Path, *names: str) -> None:
    """A repository's commit in the hub client's cache."""
    place = cache / "models--team--smollm2" / "snapshots" / REVISION
    place.mkdir(parents=True)
    for path in hub.iterdir():
        if not names or path.name in names:
            shutil.copyfile(path, place / path.name)


def from_hub(tmp_path: Path) -> Path:
    bring(BaseSection(source="hub", repo="team/smollm2", revision=REVISION), tmp_path / "out", print)
    return tmp_path / "out"


@pytest.mark.parametrize("offline", [True, False], ids=["said to be offline", "no network"])
def test_a_whole_cache_suffices_and_else_a_hub_that_is_not_there_is_69(hub, tmp_path, monkeypatch, offline):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ServiceMissing, match=f"the hub does not give team/smollm2 at {REVISION}"):
        from_hub(tmp_path)
    cached(hub, tmp_path / "cache")
    assert torch.equal(logits(from_hub(tmp_path)), logits(hub))


def write_gguf(gguf: Any, source: Path, path: Path) -> None:
    """A Llama model with a byte-level BPE tokenizer, as llama.cpp writes it, unquantised."""
    from safetensors.torch import load_file

    settings = json.loads((source / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(settings["max_position_embeddings"])
    writer.add_embedding_length(settings["hidden_size"])
    writer.add_block_count(settings["num_hidden_layers"])
    writer.add_feed_forward_length(settings["intermediate_size"])
    writer.add_head_count(settings["num_attention_heads"])
    writer.add_head_count_kv(settings["num_key_value_heads"])
    writer.add_rope_dimension_count(settings["hidden_size"] // settings["num_attention_heads"])
    writer.add_rope_freq_base(settings["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(settings["rms_norm_eps"])
    writer.add_vocab_size(settings["vocab_size"])
    content = json.loads((source / "tokenizer.json").read_text())
    tokens = sorted(content["model"]["vocab"], key=content["model"]["vocab"].get)
    special = {token["content"] for token in content["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in content["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, settings["num_hidden_layers"])
    heads = {"q_proj": settings["num_attention_heads"], "k_proj": settings["num_key_value_heads"]}
    for name, value in load_file(source / "model.safetensors").items():
        array = value.float().numpy()
        if (turned := heads.get(name.split(".")[-2])) is not None:  # llama.cpp pairs rotary dimensions otherwise
            array = array.reshape(turned, 2, array.shape[0] // turned // 2, -1).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
