"""Continued pre-training: the corpus, packed without losing a token, through TRL's trainer."""

from typing import Any

from trainers.contract import Pretraining
from trainers.contract.recipe import CptSection
from trainers.runner.ranks import leader_first
from trainers.runner.stage import StageContext, StageResult
from trainers.training.backends import open_backend
from trainers.training.model_folder import ModelFolder


def run(context: StageContext) -> StageResult:
    """Make `cpt_checkpoint` from `base_model` and `corpus`, or from `previous_checkpoint` where the request has one."""
    section: CptSection = context.section
    previous = context.inputs.get("previous_checkpoint")
    start = previous or context.inputs["base_model"]
    folder = ModelFolder(start / "model").check(max_length=section.max_length)
    backend = open_backend(section)  # before trl is imported
    from transformers import AutoTokenizer
    from trl import SFTTrainer

    from trainers.training.arguments import Batching, packed_trainer
    from trainers.training.data.cpt_rows import Replay, corpus_rows
    from trainers.training.loop import Durable, train
    from trainers.training.result import training_result
    from trainers.training.vocabulary_expansion import NewTokensFirst, expanded

    class CptTrainer(Durable, SFTTrainer):
        """TRL's trainer with our checkpoints."""

    corpus, scratch = context.inputs["corpus"], context.scratch
    expansion = continued_from = replay = None
    if previous is not None:
        earlier = context.manifests["previous_checkpoint"]
        continued_from = f"{earlier.request.release} ({earlier.digest})"
        context.reporter.say(f"going on from the checkpoint of release {earlier.request.release}")
        replay = Replay(context.inputs["previous_corpus"] / "train", section.replay_share or 0.0)
    elif section.start_from == "previous_release":
        context.reporter.say("no earlier release has a checkpoint of this model: starting from the base model")
    # A previous checkpoint has its new tokens already; they are added once.
    new_tokens = section.vocabulary if previous is None else None
    if new_tokens is not None:
        base = folder
        with leader_first():
            folder, expansion = expanded(base, corpus / "train", scratch / "expanded", new_tokens.tokens, section)
        context.reporter.say(
            f"{expansion.new_tokens} new tokens; {expansion.tokens_saved:.1%} fewer tokens to train on, which saves "
            f"{sum(expansion.gpu_hours_saved.values()):.3g} hours of one {expansion.gpu}"
        )
    tokenizer = AutoTokenizer.from_pretrained(folder.path)
    share, length = section.english_replay_share, section.max_length
    with leader_first():
        data = corpus_rows(corpus / "train", scratch / "train.arrow", tokenizer, length, share, replay)
        held_out = corpus_rows(corpus / "validation", scratch / "validation.arrow", tokenizer, length)
    if replay is not None and data.replay_share < replay.share * 0.9:
        context.reporter.warn(
            f"replay_share asks for {replay.share:.1%}, the previous release's corpus gave {data.replay_share:.1%}"
        )
    context.reporter.params({**context.request.section, **data.audit})
    context.reporter.say(
        f"{data.audit['documents']:,} documents, {data.audit['tokens']:,} tokens in {data.audit['rows']:,} rows, "
        f"{data.english_share:.1%} English"
    )
    if data.english_share < section.english_replay_share * 0.9:
        context.reporter.warn(
            f"english_replay_share asks for {section.english_replay_share:.1%}, the corpus has only "
            f"{data.english_share:.1%} of English"
        )

    def build(batching: Batching) -> Any:
        splits = (data.rows, held_out.rows)
        trainer = packed_trainer(CptTrainer, backend, folder.path, tokenizer, splits, context, batching)
        if new_tokens is not None and expansion is not None:
            trainer.add_callback(NewTokensFirst(expansion.first_new_token, new_tokens.new_tokens_first))
        return trainer

    tokens = int(data.audit["tokens"])
    trainer, trained = train(build, context, data.digest, tokens / len(data.rows))
    return training_result(
        context,
        trainer,
        trained,
        folder,
        backend=backend.name,
        tokens_per_epoch=tokens,
        packing=data.audit,
        pretraining=Pretraining(
            english_share=round(data.english_share, 6),
            replay_share=round(data.replay_share, 6) if replay else None,
            continued_from=continued_from,
        ),
        expansion=expansion,
    )
