"""What the recipe leaves to us, backend and precision: the request says it, and the machine decides nothing."""

import os
from types import SimpleNamespace

import pytest
import torch

from trainers.contract import BadRequest
from trainers.contract.recipe import RlhfSection, SftSection
from trainers.contract.recipe.loading import section_dict
from trainers.training import backends
from trainers.training.backends import transformers as plain

LORA = {"lora": {}, "learning_rate": 1e-4}
ONE_GPU = {"needs": {"gpus": 1}}


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """A backend, opened on one GPU with unsloth: the module that would be imported, and what is said."""
    modules, lines = [], []
    monkeypatch.setattr(backends, "_has_gpu", lambda: True)
    monkeypatch.setattr(backends, "_has_unsloth", lambda: True)
    monkeypatch.setattr(backends.importlib, "import_module", lambda name: modules.append(name) or plain)

    monkeypatch.setenv("UNSLOTH_COMPILE_LOCATION", "what the user's shell says")

    def choose(section):
        backends.open_backend(section, tmp_path, lines.append)
        return modules[-1].rpartition(".")[2], lines[-1]

    return choose


def requested(section):
    """A recipe's section as the stage has it: from a request, which has no needs."""
    return type(section).model_validate(section_dict(section))


def test_what_runs_is_what_the_request_says_whatever_machine_it_meets(opened):
    """With a GPU and unsloth at hand, a request for none is answered as it would be without them."""
    assert opened(requested(SftSection(**LORA))) == ("transformers", "backend: transformers")
    assert opened(requested(SftSection(**LORA, needs={"gpus": 1}))) == ("unsloth", "backend: unsloth")
    assert opened(requested(SftSection(**LORA, needs={"gpus": 2})))[0] == "transformers"


@pytest.mark.parametrize(
    ("section", "reason"),
    (
        (SftSection(method="full", learning_rate=1e-5, **ONE_GPU), "method: full, which unsloth may train in bfloat16"),
        (SftSection(lora={"dora": True}, learning_rate=1e-4, **ONE_GPU), "lora.dora"),
        (SftSection(**LORA, liger=True, **ONE_GPU), "liger"),
        (RlhfSection(**LORA, algorithm="reward_model", **ONE_GPU), "algorithm: reward_model"),
    ),
)
def test_auto_takes_what_can_do_it_and_says_why(opened, section, reason):
    name, line = opened(requested(section))
    assert name == "transformers" and f"unsloth is not for {reason}" in line


def test_unsloth_on_a_machine_without_a_gpu_is_refused_with_what_to_do(tmp_path):
    section = requested(SftSection(**LORA, **ONE_GPU))
    with pytest.raises(BadRequest, match="take `gpus` out of the stage's `needs`"):
        backends.open_backend(section, tmp_path, print)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    (
        ({}, "float32"),
        (ONE_GPU, "bfloat16"),
        ({"precision": "bfloat16"}, "bfloat16"),
        ({**ONE_GPU, "precision": "float32"}, "float32"),
    ),
)
def test_the_request_says_what_is_computed_in(settings, wanted):
    assert str(plain.frozen_dtype(requested(SftSection(**LORA, **settings)))) == f"torch.{wanted}"


def test_a_gpu_without_bfloat16_trains_no_other_model_in_silence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    with pytest.raises(BadRequest, match="precision: bfloat16, which a Tesla T4 does not have; say precision: float32"):
        plain.frozen_dtype(SftSection(**LORA, precision="bfloat16"))


def test_what_unsloth_makes_float16_without_being_asked_is_refused():
    model = torch.nn.Linear(2, 2)
    model.config = SimpleNamespace(model_type="gemma3_text")
    backends.refuse_float16(model)
    with pytest.raises(
        BadRequest, match="unsloth trains gemma3_text in float16 on a GPU without bfloat16.*say backend"
    ):
        backends.refuse_float16(model.half())


@pytest.mark.parametrize("process", ("0", "3"))
def test_what_unsloth_writes_lies_in_the_stages_own_folder_and_is_made_anew(opened, monkeypatch, tmp_path, process):
    monkeypatch.setenv("RANK", process)
    generated = tmp_path / f"unsloth-{process}"
    generated.mkdir()
    (generated / "UnslothSFTTrainer.py").write_text("raise SystemExit('of an image with another version')")
    opened(SftSection(**LORA, backend="unsloth"))
    assert os.environ["UNSLOTH_COMPILE_LOCATION"] == str(generated) and not generated.exists()


@pytest.mark.parametrize(("attention", "flat"), (("sdpa", False), ("eager", False), ("flash_attention_2", True)))
def test_rows_are_laid_flat_for_the_attention_that_the_model_computes(attention, flat):
    model = SimpleNamespace(config=SimpleNamespace(_attn_implementation=attention))
    assert plain.TransformersBackend().lays_flat(model) is flat


@pytest.mark.parametrize("sharded", (False, True))
def test_a_4_bit_base_that_is_sharded_lies_in_numbers_that_fsdp_shards(sharded):
    """accelerate leaves what is stored in bytes out of FSDP2, and says so in a warning only."""
    section = SftSection(**LORA, method="qlora", shard_weights=sharded)
    storage = plain.four_bit_settings(section).get("bnb_4bit_quant_storage")
    assert (storage is not None and storage.is_floating_point) is sharded
