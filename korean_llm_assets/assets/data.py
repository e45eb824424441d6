"""Data assets, by release: what a drop of text becomes before a model sees it."""

from dagster import AssetExecutionContext, Failure, MaterializeResult

from korean_llm_assets.partitions import cell_of, earlier_releases
from korean_llm_assets.stage_asset import materialize, stage_asset
from trainers.contract import Artifact, Input, StageError

_GROUP = "data"


@stage_asset(group=_GROUP, kinds={"json"})
def benchmarks(context: AssetExecutionContext) -> MaterializeResult:
    """Evaluation suites of a release; its other data is kept clean of them. Inherited where a release has none."""
    return materialize(context, _landed(context))


@stage_asset(group=_GROUP, kinds={"json", "python"})
def corpus(context: AssetExecutionContext, benchmarks: Artifact) -> MaterializeResult:
    """Text for continued pre-training: read, repaired, filtered, deduplicated, decontaminated and split.

    Every dropped document is counted by reason and kept in an exclusions file.
    """
    return materialize(context, _landed(context), benchmarks)


@stage_asset(group=_GROUP, kinds={"json"})
def instructions(context: AssetExecutionContext, benchmarks: Artifact) -> MaterializeResult:
    """Conversations for supervised fine-tuning, checked, clean of benchmarks, split; inherited where missing."""
    return materialize(context, _landed(context), benchmarks)


@stage_asset(group=_GROUP, kinds={"json"})
def preferences(context: AssetExecutionContext, benchmarks: Artifact) -> MaterializeResult:
    """Pairs of a chosen and a rejected answer, checked, clean of benchmarks, split; inherited where missing."""
    return materialize(context, _landed(context), benchmarks)


def _landed(context: AssetExecutionContext) -> Input:
    """The landed folder that this data asset reads, its own release's or an earlier one's."""
    _, release = cell_of(context)
    assert release is not None, "data assets are partitioned by release"
    earlier = earlier_releases(context.instance, release)
    try:
        landed: Input = context.resources.landing.input(release, context.asset_key.to_user_string(), earlier)
    except StageError as error:
        raise Failure(str(error), allow_retries=False) from error
    return landed
