"""What Dagster loads."""

from dagster import Definitions, in_process_executor, load_assets_from_modules, multiprocess_executor

from korean_llm_assets.assets import data, deployment, evaluation, training
from korean_llm_assets.resources import cluster_sensors, environment_name, resources
from korean_llm_assets.triggers import sensors as automation
from korean_llm_assets.triggers.drift import drift_job, drift_schedule

defs = Definitions(
    assets=load_assets_from_modules([data, training, evaluation, deployment]),
    jobs=[*automation.JOBS, drift_job],
    schedules=[*automation.SCHEDULES, drift_schedule],
    sensors=[*automation.SENSORS, *cluster_sensors()],
    resources=resources(),
    # A stage is a process of its own: one more per step would only add seconds. In a cluster, steps wait for
    # Kubernetes Jobs and may do so side by side.
    executor=in_process_executor if environment_name() == "local" else multiprocess_executor,
)
