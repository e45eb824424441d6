"""A bare TRL script with the maths of a stage and nothing else: what `make bench-train` compares the stages with.

python -m tests.bench.bare_trl cpt '{"learning_rate": ...}' '{"base_model": FOLDER, "corpus": FOLDER, ...}' SEED
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from trainers.contract import STAGES
from trainers.training.alignment.algorithms import answers_of_others
from trainers.training.alignment.pairs import judged_singly, read_preferences, tokenized
from trainers.training.data.cpt_rows import corpus_rows
from trainers.training.data.length_buckets import LengthBuckets
from trainers.training.data.rows import PackedCollator
from trainers.training.data.sft_rows import conversation_rows
from trainers.training.model_facts import facts_in
from trainers.training.rlhf import seen_rows
from trainers.training.sft import read_conversations

PARENTS = {"cpt": "base_model", "sft": "cpt_checkpoint", "rlhf": "sft_model"}


class BareDpo(DPOTrainer):
    """Reads rows that are tokenized already, as the stage does."""

    def _prepare_dataset(self, dataset: Dataset, *arguments: Any) -> Dataset:
        return dataset


class BareKto(KTOTrainer):
    """As BareDpo; the answers to other prompts are those that the stage takes."""

    def _prepare_dataset(self, dataset: Dataset, processing_class: Any, args: Any, *arguments: Any) -> Dataset:
        return dataset.map(answers_of_others, batched=True, batch_size=args.per_device_train_batch_size)


class Clock(TrainerCallback):
    """Seconds from the beginning of the training to its last step, and the tokens of each batch."""

    def __init__(self, collate: Any):
        self._collate = collate
        self.seconds = 0.0
        self.tokens: list[int] = []

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch, counted."""
        batch: dict[str, Any] = self._collate(rows)
        mask = batch.get("attention_mask")
        self.tokens.append(int(mask.sum()) if mask is not None else sum(len(row["input_ids"]) for row in rows))
        return batch

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.monotonic()
        self.tokens.clear()  # DPO has looked at every row for its reference by now

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds = time.monotonic() - self._began


def train(stage: str, settings: dict[str, Any], inputs: dict[str, str], seed: int) -> dict[str, Any]:
    """Train as the section says, on the stage's rows in the stage's order.

    Returns seconds, losses, the tokens trained on, and the share of tokens that was not left out as too long.
    """
    section: Any = STAGES[stage].section.model_validate(settings)
    parent = Path(inputs[PARENTS[stage]]) / "model"
    tokenizer, facts = AutoTokenizer.from_pretrained(parent), facts_in(parent)
    set_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(parent, dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        common: dict[str, Any] = dict(
            output_dir=folder,
            seed=seed,
            data_seed=seed,
            learning_rate=section.learning_rate,
            lr_scheduler_type=section.schedule,
            adam_beta2=section.adam_beta2,
            weight_decay=section.weight_decay,
            warmup_steps=section.warmup_share,
            per_device_train_batch_size=section.batch_size,
            gradient_accumulation_steps=section.accumulation,
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
            preferences = read_preferences(Path(inputs["preferences"]) / "train.jsonl", tokenizer, section)
            audit = preferences.audit
            settings = {"beta": section.beta, "max_length": None, "precompute_ref_log_probs": True}
            is_kto = section.algorithm == "kto"
            seen = seen_rows((judged_singly if is_kto else tokenized)(preferences.pairs), section, seed)
            rows = Dataset.from_list(seen)
            bare, config = (BareKto, KTOConfig) if is_kto else (BareDpo, DPOConfig)
            arguments: Any = config(**common, **settings)
            trainer = bare(model, None, arguments, train_dataset=rows, processing_class=tokenizer, peft_config=lora)
        else:
            if stage == "cpt":
                data: Any = corpus_rows(
                    Path(inputs["corpus"]) / "train",
                    Path(folder) / "t.arrow",
                    tokenizer,
                    facts,
                    section.max_length,
                    section.english_replay_share,
                )
                audit, rows = data.audit, data.rows
            else:
                conversations = read_conversations(Path(inputs["instructions"]) / "train.jsonl")
                data = conversation_rows(conversations, Path(folder) / "t.arrow", tokenizer, facts, section)
                lengths = [sum(pieces) for pieces in data.rows["lengths"]]
                order = LengthBuckets(lengths, section.batch_size * section.accumulation, seed)
                audit, rows = data.audit, data.rows.select(list(order))
                common["train_sampling_strategy"] = "sequential"
            arguments = SFTConfig(**common, dataset_kwargs={"skip_prepare_dataset": True})
            collator = PackedCollator(facts.pad)
            trainer = SFTTrainer(model, arguments, collator, rows, processing_class=tokenizer, peft_config=lora or None)
        clock = Clock(trainer.data_collator)
        trainer.data_collator = clock
        trainer.add_callback(clock)
        trainer.train()
    kept = audit.get("conversations") or audit.get("pairs") or 1
    dropped = audit.get("too_long", 0) / (kept + audit.get("too_long", 0))
    return {
        "seconds": clock.seconds,
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
        "tokens": sum(clock.tokens[: section.max_steps * section.accumulation]),  # one batch is fetched ahead
        "kept_share": 1 - dropped,
    }


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4]))))
