"""The IO manager that stores pointers: an Artifact travels as metadata of its materialization, never as a file."""

from dagster import AssetKey, AssetRecordsFilter, DagsterInstance, Failure, InputContext, IOManager, OutputContext

from trainers.contract import Artifact

ARTIFACT = "artifact"


class PointerIOManager(IOManager):
    """Writes the Artifact into Dagster's event log and reads the latest one of an asset's partition from there."""

    def handle_output(self, context: OutputContext, obj: Artifact) -> None:
        """Keep the pointer beside the materialization."""
        context.add_output_metadata({ARTIFACT: obj.to_json()})

    def load_input(self, context: InputContext) -> Artifact:
        """The pointer of the upstream partition's latest materialization.

        Raises:
            Failure: it was never materialized.
        """
        key, partition = context.asset_key, context.asset_partition_key
        pointer = latest(context.instance, key, partition)
        if pointer is None:
            raise Failure(
                f"{key.to_user_string()} has not been materialized for {partition!r}; materialize it first",
                allow_retries=False,
            )
        return pointer


def latest(instance: DagsterInstance, key: AssetKey, partition: str) -> Artifact | None:
    """The pointer of a partition's latest materialization, if there is one."""
    records_filter = AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    result = instance.fetch_materializations(records_filter, limit=1)
    if not result.records:
        return None
    materialization = result.records[0].asset_materialization
    assert materialization is not None, "the filter asks for materializations only"
    return Artifact.model_validate(materialization.metadata[ARTIFACT].value)
