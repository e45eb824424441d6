"""The environment table: what the assets rest on, chosen by KOREAN_LLM_ENV (local, cluster)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, SensorDefinition

from korean_llm_assets.alerts import configured_notifiers
from korean_llm_assets.compute.local import LocalCompute
from korean_llm_assets.compute.pool import LocalPool
from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import Landing
from korean_llm_assets.partitions.pointers import PointerIOManager
from korean_llm_assets.serving.registry import Registry
from trainers.contract import BadRequest
from trainers.contract.artifacts import ArtifactStore


def resources() -> dict[str, Any]:
    """The resources of this process's environment.

    Raises:
        BadRequest: KOREAN_LLM_ENV names none, or a variable that it needs is missing.
    """
    return _ENVIRONMENTS[environment_name()]()


def environment_name() -> str:
    """KOREAN_LLM_ENV, checked."""
    name = os.environ.get("KOREAN_LLM_ENV", "local")
    if name not in _ENVIRONMENTS:
        raise BadRequest(f"KOREAN_LLM_ENV is {name!r}; there are: {', '.join(_ENVIRONMENTS)}")
    return name


def _local() -> dict[str, Any]:
    home = Home.from_environment()
    store = ArtifactStore(home.artifacts)
    environment = home.environment()
    return {
        "io_manager": PointerIOManager(),
        "store": store,
        "landing": Landing(home.landing),
        "compute": LocalCompute(
            store, home.landing, LocalPool.of_this_machine(home.root / "pool"), environment, home.prepare_tracking
        ),
        "registry": Registry(environment["MLFLOW_TRACKING_URI"], locks=home.artifacts / ".registry"),
    }


def _cluster() -> dict[str, Any]:
    from korean_llm_assets.compute.cluster.compute import (
        cluster_compute,  # the Kubernetes client: only where it is used
    )
    from korean_llm_assets.serving.rollout_hook import cluster_rollout

    store = ArtifactStore(_required("KOREAN_LLM_ARTIFACTS"))
    landing = Path(_required("KOREAN_LLM_LANDING"))
    return {
        "io_manager": PointerIOManager(),
        "store": store,
        "landing": Landing(landing),
        "compute": cluster_compute(store, landing, _required("KOREAN_LLM_PROFILE")),
        "registry": Registry(
            _required("MLFLOW_TRACKING_URI"), locks=store.root / ".registry", rollout=cluster_rollout()
        ),
    }


def cluster_sensors() -> list[SensorDefinition]:
    """What only a cluster needs: the sweep of Jobs that nobody waits for.

    Raises:
        BadRequest: half an alert channel is configured; better now than at the first alert (`make ui` looks by itself).
    """
    if environment_name() != "cluster":
        return []
    configured_notifiers()
    from korean_llm_assets.compute.cluster.orphans import orphan_sensor

    return [orphan_sensor(_required("KOREAN_LLM_PROFILE"))]


def cluster_jobs(instance: DagsterInstance, before: float) -> list[tuple[str, Callable[[], None]]]:
    """On a cluster: workloads that ended before a time (Unix seconds), and how to remove each."""
    if environment_name() != "cluster":
        return []
    from korean_llm_assets.compute.cluster.kube_api import KubeApi, connect
    from korean_llm_assets.compute.cluster.orphans import finished
    from korean_llm_assets.compute.profiles import load_profile

    profile = load_profile(_required("KOREAN_LLM_PROFILE"))
    return finished(
        KubeApi(connect(profile.context), profile.namespace, profile.patience.api), profile, instance, before
    )


def _required(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise BadRequest(f"KOREAN_LLM_ENV=cluster needs the variable {variable}; dagster_deploy sets it")
    return value


_ENVIRONMENTS = {"local": _local, "cluster": _cluster}
