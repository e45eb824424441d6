"""A model that is built from nothing: a Qwen3 of the recipe's shape, and a tokenizer trained on the packaged sample."""

from pathlib import Path
from typing import Any

from trainers.contract import BadRequest
from trainers.contract.recipe import BaseSection

_END_OF_TEXT, _TURN, _END_OF_TURN, _PAD = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2's tokenizer splits text before byte-pair encoding."""

_INITIAL_SPREAD = 0.02


def build(section: BaseSection, seed: int, texts: list[str], folder: Path) -> None:
    """Write model and tokenizer into `folder`; the seed draws the weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, set_seed

    shape = section.architecture
    assert shape is not None  # the section's own check
    tokenizer = train_tokenizer(texts, int(section.vocabulary or 0))
    set_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.hidden_size // shape.heads,
            intermediate_size=shape.intermediate_size,
            max_position_embeddings=shape.max_length,
            tie_word_embeddings=True,
            initializer_range=_INITIAL_SPREAD,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def train_tokenizer(texts: list[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer of so many tokens, its special ones included.

    Raises:
        BadRequest: the texts do not give that many.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = [_END_OF_TEXT, _TURN, _END_OF_TURN, _PAD]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if tokenizer.get_vocab_size() != vocabulary:
        raise BadRequest(
            f"vocabulary: {vocabulary} tokens were asked for, but the sample text gives only "
            f"{tokenizer.get_vocab_size()}; lower the key"
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_END_OF_TEXT,
        pad_token=_PAD,
        additional_special_tokens=[_TURN, _END_OF_TURN],
        clean_up_tokenization_spaces=False,
    )
