"""Training assets: a base model, and what becomes of it on each release."""

from dagster import AssetExecutionContext, MaterializeResult

from korean_llm_assets.assets.continuation import previous_inputs
from korean_llm_assets.assets.reward_model_input import reward_model_inputs
from korean_llm_assets.assets.stage_asset import materialize, stage_asset
from korean_llm_assets.partitions.keys import cell_of
from korean_llm_assets.resources import PlatformResource
from trainers.contract import Artifact

_GROUP = "training"


@stage_asset(group=_GROUP, kinds={"huggingface"})
def base_model(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult:
    """The pinned base model of a recipe, or one that is built here; says how well its tokenizer fits Korean."""
    return materialize(context, platform)


@stage_asset(group=_GROUP, kinds={"pytorch", "huggingface"})
def cpt_checkpoint(
    context: AssetExecutionContext, platform: PlatformResource, base_model: Artifact, corpus: Artifact
) -> MaterializeResult:
    """Continued pre-training: the base model, or the previous release's checkpoint, after reading this corpus."""
    previous = previous_inputs(context, platform.store, base_model, corpus)
    return materialize(context, platform, base_model, corpus, *previous)


@stage_asset(group=_GROUP, kinds={"pytorch", "huggingface"})
def sft_model(
    context: AssetExecutionContext,
    platform: PlatformResource,
    cpt_checkpoint: Artifact,
    instructions: Artifact,
    corpus: Artifact,
) -> MaterializeResult:
    """Supervised fine-tuning: the model after learning to answer; the corpus is replayed against forgetting."""
    return materialize(context, platform, cpt_checkpoint, instructions, corpus)


@stage_asset(group=_GROUP, kinds={"pytorch", "huggingface"})
def rlhf_model(
    context: AssetExecutionContext,
    platform: PlatformResource,
    sft_model: Artifact,
    preferences: Artifact,
    corpus: Artifact,
) -> MaterializeResult:
    """Learning from preferences: the model after being shown better and worse answers; the corpus is replayed."""
    model, release = cell_of(context)
    assert model is not None and release is not None, "rlhf_model is partitioned by model and release"
    reward_model = reward_model_inputs(context.instance, model, release)
    return materialize(context, platform, sft_model, preferences, corpus, *reward_model)
