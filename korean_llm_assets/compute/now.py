"""What a run does now, in words, as a tag of the run: Dagster's list of runs shows it, and its log tells the rest."""

from korean_llm_assets.compute.overrides import Step
from trainers.contract import StageRequest

NOW_TAG = "korean_llm/now"
_LONGEST = 250


class Now:
    """The words of one step. Where several steps of a run work at once, the last one to speak is seen."""

    def __init__(self, step: Step, request: StageRequest):
        self._step, self._asset = step, request.asset

    def tell(self, words: str) -> None:
        """In the log, and on the run."""
        self._step.log.info(words)
        self.show(words)

    def show(self, words: str) -> None:
        """On the run; a database that does not answer keeps no stage from its work."""
        mine = words if words.startswith(self._asset) else f"{self._asset}: {words}"
        try:
            self._step.instance.add_run_tags(self._step.run_id, {NOW_TAG: mine[:_LONGEST]})
        except Exception as error:  # noqa: BLE001 - each database has its own
            self._step.log.warning(f"the run does not show what it does ({error}); it goes on")
