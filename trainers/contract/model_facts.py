"""What `base_model` settles once about a model's tokens and shape; later stages read it in their parent's manifest."""

from pydantic import BaseModel, ConfigDict, Field


class ModelFacts(BaseModel):
    """Token ids and lengths of one model; its tokenizer, `config.json` and `generation_config.json` say the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pad: int = Field(description="fills batches; no label is one, where the model has a token to spare")
    bos: int | None = Field(default=None, description="begins a text; None where the family has no such token")
    eos: int = Field(description="ends a text")
    end_of_turn: int = Field(description="ends what the assistant says, in the chat template")
    stop: tuple[int, ...] = Field(description="each ends a reply: the end of turn, the end of a text, the family's own")
    added_before: tuple[int, ...] = Field(default=(), description="what the tokenizer puts before a text by itself")
    added_after: tuple[int, ...] = Field(default=(), description="what the tokenizer puts after a text by itself")
    context_length: int = Field(description="positions, with the rope scaling that the config names")
    sliding_window: int | None = Field(default=None, description="of the layers that look back so many tokens only")
    logit_scale: float = Field(default=1.0, description="the head's output is multiplied by it (Granite, Cohere)")
    logit_cap: float | None = Field(default=None, description="then cap x tanh(logits / cap) (Gemma 2)")

    @property
    def begin(self) -> int:
        """What a document begins with, in training and under test: the first token has something to follow on."""
        return self.bos if self.bos is not None else self.eos
