"""What every recipe section has in common: no unknown keys, and the needs of its stage."""

from pydantic import BaseModel, ConfigDict

from trainers.contract import Needs


class Strict(BaseModel):
    """A part of a recipe: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Section(Strict):
    """The settings of one stage."""

    needs: Needs = Needs()
