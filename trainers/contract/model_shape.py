"""The shape of a model: its sizes, and the weights that follow from them."""

from dataclasses import dataclass
from typing import Any

from trainers.contract.exits import BadRequest
from trainers.contract.recipe import BaseSection
from trainers.contract.recipe.loading import ModelRecipe

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""What families call the number of a layer's experts."""


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
    head_dim: int | None = None
    """None: the heads divide the hidden size."""
    experts: int = 1
    """Feed-forward parts of a layer, each `intermediate` wide."""
    active_experts: int = 1
    """Of them, those that a token goes through."""

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
        experts, active, intermediate = feed_forward_of(config)
        return cls(
            config["hidden_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["num_key_value_heads"],
            intermediate,
            config["vocab_size"],
            config.get("tie_word_embeddings", False),
            config.get("head_dim"),
            experts,
            active,
        )

    @property
    def queries(self) -> int:
        """Width of all heads together."""
        return (self.head_dim or self.hidden // self.heads) * self.heads

    @property
    def kv(self) -> int:
        """Width of the keys of all heads together, and of the values."""
        return self.queries // self.heads * self.kv_heads

    @property
    def attention_matrices(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the linear maps of one layer's attention."""
        inner = [(self.hidden, self.queries), (self.hidden, self.kv), (self.hidden, self.kv)]
        return [*inner, (self.queries, self.hidden)]

    @property
    def feed_forward_matrices(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the linear maps of one feed-forward part."""
        return [*[(self.hidden, self.intermediate)] * 2, (self.intermediate, self.hidden)]

    @property
    def layer_weights(self) -> int:
        """Weights of all layers."""
        return self._layer_weights(self.experts)

    @property
    def active_layer_weights(self) -> int:
        """Of them, those that a token goes through."""
        return self._layer_weights(self.active_experts)

    def _layer_weights(self, experts: int) -> int:
        attention, feed_forward = (_size(maps) for maps in (self.attention_matrices, self.feed_forward_matrices))
        router = self.hidden * self.experts if self.experts > 1 else 0
        return self.layers * (attention + experts * feed_forward + router)

    @property
    def weights(self) -> int:
        """All weights (norms and biases are left out: less than 0.1%)."""
        return self.layer_weights + self.embedding_weights

    @property
    def embedding_weights(self) -> int:
        """Weights of the input and the output embeddings."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    def adapter_weights(self, rank: int) -> int:
        """Weights of adapters on every linear map; experts are none to peft, but one block of numbers."""
        dense = [] if self.experts > 1 else self.feed_forward_matrices
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in [*self.attention_matrices, *dense])


def feed_forward_of(config: dict[str, Any]) -> tuple[int, int, int]:
    """Of a `config.json`: experts of a layer, those that a token goes through, the width of one.

    Raises:
        KeyError: its family names its sizes otherwise.
    """
    experts = next((config[name] for name in _EXPERTS if config.get(name)), 1)
    if experts == 1:
        return 1, 1, config["intermediate_size"]
    return experts, config["num_experts_per_tok"], config.get("moe_intermediate_size") or config["intermediate_size"]


def _size(maps: list[tuple[int, int]]) -> int:
    return sum(inputs * outputs for inputs, outputs in maps)
