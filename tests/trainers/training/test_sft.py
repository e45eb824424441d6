"""What SFT teaches with adapters over a base whose embeddings stay as they are."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.families import FAMILIES, build_family
from tests.support.micro import Micro, conversation

pytestmark = pytest.mark.slow


def unwritten_end_of_turn(folder):
    """The end of turn looks as another token does, whose id is lower: whatever layers learn, that one is written."""
    path = folder / "model" / "model.safetensors"
    weights = load_file(path)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in weights:
            weights[name][2] = weights[name][1]
    save_file(weights, path, {"format": "pt"})


@pytest.mark.parametrize("family", ["qwen2.5", "qwen3"], ids=["untied", "tied"])
def test_adapters_learn_to_stop_and_leave_all_other_embeddings_alone(tmp_path, family):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    micro = Micro(tmp_path)
    source = str(build_family(family, tmp_path / "hub" / family))
    micro.sections["base_model"] = {"source": "folder", "folder": source, "template": FAMILIES["smollm2"].template}
    micro.here("base_model")
    micro.change("base_model", unwritten_end_of_turn)
    micro.made["cpt_checkpoint"] = micro.made["base_model"].model_copy(update={"name": "cpt_checkpoint"})
    lora = {"rank": 16, "alpha": 32}
    facts = micro.here("sft", max_steps=30, epochs=9, learning_rate=2e-2, max_length=100, lora=lora).details.facts
    before, after = (
        load_file(micro.folder(name) / "model" / "model.safetensors") for name in ("base_model", "sft_model")
    )
    for name in before.keys() & {"model.embed_tokens.weight", "lm_head.weight"}:
        rows = (before[name] != after[name]).any(dim=1).nonzero().flatten().tolist()
        assert rows == [facts.end_of_turn]
    folder = micro.folder("sft_model") / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer.apply_chat_template(
        conversation(0)[:1], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        reply = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0, prompt["input_ids"].shape[1] :].tolist()
    assert reply[-1] == facts.end_of_turn and len(reply) < 24, tokenizer.decode(reply)
