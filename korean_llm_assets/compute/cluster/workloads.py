"""Kinds of workload that can run a stage (Job, PyTorchJob, TrainJob): where each is, and how it says it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Body = dict[str, Any]
"""An object as the Kubernetes API reads and writes it."""
TerminalState = Literal["complete", "failed"]


@dataclass(frozen=True)
class Workload:
    """One kind of workload and where its facts are."""

    kind: str
    group: str
    version: str
    plural: str
    succeeded: str
    failed: str
    suspended_at: tuple[str, ...]

    @property
    def resource(self) -> str:
        """As RBAC and `kubectl` call it."""
        return f"{self.plural}.{self.group}"

    def terminal_state(self, body: Mapping[str, Any]) -> TerminalState | None:
        """Whether it is over, read from the conditions alone, each by its type.

        Controllers append and reorder conditions (index 0 stays `Created` for ever: the guide's mistake), and active
        and failed counts lie between a pod's end and its replacement's start.
        """
        true = {c["type"] for c in body.get("status", {}).get("conditions") or [] if c.get("status") == "True"}
        if self.succeeded in true:
            return "complete"
        return "failed" if self.failed in true else None

    def condition(self, body: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
        """The condition of that type, or an empty mapping."""
        return next((c for c in body.get("status", {}).get("conditions") or [] if c["type"] == kind), {})

    def is_suspended(self, body: Mapping[str, Any]) -> bool:
        """True while a queue holds it."""
        value: Any = body["spec"]
        for key in self.suspended_at:
            value = value.get(key, {})
        return value is True


JOB = Workload("Job", "batch", "v1", "jobs", "Complete", "Failed", ("suspend",))
PYTORCHJOB = Workload(
    "PyTorchJob", "kubeflow.org", "v1", "pytorchjobs", "Succeeded", "Failed", ("runPolicy", "suspend")
)
TRAINJOB = Workload("TrainJob", "trainer.kubeflow.org", "v1alpha1", "trainjobs", "Complete", "Failed", ("suspend",))
WORKLOADS = {"job": JOB, "pytorchjob": PYTORCHJOB, "trainjob": TRAINJOB}
