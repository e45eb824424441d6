"""Exit codes of a stage and the errors that carry them: one table that every launcher reads."""

from enum import IntEnum
from typing import ClassVar

from pydantic import BaseModel


class ExitCode(IntEnum):
    """What a stage's process exit status says (numbers follow BSD's sysexits.h where it has one)."""

    OK = 0
    BAD_REQUEST = 64
    BAD_DATA = 65
    SERVICE_MISSING = 69
    INTERNAL = 70
    DISK_TROUBLE = 74
    RESUMABLE = 75
    DOES_NOT_FIT = 78
    LOSS_IS_NAN = 80
    STALLED = 81

    @property
    def meaning(self) -> str:
        """The code in words, for people."""
        return _MEANING[self]

    @property
    def is_final(self) -> bool:
        """True where another attempt of the same request cannot succeed."""
        return self in (
            ExitCode.BAD_REQUEST,
            ExitCode.BAD_DATA,
            ExitCode.DOES_NOT_FIT,
            ExitCode.LOSS_IS_NAN,
        )


_MEANING = {
    ExitCode.OK: "finished",
    ExitCode.BAD_REQUEST: "the request or the recipe is wrong",
    ExitCode.BAD_DATA: "the data cannot be used",
    ExitCode.SERVICE_MISSING: "a service that the stage needs does not answer",
    ExitCode.INTERNAL: "an error inside the stage",
    ExitCode.DISK_TROUBLE: "the disk or the volume is full or failing",
    ExitCode.RESUMABLE: "stopped before the end; the next attempt goes on from the last checkpoint",
    ExitCode.DOES_NOT_FIT: "the work does not fit into the memory it was given",
    ExitCode.LOSS_IS_NAN: "the loss became NaN or infinite",
    ExitCode.STALLED: "training made no progress",
}


class StageError(Exception):
    """A stage cannot go on. The message names what, where and what to do; `code` is the exit status."""

    code: ClassVar[ExitCode] = ExitCode.INTERNAL


class BadRequest(StageError):
    """The request, the recipe or an input named by them is wrong (exit 64)."""

    code = ExitCode.BAD_REQUEST


class BadData(StageError):
    """The data is there but cannot be used (exit 65)."""

    code = ExitCode.BAD_DATA


class ServiceMissing(StageError):
    """A needed service does not answer (exit 69)."""

    code = ExitCode.SERVICE_MISSING


class DiskTrouble(StageError):
    """The disk is full, read-only or failing (exit 74)."""

    code = ExitCode.DISK_TROUBLE


class Interrupted(StageError):
    """SIGTERM or preemption: state is saved, another attempt resumes (exit 75)."""

    code = ExitCode.RESUMABLE


class DoesNotFit(StageError):
    """The work does not fit into memory (exit 78)."""

    code = ExitCode.DOES_NOT_FIT


class LossIsNaN(StageError):
    """The loss became NaN or infinite (exit 80)."""

    code = ExitCode.LOSS_IS_NAN


class Stalled(StageError):
    """No training step for far longer than usual (exit 81)."""

    code = ExitCode.STALLED


class Failure(BaseModel):
    """Why an attempt ended without an artifact; left in the unfinished work."""

    exit_code: int
    error: str
    reason: str
    attempt: int
