"""The environment table: what the assets rest on, chosen by KOREAN_LLM_ENV (local, cluster)."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dagster import DagsterInstance, ResourceParam, SensorDefinition

from korean_llm_assets.alerts import configured_channels
from korean_llm_assets.compute.local import LocalCompute
from korean_llm_assets.compute.pool import LocalPool
from korean_llm_assets.compute.protocol import Compute
from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.pointers import PointerIOManager
from korean_llm_assets.serving.registry import Registry
from trainers.contract import BadRequest, settings
from trainers.contract.artifacts import ArtifactStore

_T = TypeVar("_T")


@dataclass(frozen=True)
class Platform:
    """What assets, triggers and commands rest on, wherever they run."""

    store: ArtifactStore
    landing: Landing
    compute: Compute
    registry: Registry

    @classmethod
    def from_environment(cls) -> "Platform":
        """The platform of this process's environment.

        Raises:
            BadRequest: KOREAN_LLM_ENV names none, or a variable that it needs is missing.
        """
        return _ENVIRONMENTS[settings.ENV.get()]()


PlatformResource = ResourceParam[Platform]
"""The type of an asset's or an op's parameter `platform`; Dagster fills it in by that name."""


def resources(platform: Platform) -> dict[str, object]:
    """What Dagster gives to assets and ops, by the name of their parameter."""
    return {"io_manager": PointerIOManager(), "platform": platform}


def _local() -> Platform:
    home = Home.from_environment()
    store = ArtifactStore(home.artifacts)
    environment = home.environment()
    pool = LocalPool.of_this_machine(home.root / "pool")
    return Platform(
        store=store,
        landing=Landing(home.landing),
        compute=LocalCompute(store, home.landing, pool, environment, home.prepare_tracking),
        registry=Registry(environment["MLFLOW_TRACKING_URI"], locks=store.registry_locks),
    )


def _cluster() -> Platform:
    from korean_llm_assets.compute.cluster.compute import (
        cluster_compute,  # the Kubernetes client: only where it is used
    )
    from korean_llm_assets.serving.rollout_hook import cluster_rollout

    store = ArtifactStore(_required(settings.ARTIFACTS.get(), settings.ARTIFACTS.name))
    landing = _required(settings.LANDING.get(), settings.LANDING.name)
    return Platform(
        store=store,
        landing=Landing(landing),
        compute=cluster_compute(store, landing, _profile_name()),
        registry=Registry(
            _required(os.environ.get("MLFLOW_TRACKING_URI"), "MLFLOW_TRACKING_URI"),
            locks=store.registry_locks,
            rollout=cluster_rollout(store),
        ),
    )


def cluster_sensors() -> list[SensorDefinition]:
    """What only a cluster needs: the sweep of Jobs that nobody waits for.

    Raises:
        BadRequest: half an alert channel is configured; better now than at the first alert (`make ui` looks by itself).
    """
    if settings.ENV.get() != "cluster":
        return []
    configured_channels()
    from korean_llm_assets.compute.cluster.orphans import orphan_sensor

    return [orphan_sensor(_profile_name())]


def cluster_jobs(instance: DagsterInstance, before: float) -> list[tuple[str, Callable[[], None]]]:
    """On a cluster: workloads that ended before a time (Unix seconds), and how to remove each."""
    if settings.ENV.get() != "cluster":
        return []
    from korean_llm_assets.compute.cluster.kube_api import KubeApi, connect
    from korean_llm_assets.compute.cluster.orphans import finished_workloads
    from korean_llm_assets.compute.profiles import load_profile

    profile = load_profile(_profile_name())
    return finished_workloads(
        KubeApi(connect(profile.context), profile.namespace, profile.patience.api), profile, instance, before
    )


def _profile_name() -> str:
    return _required(settings.PROFILE.get(), settings.PROFILE.name)


def _required(value: _T | None, variable: str) -> _T:
    if not value:
        raise BadRequest(f"KOREAN_LLM_ENV=cluster needs the variable {variable}; dagster_deploy sets it")
    return value


_ENVIRONMENTS = {"local": _local, "cluster": _cluster}
