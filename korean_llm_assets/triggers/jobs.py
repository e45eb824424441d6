"""The jobs that people start, and the schedules."""

from typing import Any

from dagster import AssetSelection, define_asset_job

from korean_llm_assets.triggers.drift import drift_job, drift_schedule
from korean_llm_assets.triggers.housekeeping import housekeeping_job, housekeeping_schedule

# Runs of one job share one partition space; these are the three spaces of the graph.
data_job = define_asset_job(
    "data",
    selection=AssetSelection.groups("data"),
    description="A release's data: benchmarks, corpus, instructions, preferences.",
)
base_job = define_asset_job(
    "base",
    selection=AssetSelection.assets("base_model"),
    description="The base model of a recipe.",
)
training_job = define_asset_job(
    "training",
    selection=AssetSelection.assets("cpt_checkpoint", "sft_model", "rlhf_model", "eval_report", "deployed_model"),
    description="One model on one release: CPT, SFT, RLHF, evaluation, deployment.",
)
# Jobs of assets and of ops have no public type in common.
JOBS: list[Any] = [data_job, base_job, training_job, housekeeping_job, drift_job]
SCHEDULES = [housekeeping_schedule, drift_schedule]
