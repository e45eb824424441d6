"""What a stage needs to run: GPUs, cores, memory, nodes."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_POWERS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}


class Needs(BaseModel):
    """What a stage needs to run; where it runs is the platform's business."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: int = Field(default=0, ge=0, description="GPUs in all, over every node")
    cpu: float = Field(default=1, gt=0, description="CPU cores per node")
    memory: str = Field(default="2Gi", pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti)$", description="per node")
    nodes: int = Field(default=1, ge=1, description="machines")
    engine: Literal["pool", "ray"] | None = Field(
        default=None,
        description="of the corpus, what its work is spread with: processes of one machine, or Ray, over any number; "
        "absent: Ray where it runs on several nodes or where RAY_ADDRESS names a cluster, else a pool",
    )

    @model_validator(mode="after")
    def _pool_is_one_machine(self) -> Self:
        if self.engine == "pool" and self.nodes > 1:
            raise ValueError(f"engine: pool is one machine, but nodes: {self.nodes}; leave one of them out")
        return self

    @property
    def memory_bytes(self) -> int:
        """The memory of a node in bytes."""
        return int(float(self.memory[:-2]) * 2 ** _POWERS[self.memory[-2:]])
