"""Stages as processes on this machine: `python -m trainers <stage> --request FILE`."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, Failure, PipesEnvContextInjector, open_pipes_session

from korean_llm_assets.compute.messages import MessagesFileReader
from korean_llm_assets.compute.outcome import MAX_ATTEMPTS, failure, in_words, may_retry
from korean_llm_assets.compute.overrides import asked_of
from korean_llm_assets.compute.pool import Held, LocalPool, is_interactive
from korean_llm_assets.compute.profiles import Price
from trainers.contract import Manifest, StageError, StageRequest, settings
from trainers.contract.artifacts import ArtifactStore
from trainers.contract.locks import locked

_POLL_SECONDS = 0.1
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

    def run(self, context: AssetExecutionContext, request: StageRequest) -> Manifest:
        """Run the request in a process of its own; up to three attempts where another one can help.

        Raises:
            Failure: with the exit code's meaning and the trainer's own reason.
        """
        if asked := asked_of(context):
            raise Failure(
                f"{', '.join(asked)}: this machine has no cluster profile to change (KOREAN_LLM_ENV=local). Launch "
                "again without them; what a stage needs stands in its recipe",
                allow_retries=False,
            )
        path = self.store.request_path(request)
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".launch")):  # another run of the same request is waited for
            with locked(self.store.folder(request).with_suffix(".lock")):
                pass  # so is the stage of a killed run, which may still be saving
            found = self.store.find(request)
            if found is not None:
                return found
            self.prepare()
            path.write_text(request.model_dump_json(indent=1), encoding="utf-8")
            try:
                with self.pool.hold(request, is_interactive(context.run.tags), context.log.info) as held:
                    self._attempts(context, request, held)
            except StageError as error:
                raise Failure(str(error), allow_retries=False) from error
            manifest = self.store.find(request)
        if manifest is None:
            raise Failure(f"{request.stage} ended with exit 0 but left no artifact", allow_retries=False)
        return manifest

    def _attempts(self, context: AssetExecutionContext, request: StageRequest, held: Held) -> None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            status = self._attempt(context, request, held)
            if status == 0:
                return
            if not may_retry(status) or attempt == MAX_ATTEMPTS:
                raise failure(request, self.store, status, attempt)
            context.log.warning(f"attempt {attempt} of {MAX_ATTEMPTS}: {in_words(status)}; going on with the next")

    def price(self, asked: Mapping[str, Any]) -> Price:
        """Nobody bills this machine's hours."""
        return Price()

    def observed(self, manifest: Manifest, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing more than the manifest says: nobody else watches this machine."""
        return {}

    def _attempt(self, context: AssetExecutionContext, request: StageRequest, held: Held) -> int:
        """One process from start to end; returns its exit status."""
        messages = self.store.messages_path(request)
        reader = MessagesFileReader(messages, offset=messages.stat().st_size if messages.exists() else 0)
        command = [*self.command, request.stage, "--request", str(self.store.request_path(request))]
        command += ["--artifacts", str(self.store.root), "--landing", str(self.landing)]
        with open_pipes_session(context, PipesEnvContextInjector(), reader) as session:
            environment = {
                **os.environ,
                **self.environment,
                **held.environment,
                **session.get_bootstrap_env_vars(),
                settings.PARENT.name: str(os.getpid()),
            }
            # A session of its own: Ctrl-C reaches us alone, and we tell the stage once.
            with subprocess.Popen(command, env=environment, start_new_session=True, pass_fds=held.locks) as process:
                return _wait(process)


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the process; whatever interrupts us stops it first, so that it saves and nothing is left running."""
    try:
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
        return process.returncode
    except BaseException:  # Dagster's interrupt and Ctrl-C are no Exceptions
        process.terminate()
        try:
            process.wait(_SAVING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
