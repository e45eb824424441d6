"""The trainer's loss is the model's own, for families that scale or cap their logits too; another one is refused."""

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, Gemma2Config, GraniteConfig, LlamaConfig, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from tests.support.toy import sentences, train_tokenizer
from trainers.contract import BadRequest, ModelFacts
from trainers.training.data.rows import PackedCollator
from trainers.training.own_loss import loss_type, require_own_loss

SIZE = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "initializer_range": 0.5,
}
FAMILIES = {
    "llama": (LlamaConfig(**SIZE), 1.0),
    "granite": (GraniteConfig(**SIZE, logits_scaling=8.0), 1 / 8),
    "gemma2": (Gemma2Config(**SIZE, final_logit_softcapping=2.0), 1.0),
}
ROW = {"input_ids": list(range(1, 33)), "lengths": [20, 12]}


def trainer_of(config, loss, tokenizer: PreTrainedTokenizerFast, folder):
    torch.manual_seed(0)
    rows = Dataset.from_list([ROW])
    return SFTTrainer(
        model=AutoModelForCausalLM.from_config(config),
        args=SFTConfig(
            output_dir=str(folder),
            loss_type=loss,
            use_cpu=True,
            bf16=False,
            report_to=[],
            remove_unused_columns=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        data_collator=PackedCollator(0),
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tokenizer,
    )


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(sentences(20, 1), 400)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_of_each_family_is_its_own(family, tokenizer, tmp_path):
    config, scale = FAMILIES[family]
    facts = ModelFacts(pad=0, eos=1, end_of_turn=1, stop=(1,), context_length=64, logit_scale=scale)
    trainer = trainer_of(config, loss_type(facts), tokenizer, tmp_path)
    trainer.model.train()
    require_own_loss(trainer, PackedCollator(0), ROW)
    assert trainer.model.training and not trainer._metrics["eval"]


def test_a_loss_that_leaves_the_familys_factor_out_is_refused(tokenizer, tmp_path):
    trainer = trainer_of(FAMILIES["granite"][0], "chunked_nll", tokenizer, tmp_path)
    with pytest.raises(BadRequest, match="The family 'granite' does something to its logits"):
        require_own_loss(trainer, PackedCollator(0), ROW)
