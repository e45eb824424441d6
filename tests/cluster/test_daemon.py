"""The real Dagster daemon, killed while a run with a Job is underway and started again: nothing is lost or doubled."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from korean_llm_assets.home import Home
from tests.cluster.conftest import ROOT, ClusterUnderTest, Deployment, until
from tests.korean_llm_assets.conftest import WHOLE, drop
from tests.support.served import own_recipes

pytestmark = [pytest.mark.slow, pytest.mark.prove]
_RELEASE = "spring"
_SETTINGS = {
    "telemetry": {"enabled": False},
    "code_servers": {"local_startup_timeout": 300},
    "run_monitoring": {"enabled": True, "poll_interval_seconds": 2, "start_timeout_seconds": 300},
}


def test_a_killed_daemon_takes_up_its_runs_and_no_job_is_doubled(
    cluster: ClusterUnderTest, deploy: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
):
    # No marker in the landing folder and no automation: the daemon runs what this test launches, and nothing else.
    monkeypatch.setenv("KOREAN_LLM_RECIPES", str(own_recipes(Home(cluster.folder), tiny={"automation": "off"})))
    go = cluster.folder / "go"
    deployment = deploy(cluster.profile({"only": "corpus", "steps": 3, "step_seconds": 0.1, "hold": str(go)}))
    (cluster.folder / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(_SETTINGS))
    drop(cluster.folder / "landing", _RELEASE, WHOLE, ready=False)
    with DagsterInstance.get() as instance, _code_server(deployment) as workspace, ExitStack() as stack:
        instance.add_dynamic_partitions("release", [_RELEASE])
        first_daemon = stack.enter_context(_daemon(deployment, workspace))
        _launch(deployment, workspace, "first")
        until(deployment.steps_file, 240)
        (job,) = deployment.jobs("corpus")
        first_daemon.kill()
        first_daemon.wait()
        _launch(deployment, workspace, "second")
        assert _status(instance, "second") is DagsterRunStatus.QUEUED, "no daemon, nobody takes it up"
        stack.enter_context(_daemon(deployment, workspace))
        until(lambda: f"attached to job/{job.metadata.name}" in _messages(instance, "second"), 240)
        assert _status(instance, "first") is DagsterRunStatus.STARTED
        go.touch()
        for which in ("first", "second"):
            until(lambda which=which: _status(instance, which) is DagsterRunStatus.SUCCESS, 240)
        assert [each.metadata.uid for each in deployment.jobs("corpus")] == [job.metadata.uid]


@contextmanager
def _code_server(deployment: Deployment) -> Iterator[Path]:
    """The code location as a server of its own, as in the cluster; gives the workspace that names it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    workspace = deployment.cluster.folder / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": {"host": "127.0.0.1", "port": port}}]}))
    with _process(
        deployment, "code-server", "dagster", "api", "grpc", "-m", "korean_llm_assets.definitions", "-p", str(port)
    ):
        log = deployment.cluster.folder / "code-server.log"
        until(lambda: "Started Dagster code server" in log.read_text(), 240)
        yield workspace


@contextmanager
def _daemon(deployment: Deployment, workspace: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with _process(deployment, "daemon", "dagster._daemon", "run", "-w", str(workspace)) as process:
        yield process


@contextmanager
def _process(deployment: Deployment, name: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    with (deployment.cluster.folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=deployment.environment,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _launch(deployment: Deployment, workspace: Path, which: str) -> None:
    tags = json.dumps({"dagster/partition": _RELEASE, "which": which})
    command = ["dagster", "job", "launch", "-w", str(workspace), "-j", "data", "--tags", tags]
    subprocess.run([sys.executable, "-m", *command], env=deployment.environment, cwd=ROOT, check=True)


def _run_id(instance: DagsterInstance, which: str) -> str:
    (run,) = instance.get_runs(RunsFilter(tags={"which": which}))
    return run.run_id


def _status(instance: DagsterInstance, which: str) -> DagsterRunStatus:
    return instance.get_run_by_id(_run_id(instance, which)).status


def _messages(instance: DagsterInstance, which: str) -> str:
    return "\n".join(entry.user_message for entry in instance.all_logs(_run_id(instance, which)))
