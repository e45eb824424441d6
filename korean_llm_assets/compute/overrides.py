"""Resources of one launch, set from the UI: typed run tags that win over recipe and profile."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from korean_llm_assets.compute.naming import DOMAIN
from korean_llm_assets.compute.profiles import ClusterProfile
from trainers.contract import BadRequest, Needs

_M = TypeVar("_M", bound=BaseModel)
_NEEDS = ("gpus", "cpu", "memory", "nodes")
_PROFILE = ("image", "queue", "priority_class")


class Overrides(BaseModel):
    """What one launch may change. As run tags: `korean-llm/gpus: 8`, `korean-llm/profile: h100`, ..."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = Field(description="cluster profile")
    gpus: int | None = Field(default=None, ge=0, description="GPUs in all, over every node")
    cpu: float | None = Field(default=None, gt=0, description="cores per node")
    memory: str | None = Field(default=None, description="per node, like 64Gi")
    nodes: int | None = Field(default=None, ge=1)
    image: str | None = Field(default=None, description="another trainer image, pinned")
    queue: str | None = None
    priority_class: str | None = None

    def with_tags(self, tags: Mapping[str, str]) -> "Overrides":
        """These, and what the run's tags say.

        Raises:
            BadRequest: a tag of ours is unknown, or its value is not of its type.
        """
        own = {key.removeprefix(f"{DOMAIN}/"): value for key, value in tags.items() if key.startswith(f"{DOMAIN}/")}
        return _checked(type(self), {**self.model_dump(), **own})

    def apply_to_needs(self, needs: Needs) -> Needs:
        """The recipe's needs, with what this launch changes."""
        return _checked(Needs, {**needs.model_dump(), **self._set(_NEEDS)})

    def apply_to_profile(self, profile: ClusterProfile) -> ClusterProfile:
        """The profile, with what this launch changes."""
        return _checked(ClusterProfile, {**profile.model_dump(), **self._set(_PROFILE)})

    def _set(self, keys: tuple[str, ...]) -> dict[str, Any]:
        return {key: value for key in keys if (value := getattr(self, key)) is not None}


def _checked(kind: type[_M], values: dict[str, Any]) -> _M:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{DOMAIN}/{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise BadRequest(f"the overrides of this launch are wrong: {problems}") from error
