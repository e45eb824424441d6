"""The shape of a model: its sizes, and the weights that follow from them."""

from dataclasses import dataclass
from typing import Any

from trainers.contract.exits import BadRequest
from trainers.contract.recipe import BaseSection
from trainers.contract.recipe.loading import ModelRecipe


@dataclass(frozen=True)
class Shape:
    """What the planner needs to know of a model."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, recipe: ModelRecipe) -> "Shape":
        """A recipe's model.

        Raises:
            BadRequest: the recipe does not say the model's shape.
        """
        shape = cls.said_by(recipe)
        if shape is None:
            raise BadRequest(f"recipe {recipe.model!r} does not say its model's shape; add base_model's key 'shape'")
        return shape

    @classmethod
    def said_by(cls, recipe: ModelRecipe) -> "Shape | None":
        """A recipe's model; None where it does not say the shape."""
        base = recipe.section(BaseSection)
        if base.architecture is not None and base.vocabulary is not None:
            built = base.architecture
            return cls(
                built.hidden_size,
                built.layers,
                built.heads,
                built.kv_heads,
                built.intermediate_size,
                base.vocabulary,
                True,
            )
        return cls(**base.shape.model_dump()) if base.shape else None

    @classmethod
    def of_config(cls, config: dict[str, Any]) -> "Shape":
        """The model of a `config.json`.

        Raises:
            KeyError: its family names its sizes otherwise.
        """
        return cls(
            config["hidden_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
            config["intermediate_size"],
            config["vocab_size"],
            config.get("tie_word_embeddings", False),
        )

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of one layer's linear maps."""
        kv = self.hidden // self.heads * self.kv_heads
        attention = [(self.hidden, self.hidden), (self.hidden, kv), (self.hidden, kv), (self.hidden, self.hidden)]
        return [*attention, *[(self.hidden, self.intermediate)] * 2, (self.intermediate, self.hidden)]

    @property
    def layer_weights(self) -> int:
        """Weights of all layers."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.matrices)

    @property
    def weights(self) -> int:
        """All weights (norms and biases are left out: less than 0.1%)."""
        return self.layer_weights + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapter_weights(self, rank: int) -> int:
        """Weights of adapters on every linear map."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.matrices)
