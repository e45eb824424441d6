"""A stage request: what is asked of a stage, and the digest that is its identity."""

import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainers.contract.digests import sha256_of
from trainers.contract.needs import Needs
from trainers.contract.stages import STAGES

_SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
EARLIER = "earlier_"
"""Begins the name of an input that is an earlier release's corpus; its release follows."""
DEDUP_INDEX = "dedup_index"
"""The folder of a corpus in which later releases look their duplicates up."""
NOUNS = "vocabulary.json"
"""The file of a corpus with whose nouns those of later releases are compared."""


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
    inputs' digests; not paths, needs, images or machines, so that moving a folder makes nothing stale. What follows
    from `needs` and decides the result, the section says (`Section.settled`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    stage_version: int
    model: str | None = None
    release: str | None = None
    section: dict[str, Any] = Field(default_factory=dict, description="the recipe's section, without `needs`")
    seed: int = 0
    plugins: dict[str, str] = Field(default={}, description="functions of the user's own in the section -> code digest")
    files: dict[str, str] = Field(default={}, description="key of the section that names a path -> content digest")
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
                **({"files": self.files} if self.files else {}),
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
