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
from trainers.contract.foreign import foreign
from trainers.contract.names import shown
from trainers.training.templates import template_hash

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

_KEPT_OF_CONFIG = ("bos_token_id", "eos_token_id", "pad_token_id", "use_cache")
"""What a trainer sets to its own needs while it trains."""
_MARK = re.compile(r"<\|\w+\|>|\[\|\w+\|\]|<(?:bos|start_of_turn|end_of_turn)>")
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
        return _settings(path)

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
    def vocabulary(self) -> dict[str, int]:
        """Token -> id, as `tokenizer.json` writes them; added tokens too."""
        with foreign(self.path / "tokenizer.json"):
            content = _settings(self.path / "tokenizer.json")
            tokens = content["model"]["vocab"]
            if isinstance(tokens, list):  # Unigram: pairs of a token and its score, in the order of their ids
                tokens = {token: number for number, (token, _) in enumerate(tokens)}
            added: dict[str, int] = {token["content"]: token["id"] for token in content["added_tokens"]}
            return {name: int(number) for name, number in {**tokens, **added}.items()}

    @cached_property
    def template(self) -> str | None:
        """The chat template's text, if there is one."""
        path = self.path / "chat_template.jinja"
        return path.read_text(encoding="utf-8") if path.is_file() else None

    @property
    def template_hash(self) -> str | None:
        """Hex sha256 of the chat template, if there is one."""
        return template_hash(self.template) if self.template else None

    def check(self, chat: bool = False) -> "ModelFolder":
        """Look for what would fail later, before a weight is loaded; returns itself.

        Raises:
            BadData: a file or shard is missing or cut short, or the tokenizer has more tokens than the model.
            BadRequest: it is an adapter, or a chat is asked of a model without template.
        """
        self._refuse_adapter()
        self._check_weights()
        self._check_tokenizer()
        if chat:
            if not self.template:
                raise BadRequest(f"{self.path} has no chat template; name one with base_model's key 'template'")
            self._check_marks_are_tokens()
        return self

    def refuse_code(self) -> "ModelFolder":
        """See to it that the model needs no code of its own, which is never run; returns itself.

        Raises:
            BadData: it names some (`auto_map`), or an architecture that transformers does not have.
        """
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        for path in (self.path / "config.json", self.path / "tokenizer_config.json"):
            if path.is_file() and "auto_map" in _settings(path):
                raise BadData(
                    f"{path} names code of the model's own (auto_map), which is never run; take a base without"
                )
        with foreign(self.path / "config.json"):
            (architecture,) = self.config["architectures"]
        if architecture not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values():
            raise BadData(f"{self.path}: transformers has no causal language model called {shown(architecture)!r}")
        return self

    def _refuse_adapter(self) -> None:
        if (self.path / _ADAPTER).is_file():
            raise BadRequest(
                f"{self.path} is an adapter of {adapted_base(self.path)}, not a whole model; merge it into its base "
                "first (base_model's key 'adapter')"
            )

    def _check_weights(self) -> None:
        shards = [name for name in weight_files(self.path) if name != _INDEX]
        missing = [shard for shard in shards if not (self.path / shard).is_file()]
        if missing:
            raise BadData(f"{self.path} lacks {', '.join(missing)}; fetch the model again")
        short = [shard for shard in shards if not _is_whole(self.path / shard)]
        if short:
            raise BadData(f"{self.path}: {', '.join(short)} is cut short or damaged; fetch the model again")

    def _check_marks_are_tokens(self) -> None:
        with foreign(self.path / "tokenizer.json"):
            special_tokens = {token["content"] for token in _settings(self.path / "tokenizer.json")["added_tokens"]}
        missing = sorted(set(_MARK.findall(self.template or "")) - special_tokens)
        if missing:
            raise BadRequest(
                f"the chat template of {self.path} writes {', '.join(missing)}, which its tokenizer does not know as "
                "special tokens; name the template of the model's own family with base_model's key 'template'"
            )

    def _check_tokenizer(self) -> None:
        if not (self.path / "tokenizer.json").is_file():
            raise BadData(f"{self.path} has no tokenizer.json; a fast tokenizer is needed")
        largest = max(self.vocabulary.values())
        rows = self.config.get("vocab_size")  # left out where it is the family's usual one
        with foreign(self.path / "config.json"):
            if rows is not None and largest >= rows:
                raise BadData(
                    f"the tokenizer in {self.path} does not match its model: token id {largest}, but the model's "
                    f"vocab_size is {rows}"
                )


def weight_files(folder: Path) -> list[str]:
    """The names of a model's safetensors, its index among them where it has one. Others may lie beside them."""
    index = folder / _INDEX
    if not index.is_file():
        return [_WEIGHTS]
    with foreign(index):
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return [_INDEX, *sorted(shards)]


def require_adapter_of(folder: Path, base: str) -> None:
    """Refuse an adapter that was trained on another base than the one with this content digest.

    Raises:
        BadRequest: naming both.
    """
    if (trained_on := adapted_base(folder)) != base:
        raise BadRequest(
            f"the adapter in {folder} was trained on base {trained_on}, not on {base}: together they are no model"
        )


def adapted_base(folder: Path) -> str:
    """What an adapter says that it was trained on: a digest, a repository or a folder."""
    settings = json.loads((folder / _ADAPTER).read_text(encoding="utf-8"))
    return str(settings.get("base_model_name_or_path"))


def _is_whole(shard: Path) -> bool:
    """True where a safetensors file is as long as its header says: 8 bytes of header length, header, tensors."""
    with shard.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length < shard.stat().st_size else b""
    try:
        tensors = json.loads(header)
        ends = [int(tensor["data_offsets"][1]) for name, tensor in tensors.items() if name != "__metadata__"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return False
    return shard.stat().st_size == 8 + length + max(ends, default=0)


def copy_side_files(source: Path, target: Path) -> None:
    """Copy tokenizer, template and generation settings, so that their hashes stay what they were."""
    target.mkdir(parents=True, exist_ok=True)
    for name in SIDE_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def publish_weights(model: Any, source: Path, target: Path) -> None:
    """Save a model's weights and config into `target`, beside the unchanged side files of `source`.

    The numbers are as wide as the source's, however wide they were in training, and the config names the tokens that
    the source's did.
    """
    from transformers import AutoConfig

    model.to(AutoConfig.from_pretrained(source, local_files_only=True).dtype or model.dtype)
    model.save_pretrained(target, safe_serialization=True)
    copy_side_files(source, target)
    path = target / "config.json"
    config, settled = (json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (target, source))
    kept = {name: settled[name] for name in _KEPT_OF_CONFIG if name in settled}
    own = {name: value for name, value in config.items() if name not in _KEPT_OF_CONFIG}
    path.write_text(json.dumps({**own, **kept}, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _settings(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model.

    Raises:
        BadData: it holds none.
    """
    with foreign(path):
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise TypeError(f"a JSON {type(settings).__name__}, no object")
        return settings
