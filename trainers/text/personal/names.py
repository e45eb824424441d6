"""Names of people, found by a model in a local folder: no rule tells 하늘 the name from 하늘 the sky.

The folder is a bundle for koredact (Apache-2.0; its own weights, infobank-corp/koredact-bert-base-onnx, are CC BY-SA
4.0): `config.json`, `tokenizer.json`, `tokenizer_config.json`, `onnx/model.onnx`. Nothing is fetched.
"""

from functools import cache
from pathlib import Path
from typing import Any

from trainers.contract import BadRequest
from trainers.text.characters import Changed, Texts

KIND = "NAME"
_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model.onnx")


@cache
def name_model(folder: str) -> Any:
    """The model, loaded once a process.

    Raises:
        BadRequest: koredact is not installed, or the folder lacks a file of the bundle; says which.
    """
    missing = [name for name in _FILES if not (Path(folder) / name).is_file()]
    if missing:
        raise BadRequest(
            f"name_model: {folder} lacks {', '.join(missing)} where this stage runs; name a koredact bundle"
        )
    try:
        import koredact
    except ImportError as error:
        raise BadRequest("name_model needs koredact: pip install 'korean-llm-platform[name-model]'") from error
    return koredact.Masker(folder)


def mask_names(texts: Texts, folder: str) -> tuple[Texts, Changed]:
    """The texts with `[NAME]` in the place of each name that the model in `folder` finds, and each one's document."""
    pieces, names = [], []
    of_each = name_model(folder).predict_many(texts.strings, types=[KIND])
    for document, (begin, spans) in enumerate(zip(texts.starts[:-1].tolist(), of_each, strict=True)):
        for span in sorted(spans, key=lambda span: span.start):
            pieces.append((begin + span.start, begin + span.end, f"[{KIND}]"))
            names.append((document, KIND))
    return texts.replace(pieces), names
