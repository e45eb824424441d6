"""Faults around a running Job: for each, the state that is expected, one Job at work, no lost artifact, clear words."""

import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from korean_llm_assets.compute.cluster.kube_api import Clock, Unreachable
from korean_llm_assets.compute.cluster.launcher import AttemptsFailed
from tests.cluster.conftest import ClusterUnderTest, until
from trainers.contract import Manifest, Needs, StageRequest

pytestmark = pytest.mark.slow
_SLOW = {"steps": 12, "step_seconds": 0.3}


@pytest.fixture
def aside():
    with ThreadPoolExecutor() as pool:
        yield pool


def _started(cluster: ClusterUnderTest, aside: ThreadPoolExecutor, **changes) -> tuple[StageRequest, Future[Manifest]]:
    """A launcher that watches a stage which has done its first step."""
    request = cluster.request()
    profile = cluster.profile(_SLOW, **changes)
    future = aside.submit(cluster.launcher(profile).run, request, request.needs)
    steps = cluster.store.folder(request).with_name(f"{request.digest}.partial") / "scratch" / "steps"
    until(steps.exists)
    return request, future


_PROVED = [pytest.param(fault, marks=pytest.mark.prove) for fault in (503, 429, 410, 401, "tear")]


@pytest.mark.parametrize("fault", [500, "refuse", "hang", *_PROVED])
def test_an_outage_while_training_is_survived(cluster: ClusterUnderTest, aside, fault):
    request, future = _started(cluster, aside)
    cluster.proxy.fail(fault, seconds=5)
    assert future.result(120).metrics["steps"] == 12
    assert cluster.steps(request) == ["1"] * 12
    assert len(cluster.jobs(request)) == 1
    if fault in (500, "refuse"):
        assert any("does not answer" in line for line in cluster.messages)
        assert any("answers again" in line for line in cluster.messages)


@pytest.mark.prove
def test_an_outage_of_a_minute_is_survived(cluster: ClusterUnderTest, aside):
    request, future = _started(cluster, aside)
    cluster.proxy.fail("refuse", seconds=60)
    assert future.result(180).metrics["steps"] == 12
    assert cluster.steps(request) == ["1"] * 12


def test_frozen_and_dropped_logs_never_touch_the_training(cluster: ClusterUnderTest, aside):
    request, future = _started(cluster, aside)
    cluster.proxy.fail("hang", seconds=60, only="/log")
    started = time.monotonic()
    future.result(60)
    assert time.monotonic() - started < 30
    assert cluster.steps(request) == ["1"] * 12


def test_logs_dropped_a_hundred_times_come_back(cluster: ClusterUnderTest, aside):
    request = cluster.request()
    profile = cluster.profile({"steps": 40, "step_seconds": 0.2}, poll_seconds=0.02)
    cluster.proxy.fail("refuse", seconds=4, only="/log")
    future = aside.submit(cluster.launcher(profile).run, request, request.needs)
    until(lambda: cluster.proxy.seen["refuse"] >= 100)
    future.result(60)
    assert any("goes on from step 0" in line for line in cluster.log_lines)


def test_a_deleted_pod_costs_one_attempt_and_no_step(cluster: ClusterUnderTest, aside):
    request, future = _started(cluster, aside)
    (pod,) = cluster.pods(request)
    cluster.core.delete_namespaced_pod(pod.metadata.name, cluster.namespace)
    future.result(60)
    assert set(cluster.steps(request)) == {"1", "2"}
    assert len(cluster.steps(request)) == 12
    assert len(cluster.jobs(request)) == 2


def test_a_drained_node_costs_no_attempt(cluster: ClusterUnderTest, aside):
    request, future = _started(cluster, aside)
    (pod,) = cluster.pods(request)
    eviction = {"metadata": {"name": pod.metadata.name, "namespace": cluster.namespace}}
    cluster.core.create_namespaced_pod_eviction(pod.metadata.name, cluster.namespace, eviction)
    future.result(60)
    assert len(cluster.steps(request)) == 12
    assert len(cluster.jobs(request)) == 1


def test_a_lost_node_is_said_and_costs_no_attempt_once_it_is_given_up(cluster: ClusterUnderTest, aside):
    if cluster.double is None:
        pytest.skip("no test takes a node away from a cluster")
    request, future = _started(cluster, aside)
    (pod,) = cluster.pods(request)
    cluster.double.jobs.lose_node(pod.metadata.name)
    until(lambda: any("does not answer" in line and "kubectl delete node" in line for line in cluster.messages))
    assert len(cluster.pods(request)) == 1, "two would write to one store"
    cluster.double.jobs.give_up_node()
    future.result(60)
    assert len(cluster.steps(request)) == 12
    assert len(cluster.jobs(request)) == 1


def test_running_out_of_memory_is_said_and_tried_again(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile({"steps": 3, "step_seconds": 0.1, "hog": {"1": 2000}})
    cluster.launcher(profile).run(request, request.needs)
    assert any("more than its memory limit" in line and "needs.memory" in line for line in cluster.messages)
    assert len(cluster.steps(request)) == 3


def test_an_image_that_cannot_be_pulled_is_given_up_with_its_name(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile(image="double.local/missing:7", patience={"image": 2})
    with pytest.raises(AttemptsFailed, match=r"patience\.image.*double\.local/missing:7"):
        cluster.launcher(profile).run(request, request.needs)
    until(lambda: not cluster.pods(request))


def test_a_job_deleted_under_us_is_replaced_and_said(cluster: ClusterUnderTest, aside):
    request, future = _started(cluster, aside)
    (job,) = cluster.jobs(request)
    cluster.batch.delete_namespaced_job(job.metadata.name, cluster.namespace, propagation_policy="Foreground")
    future.result(90)
    assert len(cluster.steps(request)) == 12
    assert any("being deleted" in line or "was deleted by somebody" in line for line in cluster.messages)


def test_a_day_in_the_queue_is_no_failure(cluster: ClusterUnderTest, aside):
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += 3600
        time.sleep(0.05)

    request = cluster.request(Needs(cpu=0.1, memory="256Mi", gpus=1))
    profile = cluster.profile(queue="training")
    clock = Clock(now=lambda: passed[0], sleep=sleep)
    future = aside.submit(cluster.launcher(profile, clock=clock).run, request, request.needs)
    until(lambda: passed[0] > 2 * 86400)
    assert any("queue: 0 of 8 GPUs in use" in line for line in cluster.messages)
    _admit(cluster, request)
    assert future.result(60).metrics["steps"] == 2


def test_who_has_the_gpus_is_said_to_who_waits_for_them(cluster: ClusterUnderTest, aside):
    holder = cluster.request(Needs(cpu=0.2, memory="256Mi", gpus=8))
    waiter = cluster.request(Needs(cpu=0.2, memory="256Mi", gpus=4))
    profile = cluster.profile({"steps": 20, "step_seconds": 0.2}, queue="training")
    first = aside.submit(cluster.launcher(profile).run, holder, holder.needs)
    _admit(cluster, holder)
    second = aside.submit(cluster.launcher(profile).run, waiter, waiter.needs)
    wanted = f"queue: 8 of 8 GPUs in use by benchmarks {holder.release} (8)"
    until(lambda: any(wanted in line for line in cluster.messages))
    first.result(90)
    _admit(cluster, waiter)
    second.result(90)


def _admit(cluster: ClusterUnderTest, request: StageRequest) -> None:
    """What Kueue does when there is room."""
    (job,) = until(lambda: cluster.jobs(request))
    cluster.batch.patch_namespaced_job(job.metadata.name, cluster.namespace, {"spec": {"suspend": False}})


def test_a_queue_that_never_admits_ends_in_words(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile(queue="training", patience={"queue": 1})
    with pytest.raises(AttemptsFailed, match=r"patience\.queue"):
        cluster.launcher(profile).run(request, request.needs)


def test_why_kueue_takes_a_workload_not_up_at_all_is_said(cluster: ClusterUnderTest, aside):
    """A priority that there is not: Kueue makes no Workload for the Job, and says so in an event of it alone."""
    request = cluster.request()
    profile = cluster.profile(queue="training", queue_priority="urgnt", patience={"queue": 5})
    future = aside.submit(cluster.launcher(profile).run, request, request.needs)
    (job,) = until(lambda: cluster.jobs(request))
    why = 'WorkloadPriorityClass "urgnt" not found'
    cluster.core.create_namespaced_event(cluster.namespace, _warning(job, "WorkloadPriorityClassNotFound", why))
    with pytest.raises(AttemptsFailed, match=f"patience.queue.*{why}"):
        future.result(60)


def _warning(about: Any, reason: str, message: str) -> dict[str, Any]:
    place = {"name": about.metadata.name, "namespace": about.metadata.namespace}
    return {
        "metadata": {"name": f"{about.metadata.name}.{uuid.uuid4().hex[:8]}"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": place,
    }


def test_an_api_server_that_is_not_there_is_named(cluster: ClusterUnderTest):
    request = cluster.request()
    cluster.proxy.fail("refuse", seconds=60)
    profile = cluster.profile(patience={"api": 2})
    with pytest.raises(Unreachable, match="http://127.0.0.1.* did not answer for 2 s"):
        cluster.launcher(profile).run(request, request.needs)


def test_a_create_whose_answer_is_lost_makes_one_job(cluster: ClusterUnderTest, aside):
    request = cluster.request()
    cluster.proxy.fail("tear", seconds=3)
    future = aside.submit(cluster.launcher(cluster.profile()).run, request, request.needs)
    assert future.result(60).metrics["steps"] == 2
    assert len(cluster.jobs(request)) == 1


def test_an_artifact_that_is_changed_after_the_job_is_never_taken(cluster: ClusterUnderTest):
    request, profile = cluster.request(), cluster.profile()
    cluster.launcher(profile).run(request, request.needs)
    (cluster.store.folder(request) / "steps.json").write_text("[]")
    with pytest.raises(Exception, match="is not what the manifest says"):
        cluster.launcher(profile).run(request, request.needs)
