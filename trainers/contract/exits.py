"""Exit codes of a stage and the errors that carry them: one table that every launcher reads."""

from enum import Enum, IntEnum
from typing import ClassVar

from pydantic import BaseModel

from trainers.contract.redaction import without_secrets


class Then(Enum):
    """What follows an attempt that ended so; the value says it to people."""

    DONE = "there is an artifact"
    ATTEMPT = "the next attempt goes on from the last checkpoint"
    MEND = "nothing follows by itself: mend the cause and run it again; work that was done is kept"
    NEVER = "another attempt of the same request would end the same way: change what it asks for"


class ExitCode(IntEnum):
    """What a stage's process exit status says (numbers follow BSD's sysexits.h where it has one).

    Each has its meaning for people, in English and Korean, and what follows.
    """

    meaning: str
    korean: str
    then: Then

    def __new__(cls, number: int, then: Then, meaning: str, korean: str) -> "ExitCode":
        """One row of the table."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.then, code.meaning, code.korean = then, meaning, korean
        return code

    OK = 0, Then.DONE, "finished", "끝났습니다"
    BAD_REQUEST = 64, Then.NEVER, "the request or the recipe is wrong", "요청 또는 레시피가 잘못되었습니다"
    BAD_DATA = 65, Then.NEVER, "the data cannot be used", "데이터를 쓸 수 없습니다"
    SERVICE_MISSING = (
        69,
        Then.MEND,
        "a service that the stage needs does not answer",
        "필요한 서비스가 응답하지 않습니다",
    )
    INTERNAL = 70, Then.MEND, "an error inside the stage", "단계 안에서 오류가 났습니다"
    DISK_TROUBLE = (
        74,
        Then.MEND,
        "the disk or the volume is full or failing",
        "디스크 또는 볼륨이 가득 찼거나 고장입니다",
    )
    RESUMABLE = (
        75,
        Then.ATTEMPT,
        "stopped before the end; the next attempt goes on from the last checkpoint",
        "끝나기 전에 멈추었습니다. 다시 시작하면 마지막 체크포인트에서 이어집니다",
    )
    DOES_NOT_FIT = (
        78,
        Then.NEVER,
        "the work does not fit into the memory it was given",
        "메모리에 들어가지 않습니다",
    )
    LOSS_IS_NAN = 80, Then.NEVER, "the loss became NaN or infinite", "손실이 NaN 또는 무한대가 되었습니다"
    STALLED = 81, Then.ATTEMPT, "training made no progress", "학습이 진행되지 않습니다"

    @property
    def is_final(self) -> bool:
        """True where another attempt of the same request cannot succeed."""
        return self.then is Then.NEVER

    @property
    def is_retried(self) -> bool:
        """True where a launcher makes the next attempt by itself, as long as there is one left."""
        return self.then is Then.ATTEMPT

    @classmethod
    def of(cls, status: int) -> "ExitCode | None":
        """The code of a process's exit status; None where a stage has no such code."""
        return next((code for code in cls if code == status), None)


class StageError(Exception):
    """A stage cannot go on. The message names what, where and what to do; `code` is the exit status."""

    code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __str__(self) -> str:
        """The message, whatever was put into it, without a secret."""
        return without_secrets(super().__str__())


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
