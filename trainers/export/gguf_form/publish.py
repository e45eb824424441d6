"""The GGUF forms of an exported model: written, checked, and described."""

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer

from trainers.contract import GgufForm
from trainers.contract.replies import GreedyReply
from trainers.export.gguf_form.check import (
    calibration_texts,
    llama_cpp_is_here,
    perplexities,
    require_close,
    require_same_replies,
)
from trainers.export.gguf_form.file import GgufSource
from trainers.export.gguf_form.importance import importances
from trainers.export.gguf_form.modelfile import TurnMarks, modelfile
from trainers.export.gguf_form.numbers import FILE_TYPES
from trainers.export.gguf_form.tokenizer import stop_ids
from trainers.runner.reporting import Reporter

_MODELFILE = "Modelfile"
_OF_FEW_BITS = "q4_k_m"


def publish(
    model: Path,
    folder: Path,
    name: str,
    forms: Sequence[str],
    heard: Sequence[GreedyReply],
    system: str,
    reporter: Reporter,
) -> dict[str, GgufForm]:
    """Write the forms (f16 among them) and a Modelfile into `folder`; returns what they are, by form.

    Raises:
        BadRequest: llama.cpp does not know such a model or tokenizer.
        BadData: a form is not what evaluation heard, or costs too much.
    """
    source = GgufSource(model)
    folder.mkdir(parents=True, exist_ok=True)
    files = {form: folder / f"{name}-{form}.gguf" for form in FILE_TYPES if form in forms}
    importance = importances(model, calibration_texts()) if _OF_FEW_BITS in files else None
    for number, (form, path) in enumerate(files.items(), start=1):
        source.write(form, path, name, importance)
        reporter.progress(number, len(files), f"GGUF {form}: {path.stat().st_size / 1e6:,.1f} MB")
    measured = perplexities(source, files)
    require_close(measured)
    if llama_cpp_is_here():
        require_same_replies(files["f16"], heard)
        reporter.say(f"llama.cpp says to {len(heard)} questions what evaluation heard")
    else:
        reporter.warn("llama.cpp is not installed (extra 'llama-cpp'), so it was not asked whether it reads the files")
    _write_modelfile(model, folder, list(files.values())[-1].name, system, reporter)
    return {
        form: GgufForm(
            bytes=path.stat().st_size,
            perplexity=round(measured[form], 4),
            replies_compared=len(heard) if form == "f16" and llama_cpp_is_here() else 0,
        )
        for form, path in files.items()
    }


def _write_modelfile(model: Path, folder: Path, file: str, system: str, reporter: Reporter) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    begin = tokenizer.bos_token or ""
    adds_begin = bool(begin) and tokenizer("").input_ids[:1] == [tokenizer.bos_token_id]
    stops = [tokenizer.convert_ids_to_tokens(number) for number in stop_ids(model)]
    if (marks := TurnMarks.of(tokenizer)) is None:
        reporter.warn("the chat template is no plain sequence of turns: the Modelfile leaves the template to Ollama")
    text = modelfile(file, marks, begin if adds_begin else "", stops, config["max_position_embeddings"], system)
    (folder / _MODELFILE).write_text(text, encoding="utf-8")
