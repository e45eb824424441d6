"""What a workload is doing and why it ended, from recorded statuses."""

import re
from typing import Any

import pytest

from korean_llm_assets.compute.cluster.situation import PodFacts, ending, situation
from korean_llm_assets.compute.cluster.workloads import JOB, PYTORCHJOB, TRAINJOB


def _condition(kind: str, status: str = "True", **more: str) -> dict[str, Any]:
    return {"type": kind, "status": status, **more}


def _body(*conditions: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j"}, "spec": spec, "status": {"conditions": list(conditions)}}


def _pod(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j-1"}, "spec": {"containers": [{}], "nodeName": "n1", **spec}, "status": status}


@pytest.mark.parametrize("kind", [PYTORCHJOB, TRAINJOB, JOB])
def test_the_guides_mistake_condition_zero_is_never_what_decides(kind):
    """The operator appends: `conditions[0]` stays Created for ever, also in a finished and in a failed job."""
    created = _condition("Created")
    running = _condition("Running", "False")
    assert kind.terminal_state(_body(created)) is None
    assert kind.terminal_state(_body(created, running, _condition(kind.succeeded))) == "complete"
    assert kind.terminal_state(_body(created, running, _condition(kind.failed))) == "failed"
    assert kind.terminal_state(_body(created, _condition(kind.failed, "False"))) is None
    assert kind.terminal_state({"spec": {}, "status": {}}) is None
    assert kind.terminal_state({"spec": {}}) is None


def test_recorded_statuses_of_a_job():
    """Kubernetes 1.32: the criteria and targets come first, and do not end it."""
    assert JOB.terminal_state(_body(_condition("SuccessCriteriaMet"))) is None
    assert JOB.terminal_state(_body(_condition("FailureTarget"))) is None
    assert JOB.terminal_state(_body(_condition("SuccessCriteriaMet"), _condition("Complete"))) == "complete"
    assert JOB.terminal_state(_body(_condition("Suspended"), suspend=True)) is None


def test_recorded_statuses_of_a_pytorchjob():
    restarting = _body(_condition("Created"), _condition("Running", "False"), _condition("Restarting"))
    assert PYTORCHJOB.terminal_state(restarting) is None
    assert PYTORCHJOB.is_suspended(_body(_condition("Suspended"), runPolicy={"suspend": True}))
    assert not PYTORCHJOB.is_suspended(_body(runPolicy={"suspend": False}))


def test_recorded_statuses_of_a_trainjob():
    assert TRAINJOB.terminal_state(_body(_condition("Suspended"), suspend=True)) is None
    resumed = _condition("Suspended", "False", reason="Resumed")
    assert TRAINJOB.terminal_state(_body(resumed, _condition("Complete", reason="JobsCompleted"))) == "complete"
    assert TRAINJOB.terminal_state(_body(resumed, _condition("Failed", reason="JobsFailed"))) == "failed"


def test_waiting_is_told_in_words():
    message = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
    scheduled = _condition("PodScheduled", "False", reason="Unschedulable", message=message)
    pod = _pod({"phase": "Pending", "conditions": [scheduled]}, nodeSelector={"gpu-type": "h100"})
    seen = situation(JOB, _body(), [pod], [], "")
    assert seen.phase == "unschedulable"
    assert seen.words.startswith("unschedulable: no node with gpu-type=h100 (0/3 nodes")


def test_image_and_configuration_waits_are_told_in_words():
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    pod = _pod({"phase": "Pending", "containerStatuses": [{"image": "r/i:1", "state": waiting}]})
    assert situation(JOB, _body(), [pod], [], "").words == "image r/i:1: ImagePullBackOff: Back-off pulling image"
    missing = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "wandb" not found'}}
    pod = _pod({"phase": "Pending", "containerStatuses": [{"image": "r/i:1", "state": missing}]})
    assert 'secret "wandb" not found' in situation(JOB, _body(), [pod], [], "").words


def test_queues_quotas_and_lost_nodes_are_told_in_words():
    assert situation(JOB, _body(suspend=True), [], [], "queue: 8 of 8 GPUs in use by x (8)").phase == "queue"
    quota = "FailedCreate: exceeded quota: gpus"
    assert quota in situation(JOB, _body(), [], [quota], "").words


def test_a_silent_node_is_told_as_such_before_and_after_the_cluster_deletes_its_pod():
    """The conditions that Kubernetes 1.36 gave a pod when its node was cut off, in their order."""
    conditions = [
        _condition("Ready", "False"),
        _condition("ContainersReady", "True"),
        _condition("PodScheduled", "True"),
    ]
    lost = _pod({"phase": "Running", "conditions": conditions})
    seen = situation(JOB, _body(), [lost], [], "")
    assert seen.phase == "lost" and "node n1 does not answer" in seen.words
    conditions.append(_condition("DisruptionTarget", "True", reason="DeletionByTaintManager"))
    lost["metadata"]["deletionTimestamp"] = "2026-11-30T17:49:49Z"
    assert "kubectl delete node n1" in situation(JOB, _body(), [lost], [], "").words
    running = _pod(
        {"phase": "Running", "conditions": [_condition("Ready", "True"), _condition("ContainersReady", "True")]}
    )
    assert situation(JOB, _body(), [running, lost], [], "").phase == "lost", "of many pods, the one to know of"
    stopping = _pod(
        {"phase": "Running", "conditions": [_condition("Ready", "False"), _condition("ContainersReady", "False")]}
    )
    stopping["metadata"]["deletionTimestamp"] = "2026-11-30T17:49:49Z"
    assert "is being stopped" in situation(JOB, _body(), [stopping], [], "").words
    done = _body(_condition("SuccessCriteriaMet"))  # of a corpus over several pods, whose first one is its result
    assert "its result is there" in situation(JOB, done, [stopping], [], "").words


def _failed(terminated: dict[str, Any] | None = None, **status: Any) -> PodFacts:
    facts = PodFacts()
    states = [{"state": {"terminated": terminated}}] if terminated else []
    facts.remember([_pod({"phase": "Failed", "containerStatuses": states, **status})])
    return facts


@pytest.mark.parametrize(
    ("terminated", "kind", "words", "retried"),
    [
        ({"exitCode": 75, "message": "saved"}, "exit", "exit 75: stopped before the end.*saved", True),
        ({"exitCode": 65, "message": "row 7"}, "exit", "exit 65: the data cannot be used. row 7", False),
        ({"exitCode": 81}, "exit", "exit 81", True),
        ({"exitCode": 137, "reason": "OOMKilled"}, "oom", "memory limit.*needs.memory", True),
        ({"exitCode": 137, "reason": "Error"}, "exit", "killed by SIGKILL", True),
        ({"exitCode": 143, "reason": "Error"}, "exit", "killed by SIGTERM", True),
        ({"exitCode": 1, "message": "ImportError"}, "exit", "exit 1. ImportError", False),
    ],
)
def test_endings_are_told_in_words(terminated: dict[str, Any], kind: str, words: str, retried: bool):
    why = ending(JOB, _body(_condition("Failed", reason="BackoffLimitExceeded")), _failed(terminated), [])
    assert why.kind == kind and why.may_retry is retried
    assert re.search(words, why.words), why.words


@pytest.mark.parametrize("consequence", [75, 143])
def test_of_several_pods_the_one_that_failed_by_itself_says_why(consequence: int):
    facts = PodFacts()
    for name, code, message in (
        ("a", consequence, "another process ended"),
        ("b", 65, "row 7"),
        ("c", consequence, ""),
    ):
        states = [{"state": {"terminated": {"exitCode": code, "message": message}}}]
        facts.remember([{**_pod({"phase": "Failed", "containerStatuses": states}), "metadata": {"name": name}}])
    why = ending(JOB, _body(_condition("Failed", reason="PodFailurePolicy")), facts, [])
    assert why.exit_code == 65 and "pod b: exit 65" in why.words and not why.may_retry


def test_evictions_deadlines_and_the_unknown():
    failed = _body(_condition("Failed", reason="BackoffLimitExceeded", message="limit"))
    evicted = ending(JOB, failed, _failed(reason="Evicted", message="The node was low on resource: memory"), [])
    assert evicted.kind == "evicted" and evicted.may_retry and "low on resource" in evicted.words
    late = _body(_condition("Failed", reason="DeadlineExceeded", message="longer than 60 s"))
    assert ending(JOB, late, PodFacts(), []).may_retry is False
    unknown = ending(JOB, failed, PodFacts(), ["FailedCreate: no quota"])
    assert unknown.kind == "unknown" and "no quota" in unknown.words
