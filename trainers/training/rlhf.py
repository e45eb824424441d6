"""Learning from preferences or verifiable rewards, by the algorithm that the recipe names."""

import random
from pathlib import Path
from typing import Any

from trainers.contract import Alignment, BadRequest, sha256_of
from trainers.contract.recipe import RlhfSection
from trainers.runner.ranks import is_leader, leader_first
from trainers.runner.stage import StageContext, StageResult
from trainers.training.backends import open_backend
from trainers.training.model_facts import facts_in, facts_of, parent_of, require_room
from trainers.training.model_folder import ModelFolder
from trainers.training.steps import Batching, step_rows


def run(context: StageContext) -> StageResult | None:
    """Make `rlhf_model` from `sft_model` and `preferences`; in grpo and rloo a `reward_model` may rate the answers.

    `reward_model` leaves the policy as it is: model/ is the SFT model, and reward_model/ the trained reward model.
    """
    section: RlhfSection = context.section
    folder = ModelFolder(context.inputs["sft_model"] / "model").check(chat=True)
    facts = facts_of(parent_of(context), folder.path)
    require_room(section.max_length, facts)
    reward_folder = reward_model_folder(context)
    backend = open_backend(section, context.scratch, context.reporter.say)  # before trl is imported
    from transformers import AutoTokenizer

    from trainers.training.alignment.accuracy import AccuracyBefore, preference_accuracy
    from trainers.training.alignment.algorithms import PaddingFreeDpoTrainer, chosen
    from trainers.training.alignment.pairs import read_preferences
    from trainers.training.alignment.reward_model import trained_reward
    from trainers.training.arguments import training_arguments
    from trainers.training.data.rows import PackedCollator
    from trainers.training.leakage import leakage
    from trainers.training.loop import train
    from trainers.training.replay import text_replay
    from trainers.training.result import reward_model_result, training_result

    tokenizer = AutoTokenizer.from_pretrained(folder.path)
    source = context.inputs["preferences"]
    system_prompt = parent_of(context).request.section.get("system_prompt")  # SFT's
    judges = [AutoTokenizer.from_pretrained(reward_folder.path)] if reward_folder else []
    preferences, held_out_preferences = (
        read_preferences(source / f"{split}.jsonl", tokenizer, section, system_prompt, judges)
        for split in ("train", "validation")
    )
    pairs, held_out, audit = preferences.pairs, held_out_preferences.pairs, preferences.audit
    judge = trained_reward(reward_folder, held_out, section) if reward_folder else None
    algorithm = chosen(section, backend.name, judge)
    every = [*algorithm.rows(pairs), *preferences.judged]
    rows = seen_rows(every, section, context.request.seed)
    tokens = round(audit["tokens"] * len(rows) / len(every))
    train_set = one_for_all(rows, context.scratch / "train")
    context.reporter.params({**context.request.section, **audit})
    online = algorithm.watch is not None
    evaluation: dict[str, Any] = {}
    if not online:
        evaluation["eval_dataset"] = one_for_all(
            [*algorithm.rows(held_out), *held_out_preferences.judged], context.scratch / "validation"
        )
    replay = text_replay(context, tokenizer, facts, len(rows))
    trains_reward_model = algorithm.trains_reward_model
    before = AccuracyBefore(held_out, facts.pad, context.scratch / "accuracy-before.json", context.reporter.progress)

    def build(batching: Batching) -> Any:
        model = (backend.load_reward_model if trains_reward_model else backend.load)(
            folder.path, section, context.request.seed
        )
        more = {"eval_strategy": "no"} if online else {}
        trainer = algorithm.trainer(
            model=model,
            args=training_arguments(algorithm.arguments, context, batching, **{**algorithm.settings, **more}),
            train_dataset=train_set,
            processing_class=tokenizer,
            **evaluation,
            **({"reward_funcs": algorithm.reward_functions} if online else {}),
        )
        trainer.replay = replay and replay.beside(model, backend)
        if issubclass(algorithm.trainer, PaddingFreeDpoTrainer):
            ids = pairs[0].prompt_ids + pairs[0].chosen_ids
            trainer.leakage = leakage(trainer.model, PackedCollator(facts.pad), ids)
        if "ref" in getattr(model, "peft_config", {}):
            # TRL copies the untouched adapter as its reference; the base alone is the same, and a second adapter
            # would be saved, resumed and published with the first.
            trainer.model.delete_adapter("ref")
        if held_out and not trains_reward_model:
            trainer.add_callback(before)
        if algorithm.watch is not None:
            watch = algorithm.watch
            trainer.add_callback(watch)
            trainer.stopped_because = lambda: watch.reason
        return trainer

    def accuracy_after(merged: Any) -> dict[str, float]:
        if not held_out:
            return {}
        return {"preference_accuracy": preference_accuracy(merged, held_out, facts.pad, context.reporter.progress)}

    trainer, trained = train(build, context, sha256_of(rows), tokens / len(rows))
    if trains_reward_model:
        return reward_model_result(context, trainer, trained, folder, backend, tokens, audit)
    metrics = {"preference_accuracy_before": before.value} if held_out else {}  # single answers compare nothing
    if trained.has("reward"):
        metrics |= {"reward_before": trained.first("reward"), "reward": trained.last("reward")}
    return training_result(
        context,
        trainer,
        trained,
        folder,
        backend=backend,
        tokens_per_epoch=tokens,
        packing=audit | (replay.audit if replay else {}),
        alignment=Alignment(
            algorithm=section.algorithm,
            reward_model=context.manifests["reward_model"].digest if reward_folder is not None else None,
            stopped=trainer.stopped_because(),
        ),
        metrics=metrics,
        measure=accuracy_after,
    )


def seen_rows(rows: list[dict[str, Any]], section: RlhfSection, seed: int) -> list[dict[str, Any]]:
    """The rows that a training of `max_steps` can see, drawn by the seed: the reference need not answer the others."""
    if section.max_steps is None:
        return rows
    count = section.max_steps * step_rows(section)
    return rows if count >= len(rows) else random.Random(seed).sample(rows, count)


def one_for_all(rows: list[dict[str, Any]], folder: Path) -> Any:
    """Rows as a data set that all processes read from one folder: there TRL's leader leaves the reference's
    log-probabilities, and the others look for them."""
    from datasets import Dataset

    with leader_first():
        if is_leader():
            Dataset.from_list(rows).save_to_disk(folder)
    return Dataset.load_from_disk(folder)


def reward_model_folder(context: StageContext) -> ModelFolder | None:
    """The trained reward model that the section names, checked.

    Raises:
        BadRequest: the request has none, or what it names is no reward model.
    """
    settings = context.section.sampling
    if settings is None or settings.reward_model is None:
        return None
    if "reward_model" not in context.inputs:
        raise BadRequest(f"sampling.reward_model names {settings.reward_model!r}, but the request has no such input")
    folder = context.inputs["reward_model"] / "reward_model"
    if not folder.is_dir():
        raise BadRequest(
            f"{folder} is not there: {settings.reward_model!r} was not trained with algorithm: reward_model"
        )
    require_room(context.section.max_length + settings.completion_length, facts_in(folder))
    return ModelFolder(folder).check(chat=True)
