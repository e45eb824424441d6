"""A real bundle for koredact, of a few kilobytes: a table from words to labels, as ONNX, written here byte by byte.

Of the format (onnx.proto) only what a graph of one Gather needs is known.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_INT64, _FLOAT = 7, 1
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def write_bundle(folder: Path, names: Sequence[str], others: Sequence[str]) -> Path:
    """A model that takes exactly `names` for names; `others` are words it knows besides."""
    import koredact

    labels = ["O", *(f"{place}-{kind}" for kind in koredact.ENTITY_TYPES for place in "BI")]
    vocabulary = {word: number for number, word in enumerate((*WORDS, *names, *others))}
    rows = [[5.0 if label == "O" else 0.0 for label in labels] for _ in vocabulary]
    for name in names:
        rows[vocabulary[name]] = [9.0 if label == "B-NAME" else 0.0 for label in labels]
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_bytes(_model(rows))
    config = {"id2label": dict(enumerate(labels)), "max_position_embeddings": 512, "model_type": "bert"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    _tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    return folder


def _tokenizer(vocabulary: dict[str, int]):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix="##"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def _model(rows: Sequence[Sequence[float]]) -> bytes:
    floats = b"".join(struct.pack("<f", value) for row in rows for value in row)
    sizes = _field(1, len(rows)) + _field(1, len(rows[0]))
    weights = sizes + _field(2, _FLOAT) + _field(8, "W") + _field(9, floats)
    axis = _field(1, "axis") + _field(3, 0) + _field(20, 2)
    node = _field(1, "W") + _field(1, "input_ids") + _field(2, "logits") + _field(4, "Gather") + _field(5, axis)
    inputs = b"".join(
        _field(11, _value(name, _INT64, "bs")) for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    graph = _field(1, node) + _field(2, "g") + _field(5, weights) + inputs
    graph += _field(12, _value("logits", _FLOAT, ("b", "s", len(rows[0]))))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 17))


def _value(name: str, kind: int, shape: Sequence[str | int]) -> bytes:
    sizes = b"".join(_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes)))


def _field(number: int, value: int | str | bytes) -> bytes:
    """A field as protobuf writes it: a number, or something with its length before it."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
