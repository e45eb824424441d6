"""What an ended attempt means: try again, or fail in words."""

import signal

from dagster import Failure, MetadataValue

from trainers.contract import ExitCode, StageRequest
from trainers.contract.artifacts import ArtifactStore

MAX_ATTEMPTS = 3
_RETRIED = {ExitCode.RESUMABLE, ExitCode.STALLED}


def may_retry(status: int) -> bool:
    """True where another attempt of the same request can succeed: it goes on from the last checkpoint.

    Args:
        status: a process's return code; negative is the signal that killed it.
    """
    return status < 0 or status in _RETRIED


def in_words(status: int) -> str:
    """An exit status for people."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"killed by {name}" + (" (often: out of memory)" if name == "SIGKILL" else "")
    known = status in {int(code) for code in ExitCode}
    return f"exit {status}: {ExitCode(status).meaning}" if known else f"exit {status}"


def failure(request: StageRequest, store: ArtifactStore, status: int, attempts: int) -> Failure:
    """The failure of a request's last attempt, with the trainer's own reason."""
    told = store.failure(request)
    reason = told.reason if told is not None and told.exit_code == status else "the stage left no reason; see its log"
    return Failure(
        f"{request.asset} {request.partition}: {in_words(status)}. {reason}",
        metadata={
            "exit code": status,
            "meaning": in_words(status),
            "reason": MetadataValue.text(reason),
            "attempts": attempts,
            "work kept in": MetadataValue.path(store.beside(request).partial),
            "run it by hand": MetadataValue.text(
                f"python -m trainers {request.stage} --request {store.beside(request).request} --artifacts {store.root}"
            ),
        },
        allow_retries=False,
    )
