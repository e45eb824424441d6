"""Where a base model comes from, a folder, a GGUF file or a hub, and what is refused before a weight is read."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from trainers.contract import BadData, BadRequest, ServiceMissing
from trainers.contract.recipe import BaseSection
from trainers.training.base_model.whole_model import Origin, remake, text_config_of
from trainers.training.model_folder import ModelFolder, adapted_base, weight_files

_SIDE_FILES = ("*.json", "*.jinja", "merges.txt", "tokenizer.model")
_SAFE, _PICKLED = "*.safetensors", "pytorch_model*.bin"


def bring(section: BaseSection, folder: Path, say: Callable[[str], None]) -> None:
    """Bring the model that the section names into `folder`: one text model, whole, in safetensors.

    Safetensors of a text model are copied as they are. All else is loaded and saved anew: GGUF (dequantised), PyTorch's
    pickles (read without running code), the text part of a multi-modal model, and an adapter, merged.

    Raises:
        BadData: the weights are missing, cut short or no model's.
        BadRequest: it is no text model that transformers knows, or an adapter of another base.
        ServiceMissing: the hub does not answer.
    """
    place = _snapshot(str(section.repo), str(section.revision)) if section.repo else Path(str(section.folder))
    origin = Origin.at(place)
    adapter = Path(section.adapter) if section.adapter else None
    if adapter is not None:
        _require_base(adapter, str(section.repo or section.folder))
    if origin.gguf is None:
        _require_model(place)
        text_config_of(place)
    folder.mkdir(parents=True, exist_ok=True)
    if adapter is not None or not origin.is_plain:
        say(f"the model is made anew from {origin.description}{', and the adapter merged' if adapter else ''}")
        remake(origin, adapter, folder)
    else:
        ModelFolder(place).check()
        for name in weight_files(place):
            shutil.copyfile(place / name, folder / name)
    if origin.gguf is None:
        _copy_side_files(place, folder, weights_are_new=adapter is not None or not origin.is_plain)


def _copy_side_files(place: Path, folder: Path, weights_are_new: bool) -> None:
    for pattern in _SIDE_FILES:
        for path in sorted(place.glob(pattern)):
            describes_weights = path.name == "config.json" or path.name.endswith(".index.json")
            if not (weights_are_new and describes_weights):
                shutil.copyfile(path, folder / path.name)


def _require_model(place: Path) -> None:
    if not (place / "config.json").is_file():
        if (place / "adapter_config.json").is_file():
            raise BadRequest(
                f"{place} is an adapter of {adapted_base(place)}, not a whole model; name that model with base_model's "
                "key 'folder' or 'repo', and this folder with the key 'adapter'"
            )
        raise BadData(f"base_model's key 'folder' names {place}, which is no model folder: it has no config.json")


def _require_base(adapter: Path, base: str) -> None:
    """An adapter on another model than its own is gibberish without any error: names are all there is to compare."""
    if not (adapter / "adapter_config.json").is_file():
        raise BadData(f"base_model's key 'adapter' names {adapter}, which has no adapter_config.json")
    named = adapted_base(adapter)
    if Path(named).name.lower() != Path(base).name.lower():
        raise BadRequest(
            f"the adapter in {adapter} was trained on {named}, not on {base}. If they are the same model, say so in "
            "its adapter_config.json (base_model_name_or_path)"
        )


def _snapshot(repo: str, revision: str) -> Path:
    """The folder of a repository's commit in the hub client's cache, which alone suffices where it is whole."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    fetch = partial(snapshot_download, repo, revision=revision)
    try:
        place = Path(fetch(local_files_only=True))
        if _has_weights(place):  # a commit never changes, so nobody need be asked
            return place
    except LocalEntryNotFoundError:
        pass  # to be fetched
    try:
        place = Path(fetch(allow_patterns=[*_SIDE_FILES, _SAFE]))
        if not any(place.glob(_SAFE)):
            place = Path(fetch(allow_patterns=[*_SIDE_FILES, _PICKLED]))
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:  # or one that this token may not see
        raise BadRequest(
            f"the hub has no {repo} at {revision}, or does not show it to this token (HF_TOKEN; some models ask for "
            f"consent on their page first): {_first_line(error)}"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.HTTPError, ConnectionError) as error:
        raise ServiceMissing(
            f"the hub does not give {repo} at {revision}, and it is not whole in the cache: {_first_line(error)}"
        ) from error
    return place


def _has_weights(place: Path) -> bool:
    """True where a folder of the cache lacks no file of the weights."""
    pickled = place / "pytorch_model.bin.index.json"
    if any(place.glob(_PICKLED)) and not any(place.glob(_SAFE)):
        shards = json.loads(pickled.read_text(encoding="utf-8"))["weight_map"].values() if pickled.is_file() else ()
        return all((place / shard).is_file() for shard in shards)
    return (place / "config.json").is_file() and all((place / name).is_file() for name in weight_files(place))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
