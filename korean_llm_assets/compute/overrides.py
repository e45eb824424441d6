"""Resources of one launch, set from the UI: an asset's config (the launchpad's form) or run tags; both win over recipe
and profile, the config over the tags.
"""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from dagster import AssetExecutionContext, Enum, EnumValue
from dagster import Field as ConfigField
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from korean_llm_assets.compute.cluster.naming import DOMAIN
from korean_llm_assets.compute.profiles import ClusterProfile, profile_paths
from trainers.contract import BadRequest, Needs

_M = TypeVar("_M", bound=BaseModel)
_NEEDS = ("gpus", "cpu", "memory", "nodes")
_PROFILE = ("image", "queue", "priority_class")


class Overrides(BaseModel):
    """What one launch may change. In an asset's config: `gpus: 8`; as a tag of the run: `korean-llm/gpus: 8`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = Field(description="cluster profile")
    gpus: int | None = Field(default=None, ge=0, description="GPUs in all, over every node")
    cpu: float | None = Field(default=None, gt=0, description="cores per node")
    memory: str | None = Field(default=None, description="per node, like 64Gi")
    nodes: int | None = Field(default=None, ge=1, description="machines")
    image: str | None = Field(default=None, description="another trainer image, pinned")
    queue: str | None = Field(default=None, description="Kueue LocalQueue")
    priority_class: str | None = Field(default=None, description="PriorityClass of the pods")

    def changed_by(self, asked: Mapping[str, Any]) -> "Overrides":
        """These, with what a launch asks for.

        Raises:
            BadRequest: a name is unknown, or its value is not of its type.
        """
        return _checked(type(self), {**self.model_dump(), **asked})

    def apply_to_needs(self, needs: Needs) -> Needs:
        """The recipe's needs, with what this launch changes."""
        return _checked(Needs, {**needs.model_dump(), **self._set(_NEEDS)})

    def apply_to_profile(self, profile: ClusterProfile) -> ClusterProfile:
        """The profile, with what this launch changes."""
        own_queue: dict[str, Any] = (
            {"model_queues": {}} if self.queue else {}
        )  # what a launch names goes before the model's
        return _checked(ClusterProfile, {**profile.model_dump(), **own_queue, **self._set(_PROFILE)})

    def _set(self, keys: tuple[str, ...]) -> dict[str, Any]:
        return {key: value for key in keys if (value := getattr(self, key)) is not None}


def asked_of(context: AssetExecutionContext) -> dict[str, Any]:
    """What this launch asks for this asset: our run tags, then the asset's own config."""
    tags = context.run.tags
    own = {key.removeprefix(f"{DOMAIN}/"): value for key, value in tags.items() if key.startswith(f"{DOMAIN}/")}
    return {**own, **(context.op_execution_context.op_config or {})}


def launch_form() -> dict[str, ConfigField]:
    """`Overrides` as an asset's optional config. Dagster shows it as a form, and refuses a launch with unknown names,
    wrong types or a profile that there is not; ranges and what fits are checked before a Job is made.
    """
    profiles = Enum("ClusterProfileName", [EnumValue(name) for name in sorted(profile_paths())])
    return {
        name: ConfigField(
            profiles if name == "profile" else next(iter(get_args(field.annotation))),
            is_required=False,
            description=field.description,
        )
        for name, field in Overrides.model_fields.items()
    }


def _checked(kind: type[_M], values: dict[str, Any]) -> _M:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        where = f"the asset's config, or run tags {DOMAIN}/<name>"
        raise BadRequest(f"the overrides of this launch ({where}) are wrong: {problems}") from error
