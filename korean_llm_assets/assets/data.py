"""Data assets, by release: what a drop of text becomes before a model sees it."""

from dagster import AssetExecutionContext, MaterializeResult

from korean_llm_assets.assets.stage_asset import materialize, stage_asset
from korean_llm_assets.landing.quarantine import bad_data, quarantine, quarantined
from korean_llm_assets.partitions.keys import cell_of, earlier_releases
from korean_llm_assets.partitions.pointers import latest
from korean_llm_assets.partitions.recipes import data_recipe
from korean_llm_assets.partitions.requests import as_input
from korean_llm_assets.resources import Platform, PlatformResource
from trainers.contract import DEDUP_INDEX, EARLIER, NOUNS, Artifact, Input, StageError
from trainers.contract.recipe import CorpusSection

_GROUP = "data"


@stage_asset(group=_GROUP, kinds={"json"})
def benchmarks(context: AssetExecutionContext, platform: PlatformResource) -> MaterializeResult:
    """Evaluation suites of a release; its other data is kept clean of them. Inherited where a release has none."""
    return materialize(context, platform, _landed(context, platform))


@stage_asset(group=_GROUP, kinds={"json", "python"})
def corpus(context: AssetExecutionContext, platform: PlatformResource, benchmarks: Artifact) -> MaterializeResult:
    """Text for continued pre-training: read, repaired, filtered, deduplicated, decontaminated and split.

    What the corpora of earlier releases hold is left out. Every dropped document is counted by reason and kept in
    an exclusions file.
    """
    return materialize(context, platform, _landed(context, platform), benchmarks, *_earlier_corpora(context, platform))


@stage_asset(group=_GROUP, kinds={"json"})
def instructions(context: AssetExecutionContext, platform: PlatformResource, benchmarks: Artifact) -> MaterializeResult:
    """Conversations for supervised fine-tuning, checked, clean of benchmarks, split; inherited where missing."""
    return materialize(context, platform, _landed(context, platform), benchmarks)


@stage_asset(group=_GROUP, kinds={"json"})
def preferences(context: AssetExecutionContext, platform: PlatformResource, benchmarks: Artifact) -> MaterializeResult:
    """Pairs of a chosen and a rejected answer, checked, clean of benchmarks, split; inherited where missing."""
    return materialize(context, platform, _landed(context, platform), benchmarks)


def _landed(context: AssetExecutionContext, platform: Platform) -> Input:
    """The landed folder that this data asset reads, its own release's or an earlier one's."""
    release = _release(context)
    earlier = earlier_releases(context.instance, release)
    refused = quarantined(context.instance, context.asset_key, earlier)
    earlier = [name for name in earlier if name not in refused]
    try:
        return platform.landing.input(release, context.asset_key.to_user_string(), earlier)
    except StageError as error:
        raise quarantine(context, bad_data(str(error))) from error


def _earlier_corpora(context: AssetExecutionContext, platform: Platform) -> list[Input]:
    """What is kept of earlier releases' newest corpora, for comparison.

    As with the champion this is settled when the request is built and is no edge of the graph: a new release
    outdates no older one, and an older one that is made again outdates no newer one until that is asked for again.
    """
    if not data_recipe().section(CorpusSection).against_earlier:
        return []
    corpora = []
    for release in earlier_releases(context.instance, _release(context)):
        artifact = latest(context.instance, context.asset_key, release)
        if artifact is None:
            continue
        if platform.store.read_manifest(artifact.path) is not None:
            corpora.append(as_input(artifact, EARLIER + release, only=(DEDUP_INDEX, NOUNS)))
        else:
            context.log.warning(f"not compared with release {release}: its corpus {artifact.path} is no longer there")
    return corpora


def _release(context: AssetExecutionContext) -> str:
    _, release = cell_of(context)
    assert release is not None, "data assets are partitioned by release"
    return release
