"""The cluster under test: KUBECONFIG's where it is set, the double otherwise; both behind the same fault proxy.

For a real cluster: KOREAN_LLM_TEST_IMAGE (an image with this project's Python, or an empty one with
KOREAN_LLM_TEST_MOUNTS naming the node's folders to mount, with colons between), KOREAN_LLM_TEST_VOLUME (a folder that
tests and nodes share), KOREAN_LLM_TEST_PYTHON (its interpreter), KOREAN_LLM_TEST_PYTHONPATH.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from kubernetes.client import ApiClient, BatchV1Api, Configuration, CoreV1Api

from korean_llm_assets.compute.cluster.kube_api import Clock, KubeApi
from korean_llm_assets.compute.cluster.launcher import Launcher
from korean_llm_assets.compute.profiles import ClusterProfile
from tests.support.api_double import ApiDouble
from tests.support.fault_proxy import FaultProxy
from tests.support.installed import Installed, installed
from trainers.contract import Needs, StageRequest, settings
from trainers.contract.artifacts import ArtifactStore

ROOT = Path(__file__).parent.parent.parent
DOUBLE_IMAGE = "double.local/trainer:1"


@dataclass
class ClusterUnderTest:
    """One namespace of a cluster, the fault proxy before it, and a folder that pods share with the test."""

    double: ApiDouble | None
    proxy: FaultProxy
    admin: ApiClient
    namespace: str
    folder: Path
    messages: list[str] = field(default_factory=list)
    log_lines: list[str] = field(default_factory=list)

    @property
    def core(self) -> CoreV1Api:
        """The test's own, undisturbed view of pods."""
        return CoreV1Api(self.admin)

    @property
    def batch(self) -> BatchV1Api:
        """The test's own, undisturbed view of Jobs."""
        return BatchV1Api(self.admin)

    @property
    def store(self) -> ArtifactStore:
        """The shared artifact store."""
        return ArtifactStore(self.folder / "artifacts")

    def profile(self, script: dict[str, Any] | None = None, **changes: Any) -> ClusterProfile:
        """A profile for this cluster whose trainer follows a script."""
        mounts = [str(mount) for mount in settings.TEST_MOUNTS.get()]
        volumes = [{"name": "store", "mount_path": str(self.folder), "host_path": str(self.folder)}]
        volumes += [
            {"name": f"host-{number}", "mount_path": mount, "host_path": mount, "read_only": True}
            for number, mount in enumerate(mounts)
        ]
        python = settings.TEST_PYTHON.get() or sys.executable
        path = settings.TEST_PYTHONPATH.get() or str(ROOT)
        return ClusterProfile.model_validate(
            {
                "name": "under-test",
                "namespace": self.namespace,
                "image": DOUBLE_IMAGE if self.double else settings.TEST_IMAGE.get(),
                "image_pull_policy": "Never",
                "command": [python, "-m", "tests.support.scripted_trainer"],
                "launcher": [python, "-m", "tests.support.scripted_trainer"],
                "service_account": "default",
                "artifacts_path": str(self.folder / "artifacts"),
                "landing_path": str(self.folder / "landing"),
                "volumes": volumes,
                "env": {
                    "SCRIPT": json.dumps(script or {"steps": 2, "step_seconds": 0.1}),
                    "PYTHONPATH": path,
                    "KOREAN_LLM_METRICS_PORT": "0",  # the double has one network for all its pods
                },
                "cpu_pool": {"nodes": 1, "cpu": 4, "memory": "8Gi"},
                "gpu_pool": {
                    "nodes": 1,
                    "cpu": 4,
                    "memory": "8Gi",
                    "type": "pretended",
                    "per_node": 8,
                    "gpu_memory": "80Gi",
                },
                "security": {"user": 0, "group": 0},
                "grace": 10,
                "poll_seconds": 0.2,
                **changes,
            }
        )

    def api(self, profile: ClusterProfile, clock: Clock | None = None) -> KubeApi:
        """The launcher's own view, through the fault proxy."""
        configuration = Configuration()
        configuration.host, configuration.retries = self.proxy.url, False
        return KubeApi(ApiClient(configuration), self.namespace, profile.patience.api, clock)

    def launcher(self, profile: ClusterProfile, run_id: str = "run-a", clock: Clock | None = None) -> Launcher:
        """A launcher for one run; what it says is kept in `messages`."""

        def say(line: str, is_warning: bool) -> None:
            self.messages.append(line)

        return Launcher(self.api(profile, clock), profile, self.store, run_id, say, self.log_lines.append, clock=clock)

    def request(self, needs: Needs | None = None, **changes: Any) -> StageRequest:
        """A request that nobody has asked for yet, placed."""
        request = StageRequest(
            stage="benchmarks",
            stage_version=1,
            release=changes.pop("release", f"r-{uuid.uuid4().hex[:8]}"),
            needs=needs or Needs(cpu=0.5, memory="512Mi"),
            **changes,
        )
        return self.place(request)

    def place(self, request: StageRequest) -> StageRequest:
        """Write a request where its pods look for it."""
        path = self.store.beside(request).request
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(request.model_dump_json())
        return request

    def jobs(self, request: StageRequest) -> list[Any]:
        """All Jobs of a request."""
        selector = f"korean-llm/request={request.digest[:32]}"
        return list(self.batch.list_namespaced_job(self.namespace, label_selector=selector).items)

    def pods(self, request: StageRequest) -> list[Any]:
        """All pods of a request."""
        selector = f"korean-llm/request={request.digest[:32]}"
        return list(self.core.list_namespaced_pod(self.namespace, label_selector=selector).items)

    def steps(self, request: StageRequest) -> list[str]:
        """For each step of the finished request, the attempt that did it."""
        steps: list[str] = json.loads((self.store.folder(request) / "steps.json").read_text())
        return steps


@pytest.fixture(scope="session")
def _upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiDouble | None, ApiClient]]:
    if os.environ.get("KUBECONFIG"):
        configuration = Configuration()
        kubernetes.config.load_kube_config(client_configuration=configuration)
        yield None, ApiClient(configuration)
        return
    double = ApiDouble(tmp_path_factory.mktemp("double"))
    configuration = Configuration()
    configuration.host = double.url
    yield double, ApiClient(configuration)
    double.stop()


@pytest.fixture
def cluster(_upstream: tuple[ApiDouble | None, ApiClient], tmp_path: Path) -> Iterator[ClusterUnderTest]:
    """A namespace of its own, removed afterwards with all that runs in it."""
    double, admin = _upstream
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    base = (settings.TEST_VOLUME.get() or tmp_path) / namespace
    (base / "artifacts").mkdir(parents=True)
    (base / "landing").mkdir()
    proxy = FaultProxy(admin.configuration)
    under_test = ClusterUnderTest(double, proxy, admin, namespace, base)
    _open_namespace(under_test)
    yield under_test
    proxy.stop()
    if double is None:
        under_test.core.delete_namespace(namespace)
    else:
        for job in under_test.batch.list_namespaced_job(namespace).items:
            under_test.batch.delete_namespaced_job(job.metadata.name, namespace)


def _open_namespace(cluster: ClusterUnderTest) -> None:
    if cluster.double is None:
        cluster.core.create_namespace({"metadata": {"name": cluster.namespace}})
        until(lambda: _has_default_account(cluster))
    else:
        cluster.double.cluster.forbidden.clear()
        cluster.double.cluster.create("serviceaccounts", cluster.namespace, {"metadata": {"name": "default"}})


def _has_default_account(cluster: ClusterUnderTest) -> bool:
    accounts = cluster.core.list_namespaced_service_account(cluster.namespace).items
    return any(account.metadata.name == "default" for account in accounts)


@pytest.fixture(scope="session")
def _release(
    _upstream: tuple[ApiDouble | None, ApiClient], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    double, admin = _upstream
    if double is not None:
        pytest.skip("a chart is installed on a real cluster only (KUBECONFIG)")
    with installed(admin, tmp_path_factory.mktemp("profiles")) as release:
        yield release


@pytest.fixture
def platform(_release: Installed, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Our chart on a real cluster that has Kueue; its profiles are those that are loaded by name."""
    monkeypatch.setenv("KOREAN_LLM_PROFILES", str(_release.profiles))
    return _release


@dataclass
class Deployment:
    """The code location as it runs in the cluster: its environment, its Dagster instance, its workers."""

    cluster: ClusterUnderTest
    environment: dict[str, str]

    def worker(self, job: str, partition: str, run_id: str, config: str = "{}") -> "subprocess.Popen[bytes]":
        """A run worker, with the launchpad's config as JSON: a process of its own that a test may kill."""
        command = [sys.executable, "-m", "tests.support.run_worker", job, partition, run_id, config]
        log = (self.cluster.folder / f"worker-{run_id}.log").open("wb")
        return subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)

    def log(self, run_id: str) -> str:
        """What a worker printed."""
        return (self.cluster.folder / f"worker-{run_id}.log").read_text(errors="replace")

    def jobs(self, asset: str) -> list[Any]:
        """The Jobs of an asset."""
        selector = f"korean-llm/asset={asset}"
        return list(self.cluster.batch.list_namespaced_job(self.cluster.namespace, label_selector=selector).items)

    def steps_file(self) -> Path | None:
        """The checkpoint of the corpus stage at work, once there is one."""
        folders = [*(self.cluster.folder / "artifacts" / "corpus").rglob("scratch/steps")]
        return folders[0] if folders else None


@pytest.fixture
def deploy(cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch) -> Callable[[ClusterProfile], Deployment]:
    """Deploy the code location with a profile, on an empty Dagster instance."""

    def with_profile(profile: ClusterProfile) -> Deployment:
        folder = cluster.folder
        (folder / "profiles").mkdir()
        text = yaml.safe_dump(profile.model_dump(mode="json", exclude={"name"}))
        (folder / "profiles" / "under-test.yaml").write_text(text)
        (folder / "dagster").mkdir()
        (folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        (folder / "kubeconfig").write_text(yaml.safe_dump(_kubeconfig(cluster.proxy.url)))
        variables = {
            "KOREAN_LLM_ENV": "cluster",
            "KOREAN_LLM_PROFILE": "under-test",
            "KOREAN_LLM_PROFILES": str(folder / "profiles"),
            "KOREAN_LLM_ARTIFACTS": profile.artifacts_path,
            "KOREAN_LLM_LANDING": profile.landing_path,
            "DAGSTER_HOME": str(folder / "dagster"),
            "KUBECONFIG": str(folder / "kubeconfig"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "PYTHONPATH": str(ROOT),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Deployment(cluster, dict(os.environ))

    return with_profile


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something to become true; gives what it gave."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return value
