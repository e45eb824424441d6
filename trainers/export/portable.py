"""What transformers 4 asks of a model folder that transformers 5 wrote, said beside what transformers 5 says."""

import json
from pathlib import Path
from typing import Any

_NEW_CLASS, _OLD_CLASS = "TokenizersBackend", "PreTrainedTokenizerFast"
_APART = ("rope_theta", "partial_rotary_factor")
"""What of the rotary embedding's parameters is no part of its scaling."""
_NEOX = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
"""How GPT-NeoX calls them."""


def make_portable(folder: Path) -> None:
    """Name the tokenizer's class and the rotary embedding's base in transformers 4's way, too.

    It would refuse the class, and take 10,000 for the base without a word, so that a good model talks nonsense.
    https://github.com/huggingface/transformers/blob/main/MIGRATION_GUIDE_V5.md
    """
    config = _read(folder / "config.json")
    old = _rope_of_old(config.get("rope_parameters") or {})
    names = _NEOX if config["model_type"] == "gpt_neox" else {}
    _write(folder / "config.json", config | {names.get(key, key): value for key, value in old.items()})
    tokenizer = _read(folder / "tokenizer_config.json")
    if tokenizer.get("tokenizer_class") == _NEW_CLASS:
        _write(folder / "tokenizer_config.json", tokenizer | {"tokenizer_class": _OLD_CLASS})


def _rope_of_old(rope: dict[str, Any]) -> dict[str, Any]:
    """Gemma 3 has one for each kind of layer."""
    if "full_attention" in rope:
        local = rope.get("sliding_attention", {}).get("rope_theta")
        return _rope_of_old(rope["full_attention"]) | ({} if local is None else {"rope_local_base_freq": local})
    scaling = {key: value for key, value in rope.items() if key not in _APART}
    scaled = scaling.get("rope_type", "default") != "default"
    return {key: rope[key] for key in _APART if key in rope} | ({"rope_scaling": scaling} if scaled else {})


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
