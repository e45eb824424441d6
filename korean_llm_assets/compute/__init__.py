"""Where stages run: local processes, or Kubernetes Jobs; both give back a verified manifest."""

from typing import Protocol

from dagster import AssetExecutionContext

from trainers.contract import Manifest, StageRequest


class Compute(Protocol):
    """Runs a stage request to its manifest."""

    def run(self, context: AssetExecutionContext, request: StageRequest) -> Manifest:
        """Run it and wait.

        Raises:
            dagster.Failure: with the exit code's meaning and the trainer's own reason.
        """
        ...
