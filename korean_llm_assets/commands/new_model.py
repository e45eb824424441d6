"""Command `new-model`: the recipe of a model that is in a folder or on a hub, written from what its config says."""

import json
import os
import re
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from korean_llm_assets.home import Home
from korean_llm_assets.http import get_json
from trainers.contract import BadRequest, DoesNotFit, settings
from trainers.contract.memory import Setting
from trainers.contract.model_shape import Shape
from trainers.contract.planner import GPUS, proposal, training_sections
from trainers.contract.recipe.loading import PACKAGED, load_model_recipe
from trainers.contract.recipe.training import OWN_TEMPLATE, TEMPLATES

_PATTERN = "qwen2.5-7b"
"""The packaged recipe whose stages and rates the new one takes over."""
_TEMPLATES = {"gemma3": "gemma", "gemma3_text": "gemma", "qwen2": "qwen2.5", "phi3": "phi"}
"""Where the family's template is not called as its model type is."""
_TAUGHT = re.compile(r"(?i)(^|[-_])(instruct|it|chat)($|[-_])")
"""In the names of models that chat already."""
_TEMPLATE_FILE = "chat_template.jinja"
_LLAMA3_TOKENS = 128_256
_LARGE = 2e9
"""Weights from which a model's CPT is shared out over four GPUs, as the pattern's is."""
_LONGEST = 4096
_CPUS = "none"
"""In the place of a GPU: this machine has none."""


def add_parser(commands: Any) -> None:
    """Say what the command takes."""
    parser = commands.add_parser("new-model", help="write the recipe of a model in a folder or on a hub")
    parser.add_argument("source", nargs="?", help="a model folder, or a repository such as Qwen/Qwen3-8B-Base")
    parser.add_argument("--name", help="of the recipe; else the folder's or the repository's own")
    parser.add_argument(
        "--gpu",
        default="h100",
        choices=[*sorted(GPUS), _CPUS],
        help="for the planner (%(default)s); none: this machine's CPUs and memory",
    )
    parser.add_argument("--into", type=Path, help=f"folder of your recipes; else {settings.RECIPES.name}")
    parser.set_defaults(run=run)


def run(options: Namespace, home: Home) -> int:
    """Write the page, and say what to look at."""
    source = options.source or _ask()
    into = options.into or settings.RECIPES.get()
    if into is None:
        raise BadRequest(f"say with --into, or with {settings.RECIPES.name}, in which folder your recipes are")
    folder = Path(source)
    base, config = _of_folder(folder.absolute()) if folder.is_dir() else _of_repository(source)
    name = options.name or re.sub(r"[^a-z0-9.-]+", "-", source.rstrip("/").rpartition("/")[2].lower())
    path = Path(into) / f"{name}.yaml"
    if path.exists():
        raise BadRequest(f"{path} is there already; give another --name, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_page(name, source, base, config, options.gpu), encoding="utf-8")
    load_model_recipe(path)
    plan = f"python -m trainers plan --recipe {name} --gpu {options.gpu}"
    advice = f"python -m trainers try --recipe {name} --release R" if options.gpu == _CPUS else plan
    print(f"wrote {path}\nlook at template, licence and gate, then: {advice}")
    return 0


def _ask() -> str:
    if not sys.stdin.isatty():
        raise BadRequest("name a model folder, or a repository such as Qwen/Qwen3-8B-Base")
    return input("Model folder, or repository (such as Qwen/Qwen3-8B-Base): ").strip()


def _of_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        beside = folder / "tokenizer_config.json"
        tokens = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    except (OSError, ValueError) as error:
        raise BadRequest(f"{folder} is no model folder: its config.json cannot be read: {error}") from error
    chats = (folder / _TEMPLATE_FILE).is_file() or "chat_template" in tokens
    return {"source": "folder", "folder": str(folder), "template": _template(folder.name, config, chats)}, config


def _of_repository(repo: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """By its newest commit, which the page then names.

    https://huggingface.co/docs/hub/api: a model's page names its files, and its tokenizer's template.
    """
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise BadRequest(f"{repo!r} is neither a folder nor a repository (owner/name)")
    page = get_json("the hub", f"{hub}/api/models/{repo}")
    revision = page["sha"]
    config = get_json("the hub", f"{hub}/{repo}/resolve/{revision}/config.json")
    tokens = (page.get("config") or {}).get("tokenizer_config") or {}
    chats = "chat_template" in tokens or {"rfilename": _TEMPLATE_FILE} in page.get("siblings", ())
    return {"source": "hub", "repo": repo, "revision": revision, "template": _template(repo, config, chats)}, config


def _page(name: str, source: str, base: dict[str, Any], config: dict[str, Any], gpu: str) -> str:
    text = config | (config.get("text_config") or {})  # of a multi-modal model, its language model
    try:
        shape = Shape.of_config(text)
    except KeyError as error:
        raise BadRequest(f"the config of {source} does not name {error}; write the page by hand") from error
    page = yaml.safe_load((PACKAGED / f"{_PATTERN}.yaml").read_text(encoding="utf-8"))
    sizes = {key: value for key, value in asdict(shape).items() if value is not None}
    needs = page["base_model"]["needs"]
    page |= {"model": name, "description": f"{source}, continued on Korean, taught and aligned.", "automation": "ask"}
    page["base_model"] = {**base, "shape": sizes, "needs": needs}
    memory = _memory_of_this_machine() if gpu == _CPUS else GPUS[gpu].memory
    longest = min(_LONGEST, int(text.get("max_position_embeddings", _LONGEST)))
    page["evaluate"]["max_length"] = longest
    recipe = load_model_recipe(PACKAGED / f"{_PATTERN}.yaml")
    lines = []
    for stage, section in training_sections(recipe).items():
        gpus = 1 if shape.weights < _LARGE or gpu == _CPUS else section.needs.gpus
        setting = replace(Setting.of(section, gpus), max_length=min(section.max_length, longest), float32=gpu == _CPUS)
        fitting = proposal(shape, setting, memory)
        if fitting is None:
            raise DoesNotFit(f"{source}: {shape.weights / 1e9:.1f} billion weights fit on no number of {gpu} here")
        if gpu == _CPUS and (fitting[0].gpus > 1 or fitting[0].method == "qlora"):
            raise DoesNotFit(
                f"{source}: {shape.weights / 1e9:.1f} billion weights do not train in this machine's "
                f"{memory / 1e9:.0f} GB; name a --gpu ({', '.join(sorted(GPUS))})"
            )
        page[stage] |= _settings(page[stage], fitting[0])
        lines.append(f"#   {stage}: {fitting[0]}: {fitting[1].arithmetic}")
    where = f"{memory / 1e9:.0f} GB and no GPU" if gpu == _CPUS else gpu
    if gpu == _CPUS:
        for part in page.values():
            if isinstance(part, dict):
                part.pop("needs", None)
    head = "\n".join(
        [f"# Written by `new-model` from the config of {source}. What the planner says for {where}:", *lines]
    )
    return f"{head}\n{yaml.safe_dump(page, sort_keys=False, allow_unicode=True, width=120)}"


def _memory_of_this_machine() -> float:
    """In bytes."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _settings(section: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """What the planner chose, as keys of a stage's section."""
    if setting.method == "full":
        section.pop("lora", None)
    if setting.method == "qlora":
        section.pop("embedding_learning_rate", None)
    if setting.gpus == 1:
        section.pop("shard_weights", None)
    return {
        "method": setting.method,
        **({"lora": {"rank": setting.rank, "alpha": 2 * setting.rank}} if setting.rank else {}),
        "batch_size": setting.batch_size,
        "accumulation": setting.accumulation,
        "max_length": setting.max_length,
        "needs": {**section["needs"], "gpus": setting.gpus},
    }


def _template(name: str, config: dict[str, Any], chats: bool) -> str:
    """Its own where the model was taught to chat by it, else the packaged one of its family, as far as it can be told.

    Args:
        name: of the folder or the repository.
        chats: it comes with a template. Bases of some families do, too.
    """
    if chats and _TAUGHT.search(name):
        return OWN_TEMPLATE
    kind = str(config.get("model_type"))
    if kind == "llama" and config.get("vocab_size") == _LLAMA3_TOKENS:
        return "llama3"
    family = _TEMPLATES.get(kind, kind)
    return family if family in TEMPLATES else OWN_TEMPLATE if chats else "chatml"
