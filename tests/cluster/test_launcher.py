"""The durable launcher over real HTTP: one Job per request, whatever happens around it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from korean_llm_assets.compute.cluster import naming
from korean_llm_assets.compute.cluster.kube_api import Clock
from korean_llm_assets.compute.cluster.launcher import AttemptsFailed
from tests.cluster.conftest import ClusterUnderTest, until
from trainers.contract import Needs, ServiceMissing

pytestmark = pytest.mark.slow


def test_creates_one_job_and_collects_its_artifact(cluster: ClusterUnderTest):
    request, profile = cluster.request(), cluster.profile()
    manifest = cluster.launcher(profile).run(request, request.needs)
    assert manifest.metrics == {"steps": 2.0}
    assert [job.metadata.name for job in cluster.jobs(request)] == [naming.job_name(request, 1)]
    assert any("running on" in line for line in cluster.messages)


def test_asking_again_creates_nothing(cluster: ClusterUnderTest):
    request, profile = cluster.request(), cluster.profile()
    first = cluster.launcher(profile).run(request, request.needs)
    assert cluster.launcher(profile, "run-b").run(request, request.needs) == first
    assert len(cluster.jobs(request)) == 1


def test_a_second_run_attaches_and_owns_the_job(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile({"steps": 10, "step_seconds": 0.3})
    with ThreadPoolExecutor() as pool:
        first = pool.submit(cluster.launcher(profile, "run-a").run, request, request.needs)
        until(lambda: cluster.pods(request))
        second = pool.submit(cluster.launcher(profile, "run-b").run, request, request.needs)
        assert first.result(60) == second.result(60)
    (job,) = cluster.jobs(request)
    assert job.metadata.annotations[naming.RUN] == "run-b"
    assert any("attached to job/" in line and "run-a" in line for line in cluster.messages)
    assert cluster.steps(request) == ["1"] * 10


def test_two_runs_at_the_same_instant_make_one_job(cluster: ClusterUnderTest):
    request, profile = cluster.request(), cluster.profile()
    barrier = threading.Barrier(4)

    def launch(run_id: str):
        launcher = cluster.launcher(profile, run_id)
        barrier.wait()
        return launcher.run(request, request.needs)

    with ThreadPoolExecutor() as pool:
        manifests = list(pool.map(launch, ["a", "b", "c", "d"]))
    assert len({manifest.digest for manifest in manifests}) == 1
    assert len(cluster.jobs(request)) == 1
    assert cluster.steps(request) == ["1", "1"]


def test_a_resumable_end_is_tried_again_from_the_checkpoint(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile({"steps": 4, "step_seconds": 0.05, "fail": {"1": [2, 75]}})
    cluster.launcher(profile).run(request, request.needs)
    assert cluster.steps(request) == ["1", "1", "2", "2"]
    assert [job.metadata.name[-2:] for job in cluster.jobs(request)] == ["-1", "-2"]
    assert any("attempt 1 of 3" in line and "exit 75" in line for line in cluster.messages)


@pytest.mark.parametrize("code", [64, 65, 78, 80])
def test_a_final_end_is_told_in_words_and_not_tried_again(cluster: ClusterUnderTest, code: int):
    request = cluster.request()
    profile = cluster.profile({"steps": 3, "step_seconds": 0.05, "fail": {"1": [1, code]}})
    with pytest.raises(AttemptsFailed, match=f"exit {code}.*the script says so at step 1") as caught:
        cluster.launcher(profile).run(request, request.needs)
    assert caught.value.ending.exit_code == code
    assert len(cluster.jobs(request)) == 1


def test_attempts_have_a_limit(cluster: ClusterUnderTest):
    request = cluster.request()
    fail = {str(attempt): [1, 75] for attempt in range(1, 9)}
    profile = cluster.profile({"steps": 3, "step_seconds": 0.05, "fail": fail}, max_attempts=2)
    with pytest.raises(AttemptsFailed, match="attempt 2 of 2"):
        cluster.launcher(profile).run(request, request.needs)
    assert len(cluster.jobs(request)) == 2
    resumed = cluster.launcher(profile)  # the same run, resumed by run monitoring: its attempts still count
    with pytest.raises(AttemptsFailed, match="attempt 2 of 2"):
        resumed.run(request, request.needs)


def test_a_new_run_may_try_what_failed_for_an_earlier_one(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile({"steps": 3, "step_seconds": 0.05, "fail": {"1": [1, 65]}})
    with pytest.raises(AttemptsFailed):
        cluster.launcher(profile, "run-a").run(request, request.needs)
    cluster.launcher(profile, "run-b").run(request, request.needs)
    assert cluster.steps(request) == ["1", "2", "2"]
    assert any("failed for an earlier run" in line for line in cluster.messages)


def test_cancelling_deletes_the_job_after_it_saved(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile({"steps": 100, "step_seconds": 0.2})
    launcher = cluster.launcher(profile, clock=_interrupted_when(cluster, request))
    with pytest.raises(KeyboardInterrupt):
        launcher.run(request, request.needs)
    launcher.cancel(request, request.needs)
    until(lambda: not cluster.pods(request) and not cluster.jobs(request))
    failure = cluster.store.failure(request)
    assert failure is not None and "is saved" in failure.reason
    assert any("cancelled: job/" in line for line in cluster.messages)


def test_an_interrupted_run_leaves_its_job_and_the_next_attaches_within_30_s(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile({"steps": 12, "step_seconds": 0.3})
    with pytest.raises(KeyboardInterrupt):
        cluster.launcher(profile, clock=_interrupted_when(cluster, request)).run(request, request.needs)
    started = time.monotonic()
    thread = _run_aside(cluster.launcher(profile, "run-b"), request)
    until(lambda: any("attached to job/" in line for line in cluster.messages))
    assert time.monotonic() - started < 30
    thread.join(60)
    assert cluster.steps(request) == ["1"] * 12
    assert len(cluster.jobs(request)) == 1


def test_a_run_that_lost_the_job_to_a_newer_one_cannot_cancel_it(cluster: ClusterUnderTest):
    request = cluster.request()
    profile = cluster.profile({"steps": 15, "step_seconds": 0.2})
    old = cluster.launcher(profile, "run-a", _interrupted_when(cluster, request))
    with pytest.raises(KeyboardInterrupt):
        old.run(request, request.needs)
    thread = _run_aside(cluster.launcher(profile, "run-b"), request)
    until(lambda: cluster.jobs(request)[0].metadata.annotations[naming.RUN] == "run-b")
    old.cancel(request, request.needs)
    thread.join(60)
    assert cluster.steps(request) == ["1"] * 15


def test_names_that_collide_stop_the_launch(cluster: ClusterUnderTest):
    request, profile = cluster.request(), cluster.profile()
    other = cluster.request()
    cluster.launcher(profile).run(other, other.needs)
    (job,) = cluster.jobs(other)
    labels = {naming.REQUEST: request.digest[:32]}
    cluster.batch.patch_namespaced_job(job.metadata.name, cluster.namespace, {"metadata": {"labels": labels}})
    with pytest.raises(ServiceMissing, match="holds request .*Nothing was launched"):
        cluster.launcher(profile).run(request, request.needs)
    assert len(cluster.jobs(request)) == 1


def test_more_gpus_than_are_free_wait_and_say_why(cluster: ClusterUnderTest):
    blocker = cluster.request(Needs(cpu=0.1, memory="256Mi", gpus=6))
    waiter = cluster.request(Needs(cpu=0.1, memory="256Mi", gpus=4))
    slow, quick = cluster.profile({"steps": 10, "step_seconds": 0.3}), cluster.profile()
    thread = _run_aside(cluster.launcher(slow), blocker)
    until(lambda: any(pod.status.phase == "Running" for pod in cluster.pods(blocker)))
    cluster.launcher(quick).run(waiter, waiter.needs)
    thread.join(60)
    assert any("unschedulable: no node has 4 nvidia.com/gpu free" in line for line in cluster.messages)


def test_logs_reach_the_run(cluster: ClusterUnderTest):
    request = cluster.request()
    cluster.launcher(cluster.profile({"steps": 8, "step_seconds": 0.3})).run(request, request.needs)
    assert any("attempt 1 goes on from step 0" in line for line in cluster.log_lines)
    assert len(cluster.log_lines) == len(set(cluster.log_lines))


def _run_aside(launcher, request) -> threading.Thread:
    thread = threading.Thread(target=launcher.run, args=(request, request.needs), daemon=True)
    thread.start()
    return thread


def _interrupted_when(cluster: ClusterUnderTest, request) -> Clock:
    """A clock whose sleep is interrupted, as a signal would, once the stage has done its first step."""
    steps = cluster.store.folder(request).with_name(f"{request.digest}.partial") / "scratch" / "steps"

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if steps.exists():
            raise KeyboardInterrupt

    return Clock(sleep=sleep)
