"""The platform's own chart, installed on a real cluster by Helm's library, with the facts of a small installation."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api, CustomObjectsApi

from korean_llm_assets.compute.cluster.kube_api import KubeApi
from korean_llm_assets.compute.profiles import ClusterProfile, load_profile
from tests.support import charts
from tests.support.charts import Body

RELEASE, PLATFORM, TRAINING = "korean-llm", "llm-platform", "llm-training"
_HERE = "default"
"""Where `install` keeps the release."""
_SMALL: Body = {
    "images": {"pullSecret": ""},
    "gpuNodes": [{"type": "h100", "nodes": 2, "gpus": 8, "cpu": 96, "memory": "800Gi", "pricePerHour": 3.0}],
    "cpuNodes": {"nodes": 2, "cpu": 32, "memory": "128Gi", "pricePerHour": 0},
    "hosts": {"dagster": "", "mlflow": "", "grafana": "", "models": ""},
    "entrance": {"kind": "none"},
    "monitoring": False,
    "alerts": {"secret": ""},
    "training": {"secrets": [], "nodeLocalInputs": ""},
}
_GONE_SECONDS = 300


@dataclass
class Installed:
    """The release, and views of it: the test's own as administrator, and the run workers'."""

    admin: ApiClient
    facts: Body
    profiles: Path
    """Where its cluster profiles lie as files (KOREAN_LLM_PROFILES)."""
    manifest: list[Body] = field(default_factory=list)

    @property
    def core(self) -> CoreV1Api:
        """The administrator's view."""
        return CoreV1Api(self.admin)

    def upgrade(self, **changes: Any) -> None:
        """`helm upgrade --install` of the chart with other facts; nothing waits for pods, which need nodes."""
        self.facts = charts.INSTALL["merged"](self.facts, changes)
        with helm_python.Config(namespace=_HERE) as helm:
            installed = {each["name"] for each in helm.list()}
            act = helm.upgrade if RELEASE in installed else helm.install
            release = act(str(charts.DEPLOY / "chart"), RELEASE, self.facts)
        assert release["status"] == "deployed", release
        self.manifest = [body for body in yaml.safe_load_all(release["manifest"]) if body]
        for name, text in charts.profiles(self.facts).items():
            (self.profiles / name).write_text(text, encoding="utf-8")

    def profile(self, name: str = "h100", **changes: Any) -> ClusterProfile:
        """A profile of the installation; its pods are for no scheduler: they are pretended."""
        return load_profile(name).model_copy(update={"scheduler": "nobody", **changes})

    def as_account(self, name: str, namespace: str) -> ApiClient:
        """A client with that service account's own token."""
        token = self.core.create_namespaced_service_account_token(name, namespace, {"spec": {}}).status.token
        configuration = Configuration()
        configuration.host = self.admin.configuration.host
        configuration.ssl_ca_cert = self.admin.configuration.ssl_ca_cert
        configuration.retries = False
        configuration.api_key = {"authorization": f"Bearer {token}"}
        return ApiClient(configuration)

    def run_worker(self) -> KubeApi:
        """What a run worker of the platform sees of the training namespace."""
        return KubeApi(self.as_account("dagster", PLATFORM), TRAINING)

    def objects(self, plural: str, group: str = "kueue.x-k8s.io", version: str = "v1beta2") -> list[Body]:
        """Custom objects, of the whole cluster."""
        answer = CustomObjectsApi(self.admin).list_cluster_custom_object(group, version, plural)
        items: list[Body] = answer["items"]
        return items


@contextmanager
def installed(admin: ApiClient, profiles: Path) -> Iterator[Installed]:
    """Install, and remove again with all that a removal keeps; skips where that would touch an installation in use."""
    core = CoreV1Api(admin)
    if {PLATFORM, TRAINING} & {each.metadata.name for each in core.list_namespace().items}:
        pytest.skip(f"the platform is installed on this cluster: these tests would remove namespace {TRAINING}")
    try:
        CustomObjectsApi(admin).list_cluster_custom_object("kueue.x-k8s.io", "v1beta2", "clusterqueues")
    except ApiException as error:
        pytest.skip(f"Kueue is not installed on this cluster ({error.status}): dagster_deploy/install --only kueue")
    platform = Installed(admin, charts.facts(**_SMALL), profiles)
    try:
        platform.upgrade(images={"tag": uuid.uuid4().hex[:12]})
        yield platform
    finally:
        with helm_python.Config(namespace=_HERE) as helm:
            helm.uninstall(RELEASE)
        remove_what_is_kept(core)


def remove_what_is_kept(core: CoreV1Api) -> None:
    """Namespaces, claims and volumes outlive the release; waits until they are gone."""
    for namespace in (TRAINING, PLATFORM):
        core.delete_namespace(namespace)
    for volume in core.list_persistent_volume(label_selector="app.kubernetes.io/part-of=korean-llm").items:
        core.delete_persistent_volume(volume.metadata.name)
    end = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < end:
        with suppress(ApiException):
            if not {PLATFORM, TRAINING} & {each.metadata.name for each in core.list_namespace().items}:
                return
        time.sleep(1)
    raise AssertionError(f"{TRAINING} or {PLATFORM} is still there after {_GONE_SECONDS} s; the next test would skip")
