"""Written GGUF files against the model that they are of: perplexity of each form, and llama.cpp's greedy replies."""

import json
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainers.contract import BadData
from trainers.contract.replies import GreedyReply
from trainers.export.gguf_form.file import GgufSource
from trainers.training.base_model.stage import sample_texts

MOST_OVER_F16 = {"q8_0": 0.01, "q4_k_m": 0.05}
"""Share that a form's perplexity may lie above that of f16."""
_TEXTS, _TOKENS = 16, 256
_CONTEXT = 1024


def calibration_texts() -> list[str]:
    """Texts of the packaged sample, in both languages, other than those that perplexity is measured on."""
    return _spread(1)


def _spread(first: int) -> list[str]:
    texts = sample_texts()
    return texts[first :: len(texts) // _TEXTS][:_TEXTS]


@torch.inference_mode()
def perplexities(source: GgufSource, files: dict[str, Path]) -> dict[str, float]:
    """Of each form's weights, as they were written, on texts of the packaged sample."""
    tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
    rows = [tokenizer(text, return_tensors="pt")["input_ids"][:, :_TOKENS] for text in _spread(0)]
    model = AutoModelForCausalLM.from_pretrained(source.folder, local_files_only=True, dtype="auto").eval()
    parameters = dict(model.named_parameters())
    measured = {}
    for form, path in files.items():
        for name, weight in source.weights(path, list(parameters)):
            parameters[name].copy_(torch.from_numpy(weight.copy()).reshape(parameters[name].shape))
        losses = [model(input_ids=row, labels=row).loss.item() * (row.shape[1] - 1) for row in rows]
        measured[form] = math.exp(sum(losses) / sum(row.shape[1] - 1 for row in rows))
    return measured


def require_close(perplexity: Mapping[str, float]) -> None:
    """Refuse a form (of those that were measured, f16 among them) that costs more than it may.

    Raises:
        BadData: naming it, and what it costs.
    """
    for form, most in MOST_OVER_F16.items():
        if form in perplexity and (over := perplexity[form] / perplexity["f16"] - 1) > most:
            raise BadData(
                f"GGUF {form} has a perplexity of {perplexity[form]:.3f}, {over:.1%} above f16's; at most {most:.0%} "
                "is taken. Leave this form out of recipe key export.gguf"
            )


def llama_cpp_is_here() -> bool:
    """Whether llama.cpp can be asked."""
    return find_spec("xllamacpp") is not None


def replies_of(path: Path, conversations: Sequence[list[dict[str, str]]], limit: int) -> list[tuple[str, bool]]:
    """What llama.cpp says to each conversation at temperature 0, by the file's own template, and whether it ended."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.n_parallel = str(path), _CONTEXT, 1
    settings.warmup, settings.verbosity = False, 0
    settings.cpuparams.n_threads = torch.get_num_threads()
    server = xllamacpp.Server(settings)
    replies = []
    for messages in conversations:
        body = {"messages": messages, "max_tokens": limit, "temperature": 0}
        answer: Any = server.handle_chat_completions(body)
        choice = (answer if isinstance(answer, dict) else json.loads(answer))["choices"][0]
        replies.append((str(choice["message"]["content"]), choice["finish_reason"] == "stop"))
    return replies


def require_same_replies(path: Path, heard: Sequence[GreedyReply]) -> None:
    """Hold llama.cpp to what evaluation heard.

    Raises:
        BadData: it says something else.
    """
    for reply in heard:
        ((text, ended),) = replies_of(path, [reply.messages], reply.limit)
        if error := reply.contradiction(text, ended):
            raise BadData(f"llama.cpp does not serve {path.name} as it was trained: {reply.question!r}: {error}")
