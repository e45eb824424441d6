"""What Dagster loads."""

from dagster import (
    Definitions,
    in_process_executor,
    load_assets_from_modules,
    multiprocess_executor,
)

from korean_llm_assets.assets import data, deployment, evaluation, training
from korean_llm_assets.assets.code_links import with_code_links
from korean_llm_assets.assets.landing_assets import LANDING_ASSETS
from korean_llm_assets.assets.recipe_assets import RECIPE_ASSETS
from korean_llm_assets.resources import Platform, cluster_sensors, resources
from korean_llm_assets.triggers.jobs import JOBS, SCHEDULES
from korean_llm_assets.triggers.sensors import SENSORS
from trainers.contract import settings

defs = Definitions(
    assets=[
        *with_code_links(load_assets_from_modules([data, training, evaluation, deployment])),
        *RECIPE_ASSETS,
        *LANDING_ASSETS,
    ],
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=[*SENSORS, *cluster_sensors()],
    resources=resources(Platform.from_environment()),
    # A stage is a process of its own: one more per step would only add seconds. In a cluster, steps wait for
    # Kubernetes Jobs and may do so side by side.
    executor=in_process_executor if settings.ENV.get() == "local" else multiprocess_executor,
)
