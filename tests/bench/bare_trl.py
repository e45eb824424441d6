"""A bare TRL script with the maths of a stage and nothing else; prints tokens/s of `train()`.

python -m tests.bench.bare_trl cpt '{"learning_rate": ...}' '{"base_model": FOLDER, "corpus": FOLDER, ...}'
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from trainers.alignment.pairs import read_pairs, tokenized
from trainers.cpt_rows import corpus_rows
from trainers.recipe import SECTIONS
from trainers.rows import PackedCollator
from trainers.sft import read_conversations
from trainers.sft_rows import conversation_rows

PARENTS = {"cpt": "base_model", "sft": "cpt_checkpoint", "rlhf": "sft_model"}


class BareDpo(DPOTrainer):
    """Reads rows that are tokenized already, as the stage does."""

    def _prepare_dataset(self, dataset: Dataset, *arguments: Any) -> Dataset:
        return dataset


def main() -> None:
    """Train and print."""
    stage, settings, inputs = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    section: Any = SECTIONS[stage].model_validate(settings)
    parent = Path(inputs[PARENTS[stage]]) / "model"
    tokenizer = AutoTokenizer.from_pretrained(parent)
    model = AutoModelForCausalLM.from_pretrained(parent, dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        common: dict[str, Any] = dict(
            output_dir=folder,
            learning_rate=section.learning_rate,
            lr_scheduler_type=section.schedule,
            warmup_steps=section.warmup_share,
            per_device_train_batch_size=section.batch_size,
            max_steps=section.max_steps,
            save_strategy="no",
            logging_steps=1,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
        )
        lora = section.lora and LoraConfig(
            r=section.lora.rank, lora_alpha=section.lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        trainer: Any
        if stage == "rlhf":
            pairs, audit = read_pairs(Path(inputs["preferences"]) / "train.jsonl", tokenizer, section)
            own = {"beta": section.beta, "max_length": None, "precompute_ref_log_probs": True}
            rows = Dataset.from_list(tokenized(pairs))
            arguments = DPOConfig(**common, **own)
            trainer = BareDpo(model, None, arguments, train_dataset=rows, processing_class=tokenizer, peft_config=lora)
        else:
            if stage == "cpt":
                data: Any = corpus_rows(
                    Path(inputs["corpus"]) / "train", Path(folder) / "t.arrow", tokenizer, section.max_length
                )
            else:
                conversations = read_conversations(Path(inputs["instructions"]) / "train.jsonl")
                data = conversation_rows(conversations, Path(folder) / "t.arrow", tokenizer, section)
            audit, rows = data.audit, data.rows
            arguments = SFTConfig(**common, dataset_kwargs={"skip_prepare_dataset": True})
            collator = PackedCollator(tokenizer.pad_token_id)
            trainer = SFTTrainer(model, arguments, collator, rows, processing_class=tokenizer, peft_config=lora or None)
        began = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - began
    tokens = audit["tokens"] / len(rows) * section.batch_size * section.max_steps
    print(tokens / seconds)


if __name__ == "__main__":
    main()
