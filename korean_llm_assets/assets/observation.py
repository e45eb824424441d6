"""What nothing here makes is in the graph, too (recipes, landed folders): its versions are observed, each once."""

from collections.abc import Mapping

from dagster import AssetKey, AssetObservation, DagsterInstance, MetadataValue

_VERSION_TAG = "dagster/data_version"
_KEPT_CHARACTERS = 32
"""Of a digest: Dagster's tags hold 63."""


def observe(
    instance: DagsterInstance, key: AssetKey, partition: str, digest: str, says: Mapping[str, MetadataValue]
) -> None:
    """Record that a partition of an external asset has this content, unless that is what was observed last."""
    version = digest[:_KEPT_CHARACTERS]
    record = instance.get_latest_data_version_record(key, is_source=True, partition_key=partition)
    last = record.asset_observation if record else None
    if last is None or last.tags.get(_VERSION_TAG) != version:
        observation = AssetObservation(key, partition=partition, tags={_VERSION_TAG: version}, metadata=says)
        instance.report_runless_asset_event(observation)
