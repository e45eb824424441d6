"""The jobs that people start, and the schedules."""

from typing import Any

from dagster import AssetSelection, PartitionsDefinition, define_asset_job

from korean_llm_assets.partitions.keys import cells, models, partitions_of, releases
from korean_llm_assets.triggers.drift import drift_job, drift_schedule
from korean_llm_assets.triggers.housekeeping import housekeeping_job, housekeeping_schedule
from korean_llm_assets.triggers.intake import intake_job
from trainers.contract import STAGES


def _partitioned_by(space: PartitionsDefinition) -> AssetSelection:
    """Runs of one job share one partition space; the graph has three."""
    return AssetSelection.assets(*(stage.asset for stage in STAGES.values() if partitions_of(stage) == space))


data_job = define_asset_job(
    "data",
    selection=_partitioned_by(releases),
    description="A release's data: benchmarks, corpus, instructions, preferences.",
)
base_job = define_asset_job(
    "base",
    selection=_partitioned_by(models),
    description="The base model of a recipe.",
)
training_job = define_asset_job(
    "training",
    selection=_partitioned_by(cells),
    description="One model on one release: CPT, SFT, RLHF, evaluation, deployment.",
)
# Jobs of assets and of ops have no public type in common.
JOBS: list[Any] = [data_job, base_job, training_job, intake_job, housekeeping_job, drift_job]
SCHEDULES = [housekeeping_schedule, drift_schedule]
