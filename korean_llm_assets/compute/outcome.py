"""What an ended attempt means: try again, or fail in words."""

import signal

from dagster import Failure, MetadataValue

from trainers.contract import ExitCode, StageRequest, Then
from trainers.contract.artifacts import ArtifactStore

MAX_ATTEMPTS = 3
"""Of one request within one step, where the profile says nothing else."""


def may_retry(status: int) -> bool:
    """True where another attempt of the same request can succeed: it goes on from the last checkpoint.

    Args:
        status: a process's return code; negative is the signal that killed it.
    """
    code = ExitCode.of(status)
    return status < 0 or (code is not None and code.is_retried)


def in_words(status: int) -> str:
    """An exit status for people."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"killed by {name}" + (" (often: out of memory)" if name == "SIGKILL" else "")
    code = ExitCode.of(status)
    return f"exit {status}: {code.meaning}" if code is not None else f"exit {status}"


def what_now(status: int) -> str:
    """What follows the last attempt, or what a person can do."""
    code = ExitCode.of(status)
    return (code.then if code is not None and not code.is_retried else Then.MEND).value


def stopped(request: StageRequest, store: ArtifactStore, status: int | None) -> str:
    """What is left of a stage that was stopped, in its own words where it left any; None: it had to be killed."""
    record = store.failure(request)
    reason = record.reason if record and record.exit_code == status else "it ended before it could save anything more"
    return f"{request.asset} {request.partition}: {reason}. Kept in {store.beside(request).partial}"


def failure(request: StageRequest, store: ArtifactStore, status: int, attempts: int) -> Failure:
    """The failure of a request's last attempt, with the trainer's own reason."""
    record = store.failure(request)
    reason = record.reason if record and record.exit_code == status else "the stage left no reason; see its log"
    return Failure(
        f"{request.asset} {request.partition}: {in_words(status)}. {reason}",
        metadata={
            "exit code": status,
            "meaning": in_words(status),
            "what now": what_now(status),
            "reason": MetadataValue.text(reason),
            "attempts": attempts,
            "work kept in": MetadataValue.path(store.beside(request).partial),
            "run it by hand": MetadataValue.text(
                f"python -m trainers {request.stage} --request {store.beside(request).request} --artifacts {store.root}"
            ),
        },
        allow_retries=False,
    )
