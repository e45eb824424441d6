"""Resources of one launch, set from the UI: an asset's config (the launchpad's form) or run tags; both win over recipe
and profile, the config over the tags.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from dagster import AssetExecutionContext, Config, OpExecutionContext
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from korean_llm_assets.compute.cluster.naming import DOMAIN
from korean_llm_assets.compute.profiles import ClusterProfile, profile_paths
from trainers.contract import BadRequest, Needs

Step = AssetExecutionContext | OpExecutionContext
"""A running step of Dagster: an asset's, or a job's own."""
_M = TypeVar("_M", bound=BaseModel)
_NEEDS = {"gpus", "cpu", "memory", "nodes"}
_PROFILE = {"image", "queue", "priority_class"}

if TYPE_CHECKING:
    ClusterProfileName = str  # a checker wants an enum's names in the source; these are the names of files
else:
    ClusterProfileName = StrEnum("ClusterProfileName", {name: name for name in sorted(profile_paths())})


class Overrides(Config):
    """What one launch may change. In an asset's config: `gpus: 8`; as a tag of the run: `korean-llm/gpus: 8`.

    Dagster shows it as a form, and refuses a launch with unknown names, wrong types or a profile that there is not;
    ranges and what fits are checked before a Job is made.
    """

    model_config = ConfigDict(extra="forbid")

    profile: ClusterProfileName | None = Field(default=None, description="cluster profile")
    gpus: int | None = Field(default=None, ge=0, description="GPUs in all, over every node")
    cpu: float | None = Field(default=None, gt=0, description="cores per node")
    memory: str | None = Field(default=None, description="per node, like 64Gi")
    nodes: int | None = Field(default=None, ge=1, description="machines")
    image: str | None = Field(default=None, description="another trainer image, pinned")
    queue: str | None = Field(default=None, description="Kueue LocalQueue")
    priority_class: str | None = Field(
        default=None,
        description="who gives way: a WorkloadPriorityClass (urgent) where Kueue admits, else the pods' PriorityClass",
    )

    @classmethod
    def of(cls, step: Step) -> "Overrides":
        """What a step's launch asks for: our run tags, then the step's own config.

        Raises:
            BadRequest: a name is unknown, or its value is not of its type.
        """
        prefix, config = f"{DOMAIN}/", step.op_execution_context.op_config or {}
        tags = {key.removeprefix(prefix): value for key, value in step.run.tags.items() if key.startswith(prefix)}
        return _checked(cls, {**tags, **{key: value for key, value in config.items() if value is not None}})

    @property
    def changes(self) -> dict[str, Any]:
        """What is set, by name."""
        return self.model_dump(exclude_none=True)

    def apply_to_needs(self, needs: Needs) -> Needs:
        """The recipe's needs, with what this launch changes."""
        return _checked(Needs, {**needs.model_dump(), **self.model_dump(include=_NEEDS, exclude_none=True)})

    def apply_to_profile(self, profile: ClusterProfile) -> ClusterProfile:
        """The profile, with what this launch changes.

        Raises:
            BadRequest: a change is wrong, or the image is from a place that the profile does not allow.
        """
        if self.image and profile.allowed_images and not self.image.startswith(profile.allowed_images):
            raise BadRequest(
                f"image {self.image!r} is not from {' or '.join(profile.allowed_images)} (allowed_images of profile "
                f"{profile.name!r}): a Job's image reads the Secrets and writes the store. Nothing was launched."
            )
        # A queue that a launch names goes before the model's.
        own_queue: dict[str, Any] = {"model_queues": {}} if self.queue else {}
        changes = self.model_dump(include=_PROFILE, exclude_none=True)
        if profile.queue and "priority_class" in changes:
            changes["queue_priority"] = changes.pop("priority_class")  # what is admitted has its nodes
        return _checked(ClusterProfile, {**profile.model_dump(), **own_queue, **changes})


def _checked(kind: type[_M], values: dict[str, Any]) -> _M:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        where = f"the asset's config, or run tags {DOMAIN}/<name>"
        raise BadRequest(f"the overrides of this launch ({where}) are wrong: {problems}") from error
