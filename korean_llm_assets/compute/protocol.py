"""What every compute can do: all that assets and triggers ask of the place where stages run."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from korean_llm_assets.compute.overrides import Overrides, Step
from korean_llm_assets.compute.profiles import Price
from trainers.contract import Manifest, StageRequest


class Compute(Protocol):
    """A place where stages run. `launch` is what this launch changes of the recipe's needs and of the profile."""

    def run(self, step: Step, request: StageRequest, launch: Overrides) -> Manifest:
        """Run a request to its manifest, and wait.

        Raises:
            dagster.Failure: with the exit code's meaning and the trainer's own reason.
        """
        ...

    def ask(self, words: Sequence[str]) -> Any:
        """The JSON that a command of the trainers' world prints (`python -m trainers WORDS`), run where stages run.

        Raises:
            ServiceMissing: it does not run there, or did not end well.
        """
        ...

    def price(self, launch: Overrides) -> Price:
        """What an hour costs here.

        Raises:
            BadRequest: there is no such place.
        """
        ...

    def observed(self, manifest: Manifest, launch: Overrides) -> Mapping[str, Any]:
        """What was seen of a finished request from outside, as metadata by name; empty where nobody watches."""
        ...
