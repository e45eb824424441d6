"""What a stage needs to run: GPUs, cores, memory, nodes."""

from pydantic import BaseModel, ConfigDict, Field


class Needs(BaseModel):
    """What a stage needs to run; where it runs is the platform's business."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: int = Field(default=0, ge=0, description="GPUs in all, over every node")
    cpu: float = Field(default=1, gt=0, description="CPU cores per node")
    memory: str = Field(default="2Gi", pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti)$", description="per node")
    nodes: int = Field(default=1, ge=1, description="machines")
