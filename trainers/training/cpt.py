"""Continued pre-training: the corpus, without losing a token, through TRL's trainer."""

from functools import partial
from typing import Any

from trainers.contract import Pretraining
from trainers.contract.recipe import CptSection
from trainers.runner.ranks import leader_first
from trainers.runner.stage import StageContext, StageResult
from trainers.training.backends import open_backend
from trainers.training.model_facts import facts_of, parent_of, require_room
from trainers.training.model_folder import ModelFolder


def run(context: StageContext) -> StageResult | None:
    """Make `cpt_checkpoint` from `base_model` and `corpus`, or from `previous_checkpoint` where the request has one."""
    section: CptSection = context.section
    previous = context.inputs.get("previous_checkpoint")
    start = previous or context.inputs["base_model"]
    folder = ModelFolder(start / "model").check()
    facts = facts_of(parent_of(context), folder.path)
    require_room(section.max_length, facts)
    backend = open_backend(section, context.scratch, context.reporter.say)  # before trl is imported
    from transformers import AutoTokenizer
    from trl import SFTTrainer

    from trainers.training.arguments import rows_trainer
    from trainers.training.data.cpt_rows import Replay, corpus_rows
    from trainers.training.data.length_buckets import row_buckets
    from trainers.training.data.rows import PackedCollator
    from trainers.training.loop import Durable, train
    from trainers.training.result import training_result
    from trainers.training.steps import Batching, row_multiple, step_rows
    from trainers.training.vocabulary_expansion import NewTokensFirst, expanded

    class CptTrainer(Durable, SFTTrainer):
        """TRL's trainer with our checkpoints; rows that differ in length come in buckets."""

        def _get_train_sampler(self, *arguments: Any) -> Any:
            if buckets is None:
                return super()._get_train_sampler(*arguments)
            return buckets.following(lambda: int(self.state.epoch or 0))

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
    read = partial(corpus_rows, tokenizer=tokenizer, facts=facts, row_length=length, packed=section.layout == "packed")
    with leader_first():
        data = read(corpus / "train", scratch / "train.arrow", english_share=share, replay=replay)
        held_out = read(corpus / "validation", scratch / "validation.arrow")
    buckets = None
    if section.layout == "rows":
        buckets = row_buckets(data.rows, step_rows(section), context.request.seed)
        fill = buckets.fill(section.batch_size)
        data.audit |= {"fill": round(fill, 6), "padded_tokens": round(data.audit["tokens"] * (1 / fill - 1))}
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
        model = backend.load(folder.path, section, context.request.seed)
        flat = section.layout == "packed" and backend.lays_flat(model)
        collator = PackedCollator(facts.pad, flat, row_multiple(section))
        splits = (data.rows, held_out.rows)
        trainer = rows_trainer(CptTrainer, model, collator, tokenizer, facts, splits, context, batching)
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
        backend=backend,
        tokens_per_epoch=tokens,
        packing=data.audit,
        pretraining=Pretraining(
            english_share=round(data.english_share, 6),
            replay_share=round(data.replay_share, 6) if replay else None,
            continued_from=continued_from,
        ),
        expansion=expansion,
    )
