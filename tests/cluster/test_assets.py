"""Dagster runs whose stages are Jobs: the whole graph, killed, drained and cancelled workers, the plain op, secrets."""

import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from korean_llm_assets.compute.cluster.orphans import sweep
from korean_llm_assets.compute.profiles import ClusterProfile, quantity
from tests.cluster.conftest import ClusterUnderTest, Deployment, until
from tests.korean_llm_assets.conftest import WHOLE, drop

pytestmark = pytest.mark.slow
_CONFIG = '{"ops": {"corpus": {"config": {"cpu": 0.25, "memory": "1Gi"}}}}'
_CANARY = "canary-7d21-never-show"


def _held(cluster: ClusterUnderTest) -> ClusterProfile:
    """A profile whose corpus stage does one step and then waits to be let go."""
    return cluster.profile({"only": "corpus", "steps": 3, "step_seconds": 0.1, "hold": str(cluster.folder / "go")})


def _run_id() -> str:
    return str(uuid.uuid4())


def _at_work(deployment: Deployment) -> tuple["subprocess.Popen[bytes]", str]:
    """A worker whose corpus stage has done its first step."""
    drop(Path(deployment.environment["KOREAN_LLM_LANDING"]), "봄", WHOLE)
    run_id = _run_id()
    worker = deployment.worker("data", _release(), run_id)
    until(deployment.steps_file, 180)
    return worker, run_id


def _release() -> str:
    from korean_llm_assets.partitions.keys import release_key

    return release_key("봄")


def _instance() -> DagsterInstance:
    return DagsterInstance.get()  # of DAGSTER_HOME, which `deploy` set


def test_a_drop_becomes_a_model_through_jobs(cluster: ClusterUnderTest, deploy: Callable[..., Deployment]):
    secret = {"metadata": {"name": "tracking"}, "stringData": {"WANDB_API_KEY": _CANARY}}
    cluster.core.create_namespaced_secret(cluster.namespace, secret)
    deployment = deploy(cluster.profile({"steps": 1, "step_seconds": 0.0}, env_secrets=["tracking"]))
    drop(Path(deployment.environment["KOREAN_LLM_LANDING"]), "봄", WHOLE)
    release = _release()
    for job, partition in (("data", release), ("base", "tiny"), ("training", f"tiny|{release}")):
        run_id = _run_id()
        assert deployment.worker(job, partition, run_id).wait(240) == 0, deployment.log(run_id)[-3000:]
    stages = cluster.batch.list_namespaced_job(cluster.namespace).items
    assert len(stages) == 10, "every stage was a Job, each exactly once"
    assert all(job.status.conditions for job in stages)
    _no_canary_anywhere(cluster)


def _no_canary_anywhere(cluster: ClusterUnderTest) -> None:
    """Requests, manifests, logs, messages, Dagster's events and tags lie below the folder; the Jobs in the cluster."""
    searched = [path for path in cluster.folder.rglob("*") if path.is_file()]
    assert len(searched) > 50
    assert [path for path in searched if _CANARY.encode() in path.read_bytes()] == []
    jobs = cluster.batch.list_namespaced_job(cluster.namespace, _preload_content=False).data
    pods = cluster.core.list_namespaced_pod(cluster.namespace, _preload_content=False).data
    assert _CANARY.encode() not in jobs + pods


def test_a_killed_worker_leaves_the_job_and_the_next_run_attaches(cluster, deploy):
    deployment = deploy(_held(cluster))
    worker, _ = _at_work(deployment)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    second = _run_id()
    after = deployment.worker("data", _release(), second)
    (job,) = deployment.jobs("corpus")
    until(lambda: "attached to job/corpus" in deployment.log(second), 180)
    (cluster.folder / "go").touch()
    assert after.wait(240) == 0, deployment.log(second)[-3000:]
    assert [each.metadata.uid for each in deployment.jobs("corpus")] == [job.metadata.uid]
    log = deployment.log(second)
    assert _seconds_to_attach(second) < 30
    assert "attempt 1 goes on from step 0" in log, "what was said before the attachment is replayed"


def _seconds_to_attach(run_id: str) -> float:
    """From the step's start, as Dagster's own log has it."""
    with _instance() as instance:
        entries = [entry for entry in instance.all_logs(run_id) if entry.step_key == "corpus"]
    attached = next(entry.timestamp for entry in entries if "attached to job/" in entry.user_message)
    return attached - entries[0].timestamp


@pytest.mark.prove
def test_a_drained_worker_leaves_the_job(cluster, deploy):
    deployment = deploy(_held(cluster))
    worker, run_id = _at_work(deployment)
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    assert "the Job goes on, the next run attaches to it" in deployment.log(run_id)
    (job,) = deployment.jobs("corpus")
    assert job.metadata.deletion_timestamp is None
    (cluster.folder / "go").touch()
    second = _run_id()
    assert deployment.worker("data", _release(), second).wait(240) == 0, deployment.log(second)[-3000:]
    assert len(deployment.jobs("corpus")) == 1


def test_a_cancelled_run_removes_its_job_after_it_saved(cluster, deploy):
    deployment = deploy(_held(cluster))
    worker, run_id = _at_work(deployment)
    with _instance() as instance:
        instance.report_run_canceling(instance.get_run_by_id(run_id))
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    until(lambda: not deployment.jobs("corpus"))
    (failure,) = (cluster.folder / "artifacts" / "corpus").rglob("failure.json")
    assert "is saved" in failure.read_text()


def test_a_run_cancelled_after_its_worker_died_is_swept(cluster, deploy):
    profile = _held(cluster)
    deployment = deploy(profile)
    worker, run_id = _at_work(deployment)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    messages: list[str] = []
    with _instance() as instance:
        assert sweep(cluster.api(profile), profile, instance, messages.append) == 0, "its run may still be resumed"
        instance.report_run_canceled(instance.get_run_by_id(run_id))
        assert instance.get_run_by_id(run_id).status is DagsterRunStatus.CANCELED
        assert sweep(cluster.api(profile), profile, instance, messages.append) == 1
    assert f"its run {run_id} was cancelled: removed" in messages[0]
    until(lambda: not deployment.jobs("corpus"))


@pytest.mark.prove
def test_jobs_of_forgotten_runs_are_reported_or_removed(cluster, deploy):
    profile = _held(cluster)
    deployment = deploy(profile)
    worker, run_id = _at_work(deployment)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    messages: list[str] = []
    with _instance() as instance:
        instance.delete_run(run_id)
        assert sweep(cluster.api(profile), profile, instance, messages.append) == 1
        assert "Dagster knows no run" in messages[0] and deployment.jobs("corpus")
        remover = profile.model_copy(update={"orphans": "remove"})
        assert sweep(cluster.api(remover), remover, instance, messages.append) == 1
    until(lambda: not deployment.jobs("corpus"))


def test_a_failed_stage_is_told_in_the_run_and_its_job_is_as_the_launch_form_says(cluster, deploy):
    deployment = deploy(cluster.profile({"only": "corpus", "steps": 2, "step_seconds": 0.1, "fail": {"1": [1, 65]}}))
    drop(Path(deployment.environment["KOREAN_LLM_LANDING"]), "봄", WHOLE)
    run_id = _run_id()
    assert deployment.worker("data", _release(), run_id, _CONFIG).wait(240) == 1
    log = deployment.log(run_id)
    (job,) = deployment.jobs("corpus")
    limits = job.spec.template.spec.containers[0].resources.limits
    assert (quantity(limits["cpu"]), limits["memory"]) == (0.25, "1Gi")
    assert "exit 65: the data cannot be used" in log and "the script says so at step 1" in log
    assert "kubectl -n" in log


@pytest.mark.prove
def test_the_plain_op_runs_the_same_jobs(cluster, deploy):
    profile = cluster.profile({"steps": 1, "step_seconds": 0.0}, launch="k8s_job_op")
    deployment = deploy(profile)
    drop(Path(deployment.environment["KOREAN_LLM_LANDING"]), "봄", WHOLE)
    run_id = _run_id()
    assert deployment.worker("data", _release(), run_id).wait(240) == 0, deployment.log(run_id)[-3000:]
    assert len(cluster.batch.list_namespaced_job(cluster.namespace).items) == 4


def test_a_cancellation_whose_signal_is_lost_is_seen_all_the_same(cluster, deploy):
    deployment = deploy(_held(cluster))
    worker, run_id = _at_work(deployment)
    with _instance() as instance:
        instance.report_run_canceling(instance.get_run_by_id(run_id))
        worker.wait(60)
        assert instance.get_run_by_id(run_id).status is DagsterRunStatus.CANCELED
    until(lambda: not deployment.jobs("corpus"))
