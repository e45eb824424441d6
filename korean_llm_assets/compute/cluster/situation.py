"""What a workload is doing, and why it ended, in words: pure functions of what the API server says."""

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from korean_llm_assets.compute.cluster.workloads import Body, Workload
from korean_llm_assets.compute.outcome import in_words, may_retry
from trainers.contract import ExitCode

Phase = Literal["queue", "lost", "unschedulable", "image", "starting", "running"]
_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_BLOCKED_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_SIGNAL_BASE = 128
_CONSEQUENCES = (ExitCode.RESUMABLE, _SIGNAL_BASE + signal.SIGTERM)
"""How the pods of a multi-node Job end when another one has failed: that other one says why."""
_LAST_LINES = 5


@dataclass(frozen=True)
class Situation:
    """What a live workload is waiting for or doing."""

    phase: Phase
    words: str


@dataclass(frozen=True)
class Ending:
    """Why an attempt ended without an artifact."""

    kind: Literal["exit", "oom", "evicted", "deadline", "deleted", "replaced", "impatience", "no_artifact", "unknown"]
    words: str
    exit_code: int | None = None

    @property
    def status(self) -> int | None:
        """As of a process: negative where a signal ended it; None where no container ended by itself."""
        return None if self.exit_code is None else _status(self.exit_code)

    @property
    def may_retry(self) -> bool:
        """True where the next attempt, which goes on from the last checkpoint, can end better."""
        if self.kind == "exit":
            return may_retry(self.status or 0)
        return self.kind not in ("deadline", "impatience")


@dataclass
class PodFacts:
    """What was seen of each pod. Pods vanish; what they said is kept."""

    statuses: dict[str, Body] = field(default_factory=dict)

    def remember(self, pods: Iterable[Body]) -> None:
        """Keep the newest status of each pod."""
        for pod in pods:
            self.statuses[pod["metadata"]["name"]] = pod.get("status", {})

    def terminations(self) -> list[tuple[str, Body]]:
        """(pod, terminated state) of every container that ended badly."""
        return [
            (name, termination)
            for name, status in self.statuses.items()
            for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
            if (termination := container.get("state", {}).get("terminated")) and termination.get("exitCode")
        ]


def situation(kind: Workload, body: Body, pods: Sequence[Body], warnings: Sequence[str], queue: str) -> Situation:
    """What a live workload is doing.

    Args:
        warnings: messages of its warning events.
        queue: why its queue holds it, where that is known.
    """
    if kind.is_suspended(body):
        return Situation("queue", queue or "suspended: waiting for the queue to admit it")
    if kind.condition(body, "SuccessCriteriaMet").get("status") == "True":
        return Situation("running", "its result is there; what is left of its pods is being stopped")
    if not pods:
        return Situation("starting", "waiting for its pod" + (f" ({warnings[-1]})" if warnings else ""))
    situations = [_pod_situation(pod, warnings) for pod in pods]
    order: list[Phase] = ["lost", "image", "unschedulable", "starting", "running"]
    worst = min(situations, key=lambda each: order.index(each.phase))
    return worst if len(situations) == 1 else Situation(worst.phase, f"{worst.words} ({len(situations)} pods)")


def _pod_situation(pod: Body, warnings: Sequence[str]) -> Situation:
    status, spec = pod.get("status", {}), pod["spec"]
    node = spec.get("nodeName", "?")
    if _is_lost(status):
        return Situation(
            "lost",
            f"node {node} does not answer; its pod may still run there, so another one starts only when the node is "
            f"back, or given up: kubectl delete node {node}, once it is surely off",
        )
    if "deletionTimestamp" in pod["metadata"]:
        return Situation("starting", f"its pod on {node} is being stopped; another one follows")
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Situation("unschedulable", _unschedulable(spec, condition.get("message") or ""))
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = container.get("state", {}).get("waiting") or {}
        message = waiting.get("message") or (warnings[-1] if warnings else "")
        if waiting.get("reason") in _IMAGE_REASONS:
            return Situation("image", f"image {container.get('image')}: {waiting['reason']}: {message}")
        if waiting.get("reason") in _BLOCKED_REASONS:
            return Situation("image", f"its container cannot start: {waiting['reason']}: {message}")
    if status.get("phase") == "Pending":
        return Situation("starting", f"starting on {node}" + (f" ({warnings[-1]})" if warnings else ""))
    return Situation("running", f"running on {node}")


def _is_lost(status: Body) -> bool:
    """Whether its node was silent for so long that the cluster took the pod's readiness away, which no kubelet did.

    Kubernetes says no more of it than that: `MarkPodsNotReady` of its node controller sets this one condition, and
    gives no reason (seen on 1.36).
    """
    state = {condition["type"]: condition["status"] for condition in status.get("conditions") or []}
    return status.get("phase") == "Running" and (state.get("Ready"), state.get("ContainersReady")) == ("False", "True")


def _unschedulable(spec: Body, message: str) -> str:
    why = []
    if "node affinity" in message or "node selector" in message:
        why.append("no node with " + ", ".join(f"{k}={v}" for k, v in (spec.get("nodeSelector") or {}).items()))
    limits = spec["containers"][0].get("resources", {}).get("limits", {})
    why += [f"no node has {amount} {name} free" for name, amount in limits.items() if f"Insufficient {name}" in message]
    if "untolerated taint" in message:
        why.append("nodes have a taint that the profile does not tolerate")
    return f"unschedulable: {'; '.join(why) or 'no node fits'} ({message})"


def ending(kind: Workload, body: Body, facts: PodFacts, warnings: Sequence[str]) -> Ending:
    """Why a failed workload failed."""
    condition = kind.condition(body, kind.failed)
    if condition.get("reason") == "DeadlineExceeded":
        return Ending("deadline", f"it ran longer than the profile's deadline: {condition.get('message')}")
    for name, status in facts.statuses.items():
        disrupted = any(c["type"] == "DisruptionTarget" for c in status.get("conditions") or [])
        if status.get("reason") in ("Evicted", "Preempted", "NodeLost", "Shutdown") or disrupted:
            reason = status.get("message") or status.get("reason") or "the node was drained, or its pod preempted"
            return Ending("evicted", f"pod {name} was taken off its node: {reason}")
    if terminations := facts.terminations():
        return _exit(*min(terminations, key=lambda each: each[1]["exitCode"] in _CONSEQUENCES))
    about = condition.get("message") or "the controller gave no reason"
    last = "; ".join(warnings[-_LAST_LINES:])
    return Ending("unknown", f"{condition.get('reason', 'Failed')}: {about}" + (f" ({last})" if last else ""))


def _exit(pod: str, termination: Body) -> Ending:
    code = termination["exitCode"]
    message = "\n".join((termination.get("message") or "").strip().splitlines()[-_LAST_LINES:])
    if termination.get("reason") == "OOMKilled":
        advice = "raise `needs.memory` in the recipe or for this launch; the next attempt goes on from its checkpoint"
        return Ending(
            "oom", f"pod {pod} was killed for using more than its memory limit (OOM, exit {code}); {advice}", code
        )
    return Ending("exit", f"pod {pod}: {in_words(_status(code))}" + (f". {message}" if message else ""), code)


def _status(code: int) -> int:
    """A container's exit code as a process's status: negative where a signal ended it."""
    return _SIGNAL_BASE - code if code > _SIGNAL_BASE else code
