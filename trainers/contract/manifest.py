"""A manifest: everything that is known of a finished artifact; and the pointer to it that flows between assets."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, computed_field, field_validator, model_validator

from trainers.contract.details import Details, EvaluationDetails
from trainers.contract.digests import sha256_of
from trainers.contract.format_1 import details_of_format_1
from trainers.contract.request import StageRequest


class FileRecord(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True)

    path: str
    size: int
    sha256: str
    is_content: bool = Field(default=True, description="False: says where things came from; not in the content digest")


class Attempt(BaseModel):
    """One try at a request: times are Unix seconds."""

    number: int
    started: float
    ended: float | None = None
    exit_code: int | None = None
    resumed_from_step: int | None = None
    resumed_from_time: float | None = Field(default=None, description="when that step's checkpoint was saved")


def lost_seconds(attempts: Sequence[Attempt]) -> float:
    """Time of attempts before the last one that nothing rests on: what came after the checkpoint that a later one
    went on from, or all of it."""
    lost = 0.0
    needed = attempts[-1].resumed_from_time if attempts else None
    for attempt in reversed(attempts[:-1]):
        ended = attempt.ended or attempt.started
        if needed is None or needed < attempt.started:
            lost += ended - attempt.started
        else:
            lost += max(ended - needed, 0.0)
            needed = attempt.resumed_from_time
    return lost


class GpuSeconds(BaseModel):
    """GPU time of all attempts: held, spent on work that counts, and lost to restarts."""

    asked: float = 0.0
    used: float = 0.0
    lost: float = 0.0


class Environment(BaseModel):
    """Where an artifact was made. Never part of its identity."""

    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, str] = Field(default_factory=dict)
    image: str | None = None
    commit: str | None = Field(default=None, description="of the code; `-dirty` where its files differed from it")


class Manifest(BaseModel):
    """Written last: an artifact without one does not exist."""

    format: Literal[1, 2] = Field(default=2, description="1: the digest does not cover what the details decide")
    request: StageRequest
    request_digest: str
    files: tuple[FileRecord, ...]
    metrics: dict[str, float]
    details: SerializeAsAny[Details]
    attempts: list[Attempt] = Field(default_factory=list)
    timings: dict[str, float] = Field(default_factory=dict, description="seconds and rates: true once, not twice")
    gpu_seconds: GpuSeconds = GpuSeconds()
    environment: Environment = Environment()
    tracking_run: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def digest(self) -> str:
        """Content digest: the same for two runs that were asked the same and gave the same bytes.

        Landed folders count by what was made of them: the same rows in other files make nothing stale.
        """
        content: dict[str, Any] = {
            "request": self.request.digest_but_for_landing,
            "files": {record.path: record.sha256 for record in self.files if record.is_content},
            "metrics": self.metrics,
        }
        if self.format > 1:
            content["decides"] = self.details.decides
        return sha256_of(content)

    @property
    def contradiction(self) -> str | None:
        """Where the verdict of a report of format 1, which its digest does not cover, is not that of its metrics."""
        if self.format > 1 or not isinstance(self.details, EvaluationDetails):
            return None
        verdict, metric = self.details.gate_passed, self.metrics.get("gate_passed")
        if metric in (None, float(verdict)):
            return None
        return f"the conditions of its gate say {'passed' if verdict else 'failed'}, its metric gate_passed is {metric}"

    @model_validator(mode="before")
    @classmethod
    def _read_format_1(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("format") == 1 and "extra" in data.get("details", {}):
            return {**data, "details": details_of_format_1(data["details"])}
        return data

    @field_validator("details", mode="before")
    @classmethod
    def _read_details(cls, details: Any) -> Any:
        return Details.of_its_kind(details) if isinstance(details, dict) else details

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.size for record in self.files)


class Artifact(BaseModel):
    """The pointer to a committed artifact that flows between assets."""

    model_config = ConfigDict(frozen=True)

    stage: str
    model: str | None = None
    release: str | None = None
    request_digest: str
    digest: str = Field(description="the manifest's content digest; Dagster's DataVersion")
    path: str = Field(description="relative to the artifact root")
    metrics: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> "Artifact":
        """The pointer to a manifest's artifact."""
        request = manifest.request
        return cls(
            stage=request.stage,
            model=request.model,
            release=request.release,
            request_digest=manifest.request_digest,
            digest=manifest.digest,
            path=request.relative_path,
            metrics=manifest.metrics,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, as kept in Dagster's event log."""
        return self.model_dump(mode="json")
