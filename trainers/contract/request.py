"""A stage request: what is asked of a stage, and the digest that is its identity."""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class Stage(BaseModel):
    """One kind of work: which asset it makes, how that is partitioned, and the version of its results."""

    model_config = ConfigDict(frozen=True)

    name: str
    asset: str
    by_model: bool
    by_release: bool
    version: int
    """Raised by hand when the same request would give another result. Kept here, not in the stage's
    own module, because the assets need it for `code_version` and must not import a trainer to read it."""


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(name="benchmarks", asset="benchmarks", by_model=False, by_release=True, version=2),
        Stage(name="corpus", asset="corpus", by_model=False, by_release=True, version=5),
        Stage(name="instructions", asset="instructions", by_model=False, by_release=True, version=4),
        Stage(name="preferences", asset="preferences", by_model=False, by_release=True, version=3),
        Stage(name="base_model", asset="base_model", by_model=True, by_release=False, version=1),
        Stage(name="cpt", asset="cpt_checkpoint", by_model=True, by_release=True, version=3),
        Stage(name="sft", asset="sft_model", by_model=True, by_release=True, version=4),
        Stage(name="rlhf", asset="rlhf_model", by_model=True, by_release=True, version=3),
        Stage(name="evaluate", asset="eval_report", by_model=True, by_release=True, version=3),
        Stage(name="export", asset="deployed_model", by_model=True, by_release=True, version=1),
    )
}


EARLIER = "earlier_"
"""Begins the name of an input that is an earlier release's corpus; its release follows."""


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of(value: Any) -> str:
    """Hex sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class Needs(BaseModel):
    """What a stage needs to run; where it runs is the platform's business."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: int = Field(default=0, ge=0, description="GPUs in all, over every node")
    cpu: float = Field(default=1, gt=0, description="CPU cores per node")
    memory: str = Field(default="2Gi", pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti)$", description="per node")
    nodes: int = Field(default=1, ge=1, description="machines")


class Input(BaseModel):
    """Something a stage reads: another artifact, or a folder of a landed release."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    digest: str = Field(description="content digest: a manifest's, or the tree digest of a landed folder")
    path: str = Field(description="relative to the artifact root, or to the landing root")
    root: Literal["artifacts", "landing"] = "artifacts"
    inherited_from: str | None = Field(
        default=None, description="the earlier release this was taken from, where the release has none of its own"
    )
    only: tuple[str, ...] = Field(
        default=(), description="what of the artifact is read, files and folders of its top; nothing else is verified"
    )

    @property
    def is_compared_with(self) -> bool:
        """True where the result is not made from this input, but held against it."""
        return self.name == "champion" or self.name.startswith(EARLIER)

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"input path {path!r} must be relative and stay inside its root")
        return path


class StageRequest(BaseModel):
    """What is asked of a stage, complete: with this and the roots, it runs anywhere.

    `digest` is the request's identity. It covers stage, version, model, release, section, seed and the
    inputs' digests; not paths, needs, images or machines, so that moving a folder makes nothing stale.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    stage_version: int
    model: str | None = None
    release: str | None = None
    section: dict[str, Any] = Field(default_factory=dict, description="the recipe's section, without `needs`")
    seed: int = 0
    plugins: dict[str, str] = Field(default={}, description="functions of the user's own in the section -> code digest")
    inputs: tuple[Input, ...] = ()
    needs: Needs = Needs()

    @model_validator(mode="after")
    def _is_complete(self) -> "StageRequest":
        kind = STAGES.get(self.stage)
        if kind is None:
            raise ValueError(f"unknown stage {self.stage!r}; there are: {', '.join(STAGES)}")
        for label, value, wanted in (
            ("model", self.model, kind.by_model),
            ("release", self.release, kind.by_release),
        ):
            if wanted and not value:
                raise ValueError(f"stage {self.stage!r} needs a {label}")
            if value and not wanted:
                raise ValueError(f"stage {self.stage!r} takes no {label}, but was given {value!r}")
            if value and not _SAFE_KEY.fullmatch(value):
                raise ValueError(f"{label} {value!r} is no safe key: letters, digits, '.', '_', '-', at most 80")
        names = [item.name for item in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError(f"inputs named twice: {sorted({name for name in names if names.count(name) > 1})}")
        return self

    @property
    def digest(self) -> str:
        """Hex sha256 of what decides the result."""
        return self._digest_with(self.inputs)

    @property
    def digest_but_for_landing(self) -> str:
        """Hex sha256 of what decides the result, without the landed folders."""
        return self._digest_with([item for item in self.inputs if item.root != "landing"])

    def _digest_with(self, inputs: Iterable[Input]) -> str:
        return sha256_of(
            {
                "stage": self.stage,
                "stage_version": self.stage_version,
                "model": self.model,
                "release": self.release,
                "section": self.section,
                "seed": self.seed,
                "inputs": {item.name: item.digest for item in inputs},
                **({"plugins": self.plugins} if self.plugins else {}),
            }
        )

    @property
    def asset(self) -> str:
        """The asset this request makes."""
        return STAGES[self.stage].asset

    @property
    def partition(self) -> str:
        """The partition in words: `model/release`, whichever of them the stage has."""
        return "/".join(key for key in (self.model, self.release) if key)

    @property
    def relative_path(self) -> str:
        """Where the artifact lies, relative to the artifact root."""
        return "/".join([self.asset, *(key for key in (self.model, self.release) if key), self.digest])

    def input(self, name: str) -> Input:
        """The input of that name; raises KeyError naming those there are."""
        for item in self.inputs:
            if item.name == name:
                return item
        raise KeyError(f"request for {self.stage} has no input {name!r}; it has {[i.name for i in self.inputs]}")
