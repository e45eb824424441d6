"""The contract between the two worlds: requests, manifests, artifacts, stages and exit codes (pydantic only)."""

from trainers.contract.details import (
    BaseModelDetails,
    BenchmarkDetails,
    CorpusDetails,
    DatasetDetails,
    Details,
    EvaluationDetails,
    ExportDetails,
    GateResult,
    Interval,
    TrainingDetails,
)
from trainers.contract.digests import canonical_json, sha256_of
from trainers.contract.exits import (
    BadData,
    BadRequest,
    DiskTrouble,
    DoesNotFit,
    ExitCode,
    Failure,
    Interrupted,
    LossIsNaN,
    ServiceMissing,
    StageError,
    Stalled,
    Then,
)
from trainers.contract.manifest import Artifact, Attempt, Environment, FileRecord, GpuSeconds, Manifest, lost_seconds
from trainers.contract.needs import Needs
from trainers.contract.request import EARLIER, Input, StageRequest
from trainers.contract.stages import STAGES, Stage

__all__ = [
    "EARLIER",
    "STAGES",
    "Artifact",
    "Attempt",
    "BadData",
    "BadRequest",
    "BaseModelDetails",
    "BenchmarkDetails",
    "CorpusDetails",
    "DatasetDetails",
    "Details",
    "DiskTrouble",
    "DoesNotFit",
    "Environment",
    "EvaluationDetails",
    "ExitCode",
    "ExportDetails",
    "Failure",
    "FileRecord",
    "GateResult",
    "GpuSeconds",
    "Input",
    "Interrupted",
    "Interval",
    "LossIsNaN",
    "Manifest",
    "Needs",
    "ServiceMissing",
    "Stage",
    "StageError",
    "StageRequest",
    "Stalled",
    "Then",
    "TrainingDetails",
    "canonical_json",
    "lost_seconds",
    "sha256_of",
]
