"""Common families of language models, each in its own files' form as hubs have them: tiny, with random weights.

Shapes and tokens follow the families' published `config.json`, `generation_config.json` and `tokenizer_config.json`.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.micro import conversation, texts

_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 64,
    "max_position_embeddings": 160,
}
_BYTES = [f"<0x{number:02X}>" for number in range(256)]
_SPARE_ROWS = 8


@dataclass(frozen=True)
class Family:
    """How a family's base model looks on disk, and what must be settled from it."""

    config: str
    template: str
    special: tuple[str, ...]
    end_of_turn: str
    eos: str
    bos: str | None = None
    named: dict[str, str] = field(default_factory=dict)
    """What its tokenizer_config.json names."""
    adds_bos: bool = False
    spaces: bool = False
    """SentencePiece's form: a mark for each space, no pre-tokenizer, bytes for what is unknown."""
    padded: bool = False
    more: dict[str, Any] = field(default_factory=dict)
    generation: dict[str, Any] = field(default_factory=dict)
    window: int | None = None
    nested: bool = False
    """A multi-modal model, of which the text part is wanted."""


_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_QWEN = {"special": _CHATML, "end_of_turn": "<|im_end|>", "eos": "<|endoftext|>", "padded": True}
_GEMMA = {
    "template": "gemma",
    "special": ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
    "end_of_turn": "<end_of_turn>",
    "eos": "<eos>",
    "bos": "<bos>",
    "named": {"pad_token": "<pad>", "unk_token": "<unk>"},
    "adds_bos": True,
    "spaces": True,
    "more": {"sliding_window": 16, "head_dim": 24, "layer_types": ["sliding_attention", "full_attention"]},
    "window": 16,
}
FAMILIES: dict[str, Family] = {
    "qwen2.5": Family("Qwen2Config", "qwen2.5", **_QWEN, named={"pad_token": "<|endoftext|>"}),
    "qwen3": Family("Qwen3Config", "qwen3", **_QWEN, more={"head_dim": 24, "tie_word_embeddings": True}),
    "llama3": Family(
        "LlamaConfig",
        "llama3",
        (
            *("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>"),
            *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        ),
        "<|eot_id|>",
        "<|end_of_text|>",
        "<|begin_of_text|>",
        adds_bos=True,
        more={
            "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 4.0}
            | {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
        },
        generation={"do_sample": True, "temperature": 0.6, "top_p": 0.9},
    ),
    "gemma3": Family("Gemma3TextConfig", **_GEMMA),
    "gemma3-multimodal": Family("Gemma3TextConfig", **_GEMMA, nested=True),
    "exaone4": Family(
        "Exaone4Config",
        "exaone4",
        ("[BOS]", "[PAD]", "[UNK]", "[|endofturn|]", "[|system|]", "[|user|]", "[|assistant|]"),
        "[|endofturn|]",
        "[|endofturn|]",
        "[BOS]",
        {"pad_token": "[PAD]", "unk_token": "[UNK]"},
        more={"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
        window=16,
    ),
    "mistral": Family(
        "MistralConfig",
        "mistral",
        ("<unk>", "<s>", "</s>"),
        "</s>",
        "</s>",
        "<s>",
        {"unk_token": "<unk>"},
        adds_bos=True,
        spaces=True,
        more={"sliding_window": 32},
        window=32,
    ),
    "phi": Family(
        "Phi3Config",
        "phi",
        ("<unk>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
        "<|end|>",
        "<|endoftext|>",
        named={"pad_token": "<|endoftext|>", "unk_token": "<unk>"},
        padded=True,
        more={"original_max_position_embeddings": 160},
    ),
    "smollm2": Family(
        "LlamaConfig",
        "chatml",
        (*_CHATML, "<repo_name>"),
        "<|im_end|>",
        "<|endoftext|>",
        "<|endoftext|>",
        {"unk_token": "<|endoftext|>"},
        more={"tie_word_embeddings": True},
    ),
    "kogpt2": Family(
        "GPT2Config",
        "plain",
        ("<s>", "</s>", "<usr>", "<pad>", "<sys>", "<unk>", "<mask>"),
        "</s>",
        "</s>",
        "<s>",
    ),
    "polyglot": Family(
        "GPTNeoXConfig",
        "plain",
        ("<|endoftext|>", "<|sep|>", "<|acc|>"),
        "<|endoftext|>",
        "<|endoftext|>",
        named={"pad_token": "<|endoftext|>"},
        padded=True,
    ),
}
_NAMELESS = "kogpt2"
"""Its tokenizer_config.json names no token: people give them by hand, as its page says."""


def build_family(name: str, folder: Path, seed: int = 1) -> Path:
    """The family's tiny base model, as a folder that a hub could have."""
    import torch
    import transformers

    family = FAMILIES[name]
    tokenizer = _tokenizer(name)
    torch.manual_seed(seed)
    rows = len(tokenizer) + _SPARE_ROWS * family.padded
    ids = {key: tokenizer.convert_tokens_to_ids(token) for key, token in _roles(family).items()}
    config = getattr(transformers, family.config)(
        **{**_SIZES, **family.more, "vocab_size": rows, **ids, "dtype": "float32"}
    )
    model = _multimodal(config) if family.nested else transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    named = {} if name == _NAMELESS else {"eos_token": family.eos, **({"bos_token": family.bos} if family.bos else {})}
    tokenizer.save_pretrained(folder)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    _write(folder / "tokenizer_config.json", {**settings, **named, **family.named})
    _write(folder / "generation_config.json", {**family.generation, **ids})
    return folder


def _roles(family: Family) -> dict[str, str]:
    named = {"eos_token_id": family.eos, "bos_token_id": family.bos, "pad_token_id": family.named.get("pad_token")}
    return {key: token for key, token in named.items() if token is not None}


def _multimodal(text: Any) -> Any:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, SiglipVisionConfig

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    vision = SiglipVisionConfig(**sizes, image_size=28, patch_size=14)
    tokens = {"image_token_index": 5, "boi_token_index": 5, "eoi_token_index": 5, "mm_tokens_per_image": 4}
    return Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=vision, **tokens))


@cache
def _tokenizer(name: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    family = FAMILIES[name]
    tokenizer = Tokenizer(models.BPE(byte_fallback=family.spaces))
    alphabet: list[str] = []
    if family.spaces:
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [*family.special, *(_BYTES if family.spaces else [])]
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + 350, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    talks = ["\n".join(message["content"] for message in conversation(number)) for number in range(40)]
    read = [*(text for _, text in texts(200, 3)), *talks]
    tokenizer.train_from_iterator(read, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in family.special]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    if family.adds_bos:
        assert family.bos is not None
        begin = (family.bos, tokenizer.token_to_id(family.bos))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos}:0 $A:0", pair=f"{family.bos}:0 $A:0 $B:1", special_tokens=[begin]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
