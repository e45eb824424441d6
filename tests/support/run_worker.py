"""A run worker for tests: one job on one partition in this process, as `dagster api execute_run` would run it."""

import json
import sys

from dagster import DagsterInstance, MultiPartitionKey


def main(job: str, partition: str, run_id: str, config: str = "{}") -> int:
    """Run it with the launchpad's config; the exit status says whether it succeeded."""
    from korean_llm_assets.definitions import defs

    model, _, release = partition.rpartition("|")
    key = MultiPartitionKey({"model": model, "release": release}) if model else partition
    with DagsterInstance.get() as instance:
        if job != "base":
            instance.add_dynamic_partitions("release", [release])
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=key, run_id=run_id, run_config=json.loads(config), raise_on_error=False
        )
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
