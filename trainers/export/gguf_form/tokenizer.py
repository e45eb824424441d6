"""A fast tokenizer as GGUF keeps it: its tokens and merges, its way of splitting text by name, and its marks."""

import json
import re
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from trainers.contract import BadRequest
from trainers.training.templates import without_generation_marks

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_QWEN2 = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
_LLAMA3 = r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"


def write_tokenizer(writer: GGUFWriter, folder: Path, config: dict[str, Any]) -> None:
    """All that turns text into token ids and back, the chat template, and the tokens that end a reply.

    Raises:
        BadRequest: it is a kind of tokenizer that llama.cpp does not know.
    """
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model, added = content["model"], content["added_tokens"]
    if model["type"] != "BPE":
        raise BadRequest(f"recipe key export.gguf: a tokenizer of type {model['type']} is not written as GGUF here")
    of_bytes = any(step["type"] == "ByteLevel" for step in _flat(content["pre_tokenizer"]))
    tokens = [f"[PAD{number}]" for number in range(config["vocab_size"])]
    kinds = [TokenType.UNUSED] * len(tokens)
    for token, number in model["vocab"].items():
        tokens[number] = token
        kinds[number] = TokenType.NORMAL if of_bytes or not _BYTE.fullmatch(token) else TokenType.BYTE
    for token in added:
        tokens[token["id"]] = token["content"]
        kinds[token["id"]] = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    if of_bytes:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(splitting_of(content))
        writer.add_token_merges(merges)
    else:
        _write_sentencepiece(writer, content, tokens, merges)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    eos = config["eos_token_id"]
    _write_marks(writer, folder, content, tokens, eos[0] if isinstance(eos, list) else eos)


def splitting_of(content: dict[str, Any]) -> str:
    """llama.cpp's name for how a byte-level tokenizer splits text before it merges.

    Raises:
        BadRequest: it has none that is known here.
    """
    steps = _flat(content["pre_tokenizer"])
    patterns = [step["pattern"].get("Regex", "") for step in steps if step["type"] == "Split"]
    digits = any(step["type"] == "Digits" and step["individual_digits"] for step in steps)
    own = any(step["type"] == "ByteLevel" and step.get("use_regex", True) for step in steps)
    if any(_LLAMA3 in pattern for pattern in patterns):
        return "llama-bpe"
    if any(_QWEN2 in pattern for pattern in patterns):
        return "qwen2"
    if not patterns and own:
        return "smollm" if digits else "gpt-2"
    raise BadRequest(f"recipe key export.gguf: llama.cpp has no name for how this tokenizer splits text: {patterns}")


def _flat(step: dict[str, Any] | None) -> list[dict[str, Any]]:
    if step is None:
        return []
    return [inner for each in step["pretokenizers"] for inner in _flat(each)] if "pretokenizers" in step else [step]


def _write_sentencepiece(writer: GGUFWriter, content: dict[str, Any], tokens: list[str], merges: list[str]) -> None:
    """Of Llama 2's and Gemma's kind, which never split a text before they merge: llama.cpp merges the pair whose token
    has the best score, so earlier merges score higher, as in the SentencePiece model that these were made from."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge.replace(" ", "", 1), rank)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_scores([-float(ranks.get(token, len(merges))) for token in tokens])
    writer.add_add_space_prefix('"Prepend"' in json.dumps(content.get("normalizer")))


def _write_marks(
    writer: GGUFWriter, folder: Path, content: dict[str, Any], tokens: list[str], end_of_text: int
) -> None:
    ids = {token: number for number, token in enumerate(tokens)}
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    begin = _text(settings.get("bos_token"))
    if begin in ids:
        writer.add_bos_token_id(ids[begin])
    writer.add_add_bos_token(bool(begin) and f'"{begin}"' in json.dumps(content.get("post_processor")))
    pad = _text(settings.get("pad_token"))
    if pad in ids:
        writer.add_pad_token_id(ids[pad])
    writer.add_eos_token_id(end_of_text)
    if ends_of_turn := [number for number in stop_ids(folder) if number != end_of_text]:
        writer.add_eot_token_id(ends_of_turn[0])
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    writer.add_chat_template(without_generation_marks(template))


def stop_ids(folder: Path) -> list[int]:
    """The tokens that end a reply, of the generation config."""
    ends = json.loads((folder / "generation_config.json").read_text(encoding="utf-8")).get("eos_token_id")
    return [ends] if isinstance(ends, int) else list(ends or [])


def _text(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token or "")
