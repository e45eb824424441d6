"""A model on disk (Hugging Face layout): looked into before any weight is loaded, and published with its hashes."""

import json
import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from trainers.contract import BadData, BadRequest
from trainers.contract.digests import file_sha256
from trainers.training.templates import require_generation_marks, template_hash

SIDE_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "added_tokens.json",
    "generation_config.json",
)
"""What travels with the weights from stage to stage, byte for byte."""

_MARK = re.compile(r"<\|\w+\|>|<(?:bos|start_of_turn|end_of_turn)>")
_WEIGHTS = "model.safetensors"
_ADAPTER = "adapter_config.json"
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class ModelFolder:
    """A complete model folder. Reading its properties loads no weights."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's `config.json`."""
        path = self.path / "config.json"
        if not path.is_file():
            raise BadData(f"{self.path} is no model folder: config.json is missing")
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return config

    @cached_property
    def parameters(self) -> int:
        """Number of weights, counted from the headers of the safetensors files."""
        from safetensors import safe_open

        total = 0
        for path in sorted(self.path.glob("*.safetensors")):
            with safe_open(path, "pt") as shard:
                total += sum(prod(shard.get_slice(name).get_shape()) for name in shard.keys())  # noqa: SIM118 - no mapping
        return total

    @cached_property
    def tokenizer_hash(self) -> str:
        """Hex sha256 of `tokenizer.json`."""
        return file_sha256(self.path / "tokenizer.json")

    @cached_property
    def template(self) -> str | None:
        """The chat template's text, if there is one."""
        path = self.path / "chat_template.jinja"
        return path.read_text(encoding="utf-8") if path.is_file() else None

    @property
    def template_hash(self) -> str | None:
        """Hex sha256 of the chat template, if there is one."""
        return template_hash(self.template) if self.template else None

    @property
    def max_length(self) -> int:
        """Positions that the model was made for."""
        return int(self.config["max_position_embeddings"])

    def check(self, max_length: int = 0, chat: bool = False) -> "ModelFolder":
        """Look for what would fail later, before a weight is loaded; returns itself.

        Raises:
            BadData: a file or shard is missing or cut short, or the tokenizer has more tokens than the model.
            BadRequest: it is an adapter, `max_length` is above the model's, or a chat is asked of a template without
                marks.
        """
        self._refuse_adapter()
        self._check_weights()
        self._check_tokenizer()
        if max_length > self.max_length:
            raise BadRequest(
                f"max_length {max_length} is above the {self.max_length} positions of the model in {self.path}; "
                "lower the recipe's key 'max_length'"
            )
        if chat:
            require_generation_marks(self.template, str(self.path))
            self._check_marks_are_tokens()
        return self

    def _refuse_adapter(self) -> None:
        if (self.path / _ADAPTER).is_file():
            raise BadRequest(
                f"{self.path} is an adapter of {_base_of(self.path)}, not a whole model; merge it into its base first"
            )

    def _check_weights(self) -> None:
        index = self.path / _INDEX
        if index.is_file():
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        else:
            shards = [_WEIGHTS]
        missing = [shard for shard in shards if not (self.path / shard).is_file()]
        if missing:
            raise BadData(f"{self.path} lacks {', '.join(missing)}; fetch the model again")
        short = [shard for shard in shards if not _is_whole(self.path / shard)]
        if short:
            raise BadData(f"{self.path}: {', '.join(short)} is cut short or damaged; fetch the model again")

    def _check_marks_are_tokens(self) -> None:
        content = json.loads((self.path / "tokenizer.json").read_text(encoding="utf-8"))
        special_tokens = {token["content"] for token in content["added_tokens"]}
        missing = sorted(set(_MARK.findall(self.template or "")) - special_tokens)
        if missing:
            raise BadRequest(
                f"the chat template of {self.path} writes {', '.join(missing)}, which its tokenizer does not know as "
                "special tokens; name the template of the model's own family with base_model's key 'template'"
            )

    def _check_tokenizer(self) -> None:
        path = self.path / "tokenizer.json"
        if not path.is_file():
            raise BadData(f"{self.path} has no tokenizer.json; a fast tokenizer is needed")
        content = json.loads(path.read_text(encoding="utf-8"))
        added = [token["id"] for token in content["added_tokens"]]
        vocabulary = content["model"]["vocab"]
        ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else range(len(vocabulary))
        largest = max([*added, *ids])
        if largest >= self.config["vocab_size"]:
            raise BadData(
                f"the tokenizer in {self.path} does not match its model: token id {largest}, but the model's "
                f"vocab_size is {self.config['vocab_size']}"
            )


def require_adapter_of(folder: Path, base: str) -> None:
    """Refuse an adapter that was trained on another base than the one with this content digest.

    Raises:
        BadRequest: naming both.
    """
    if (trained_on := _base_of(folder)) != base:
        raise BadRequest(
            f"the adapter in {folder} was trained on base {trained_on}, not on {base}: together they are no model"
        )


def _base_of(folder: Path) -> str:
    settings = json.loads((folder / _ADAPTER).read_text(encoding="utf-8"))
    return str(settings.get("base_model_name_or_path"))


def _is_whole(shard: Path) -> bool:
    """True where a safetensors file is as long as its header says: 8 bytes of header length, header, tensors."""
    with shard.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length < shard.stat().st_size else b""
    try:
        tensors = json.loads(header)
    except ValueError:
        return False
    ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
    return shard.stat().st_size == 8 + length + max(ends, default=0)


def copy_side_files(source: Path, target: Path) -> None:
    """Copy tokenizer, template and generation settings, so that their hashes stay what they were."""
    target.mkdir(parents=True, exist_ok=True)
    for name in SIDE_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def publish_weights(model: Any, source: Path, target: Path) -> None:
    """Save a model's weights and config into `target`, beside the unchanged side files of `source`."""
    model.save_pretrained(target, safe_serialization=True)
    copy_side_files(source, target)
