"""Learning from preferences or verifiable rewards, by the algorithm that the recipe names."""

from pathlib import Path
from typing import Any

from trainers.contract import Alignment, BadRequest, sha256_of
from trainers.contract.recipe import RlhfSection
from trainers.runner.ranks import is_leader, leader_first
from trainers.runner.stage import StageContext, StageResult
from trainers.training.backends import open_backend
from trainers.training.model_folder import ModelFolder


def run(context: StageContext) -> StageResult:
    """Make `rlhf_model` from `sft_model` and `preferences`; in grpo and rloo a `reward_model` may rate the answers.

    `reward_model` leaves the policy as it is: model/ is the SFT model, and reward_model/ the trained reward model.
    """
    section: RlhfSection = context.section
    folder = ModelFolder(context.inputs["sft_model"] / "model").check(max_length=section.max_length, chat=True)
    reward_folder = reward_model_folder(context)
    backend = open_backend(section)  # before trl is imported
    from transformers import AutoTokenizer

    from trainers.training.alignment.accuracy import preference_accuracy
    from trainers.training.alignment.algorithms import PaddingFreeDpoTrainer, chosen
    from trainers.training.alignment.pairs import read_pairs
    from trainers.training.alignment.reward_model import trained_reward
    from trainers.training.arguments import Batching, training_arguments
    from trainers.training.data.rows import PackedCollator
    from trainers.training.leakage import leakage
    from trainers.training.loop import train
    from trainers.training.result import reward_model_result, training_result

    tokenizer = AutoTokenizer.from_pretrained(folder.path)
    source = context.inputs["preferences"]
    pairs, audit = read_pairs(source / "train.jsonl", tokenizer, section)
    held_out, _ = read_pairs(source / "validation.jsonl", tokenizer, section)
    algorithm = chosen(section, backend.name, trained_reward(reward_folder, held_out) if reward_folder else None)
    rows = algorithm.rows(pairs)
    train_set = one_for_all(rows, context.scratch / "train")
    context.reporter.params({**context.request.section, **audit})
    online = algorithm.watch is not None
    evaluation: dict[str, Any] = {}
    if not online:
        evaluation["eval_dataset"] = one_for_all(algorithm.rows(held_out), context.scratch / "validation")
    trains_reward_model = algorithm.trains_reward_model
    before: list[float] = []

    def build(batching: Batching) -> Any:
        model = (backend.load_reward_model if trains_reward_model else backend.load)(
            folder.path, section, context.request.seed
        )
        if not trains_reward_model and not before:
            before.append(preference_accuracy(model, held_out, tokenizer.pad_token_id))
        more = {"eval_strategy": "no"} if online else {}
        trainer = algorithm.trainer(
            model=model,
            args=training_arguments(algorithm.arguments, context, batching, **{**algorithm.settings, **more}),
            train_dataset=train_set,
            processing_class=tokenizer,
            **evaluation,
            **({"reward_funcs": algorithm.reward_functions} if online else {}),
        )
        if issubclass(algorithm.trainer, PaddingFreeDpoTrainer):
            ids = pairs[0].prompt_ids + pairs[0].chosen_ids
            trainer.leakage = leakage(trainer.model, PackedCollator(tokenizer.pad_token_id), ids)
        if "ref" in getattr(model, "peft_config", {}):
            # TRL copies the untouched adapter as its reference; the base alone is the same, and a second adapter
            # would be saved, resumed and published with the first.
            trainer.model.delete_adapter("ref")
        if algorithm.watch is not None:
            watch = algorithm.watch
            trainer.add_callback(watch)
            trainer.stopped_because = lambda: watch.reason
        return trainer

    trainer, trained = train(build, context, sha256_of(rows), audit["tokens"] / len(pairs))
    if stopped := trainer.stopped_because():
        context.reporter.warn(f"stopped before the end: {stopped}")
    if trains_reward_model:
        return reward_model_result(context, trainer, trained, folder, backend.name, int(audit["tokens"]), audit)
    metrics = {"preference_accuracy_before": before[0]}
    if trained.has("reward"):
        metrics |= {"reward_before": trained.first("reward"), "reward": trained.last("reward")}
    return training_result(
        context,
        trainer,
        trained,
        folder,
        backend=backend.name,
        tokens_per_epoch=int(audit["tokens"]),
        packing=audit,
        alignment=Alignment(
            algorithm=section.algorithm,
            reward_model=context.manifests["reward_model"].digest if reward_folder is not None else None,
            stopped=stopped or None,
        ),
        metrics=metrics,
        measure=lambda merged: {"preference_accuracy": preference_accuracy(merged, held_out, tokenizer.pad_token_id)},
    )


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
    return ModelFolder(folder).check(max_length=context.section.max_length + settings.completion_length, chat=True)
