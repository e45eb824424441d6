"""Stages as processes on this machine: `python -m trainers <stage> --request FILE`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster import Failure, PipesEnvContextInjector, open_pipes_session

from korean_llm_assets.compute.messages import MessagesFileReader
from korean_llm_assets.compute.now import Now
from korean_llm_assets.compute.outcome import MAX_ATTEMPTS, failure, in_words, may_retry, stopped
from korean_llm_assets.compute.overrides import Overrides, Step
from korean_llm_assets.compute.pool import Allocation, LocalPool, is_interactive
from korean_llm_assets.compute.profiles import Price
from trainers.contract import STAGES, ExitCode, Manifest, ServiceMissing, StageError, StageRequest, settings
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.layout import Place
from trainers.contract.locks import locked

_POLL_SECONDS = 0.1
_SILENT_SECONDS = 3600.0
"""A stage of data that has neither said nor written anything for this long hangs, and is begun again."""
_SAVING_SECONDS = 120
"""How long a stopped stage may take to save its state."""


@dataclass(frozen=True)
class LocalCompute:
    """Runs stages as child processes, one per request on this machine, when the pool says that it is their turn."""

    store: ArtifactStore
    landing: Path
    pool: LocalPool
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None
    command: tuple[str, ...] = (sys.executable, "-m", "trainers")

    def run(self, step: Step, request: StageRequest, launch: Overrides) -> Manifest:
        """Run the request in a process of its own; up to three attempts where another one can help.

        Raises:
            Failure: with the exit code's meaning and the trainer's own reason.
        """
        if launch.changes:
            raise Failure(
                f"{', '.join(launch.changes)}: this machine has no cluster profile to change (KOREAN_LLM_ENV=local). "
                "Launch again without them; what a stage needs stands in its recipe",
                allow_retries=False,
            )
        place, now = self.store.beside(request), Now(step, request)
        place.request.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.launch_lock):  # another run of the same request is waited for
            with locked(place.lock):
                pass  # so is the stage of a killed run, which may still be saving
            manifest = self.store.find(request)
            if manifest is not None:
                return manifest
            self.prepare()
            place.request.write_text(request.model_dump_json(indent=1), encoding="utf-8")
            try:
                with self.pool.hold(request, is_interactive(step.run.tags), now.tell) as allocation:
                    self._attempts(step, request, allocation, now)
            except StageError as error:
                raise Failure(str(error), allow_retries=False) from error
            manifest = self.store.find(request)
        if manifest is None:
            raise Failure(f"{request.stage} ended with exit 0 but left no artifact", allow_retries=False)
        return manifest

    def _attempts(self, step: Step, request: StageRequest, allocation: Allocation, now: Now) -> None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            status = self._attempt(step, request, allocation, now)
            if status == 0:
                now.show("made")
                return
            if not may_retry(status) or attempt == MAX_ATTEMPTS:
                raise failure(request, self.store, status, attempt)
            step.log.warning(f"attempt {attempt} of {MAX_ATTEMPTS}: {in_words(status)}; going on with the next")

    def ask(self, words: Sequence[str]) -> Any:
        """What a command prints, at once: a person waits for it.

        Raises:
            ServiceMissing: it did not end well.
        """
        environment = {**os.environ, **self.environment}
        done = subprocess.run([*self.command, *words], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise ServiceMissing(f"`python -m trainers {' '.join(words)}`: {done.stderr.strip()[-300:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def price(self, launch: Overrides) -> Price:
        """Nobody bills this machine's hours."""
        return Price()

    def observed(self, manifest: Manifest, launch: Overrides) -> dict[str, Any]:
        """Nothing more than the manifest says: nobody else watches this machine."""
        return {}

    def _attempt(self, step: Step, request: StageRequest, allocation: Allocation, now: Now) -> int:
        """One process from start to end; returns its exit status."""
        place = self.store.beside(request)
        offset = place.messages.stat().st_size if place.messages.exists() else 0
        reader = MessagesFileReader(place.messages, offset, now.show)
        command = [*self.command, request.stage, "--request", str(place.request)]
        command += ["--artifacts", str(self.store.root), "--landing", str(self.landing)]
        with open_pipes_session(step, PipesEnvContextInjector(), reader) as session:
            environment = {
                **os.environ,
                **self.environment,
                **allocation.environment,
                **session.get_bootstrap_env_vars(),
                settings.PARENT.name: str(os.getpid()),
            }
            # A session of its own: Ctrl-C reaches us alone, and we tell the stage once.
            with subprocess.Popen(
                command, env=environment, start_new_session=True, pass_fds=allocation.locks
            ) as process:
                try:
                    return _wait(process, place, None if STAGES[request.stage].trains else _SILENT_SECONDS)
                except BaseException:  # who cancels reads what he has: the stage has ended, and says it in its record
                    now.tell(stopped(request, self.store, process.returncode))
                    raise


def _wait(process: "subprocess.Popen[bytes]", place: Place, silence: float | None) -> int:
    """Wait for the process; whatever interrupts us stops it first, so that it saves and nothing is left running.

    Args:
        silence: seconds for which it may show no sign of life; a training watches itself.
    """
    began = looked = time.time()
    try:
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
            if silence is not None and time.time() - looked > silence / 10:
                looked = time.time()
                if looked - max(place.last_sign_of_life, began) > silence:
                    process.kill()
                    process.wait()
                    return ExitCode.STALLED
        return process.returncode
    except BaseException:  # Dagster's interrupt and Ctrl-C are no Exceptions
        process.terminate()
        try:
            process.wait(_SAVING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
