"""Learning from preferences: DPO (Rafailov et al. 2023) with the reference's log-probabilities computed once."""

import json
from pathlib import Path
from typing import Any

from trainers.backends import open_backend
from trainers.contract import BadData, sha256_of
from trainers.model_folder import ModelFolder
from trainers.recipe import RlhfSection
from trainers.stage import StageContext, StageResult


def run(context: StageContext) -> StageResult:
    """Make `rlhf_model` from `sft_model` and `preferences`."""
    section: RlhfSection = context.section
    folder = ModelFolder(context.inputs["sft_model"] / "model").check(max_length=section.max_length, chat=True)
    backend = open_backend(section)  # before trl is imported
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from trainers.loop import Batching, Durable, train, training_arguments
    from trainers.result import training_result

    class PreferenceTrainer(Durable, DPOTrainer):
        """TRL's trainer with our checkpoints; its data come tokenized and counted already."""

        def _prepare_dataset(self, dataset: Dataset, *arguments: Any) -> Dataset:
            return dataset

    tokenizer = AutoTokenizer.from_pretrained(folder.path)
    source = context.inputs["preferences"]
    rows, audit = tokenized_pairs(source / "train.jsonl", tokenizer, section)
    held_out, _ = tokenized_pairs(source / "validation.jsonl", tokenizer, section)
    context.reporter.params({**context.request.section, **audit})

    def build(batching: Batching) -> Any:
        return PreferenceTrainer(
            model=backend.load(folder.path, section, context.request.seed),
            args=training_arguments(
                DPOConfig,
                context,
                batching,
                beta=section.beta,
                max_length=None,  # nothing is cut: pairs that are too long were left out and counted
                precompute_ref_log_probs=True,
                loss_type=["sigmoid"],
            ),
            train_dataset=Dataset.from_list(rows),
            eval_dataset=Dataset.from_list(held_out),
            processing_class=tokenizer,
        )

    trainer, trained = train(build, context, sha256_of(rows), audit["tokens"] / len(rows))
    return training_result(
        context,
        trainer,
        trained,
        folder,
        backend=backend.name,
        tokens_per_epoch=int(audit["tokens"]),
        packing=audit,
        extra={"algorithm": section.algorithm},
        metrics={
            "preference_accuracy": trained.last("eval_rewards/accuracies"),
            "reward_margin": trained.last("eval_rewards/margins"),
        },
    )


def tokenized_pairs(path: Path, tokenizer: Any, section: RlhfSection) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Pairs as prompt_ids, chosen_ids and rejected_ids, and their counts. Too long ones are left out.

    Raises:
        BadData: no pair is left, or more are too long than the recipe allows.
    """
    with path.open(encoding="utf-8") as stream:
        pairs = [json.loads(line) for line in stream]
    rows = []
    for pair in pairs:
        prompt = _ids(tokenizer, pair["prompt"], add_generation_prompt=True)
        sides = {side: _ids(tokenizer, pair["prompt"] + pair[side])[len(prompt) :] for side in ("chosen", "rejected")}
        if len(prompt) + max(map(len, sides.values())) <= section.max_length:
            rows.append({"prompt_ids": prompt, "chosen_ids": sides["chosen"], "rejected_ids": sides["rejected"]})
    too_long = len(pairs) - len(rows)
    if too_long > section.max_too_long_share * len(pairs) or not rows:
        raise BadData(
            f"{path}: {too_long} of {len(pairs)} pairs are longer than max_length {section.max_length} tokens; the "
            f"recipe allows a share of {section.max_too_long_share}. Raise max_length, or the share"
        )
    tokens = sum(2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)
    return rows, {"pairs": len(rows), "too_long": too_long, "tokens": tokens}


def _ids(tokenizer: Any, messages: list[dict[str, str]], **how: Any) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **how)["input_ids"]
    return ids
