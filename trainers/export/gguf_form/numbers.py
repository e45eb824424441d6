"""In which numbers GGUF keeps a tensor: f16, q8_0, and llama.cpp's mixture q4_k_m."""

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy
from gguf import GGMLQuantizationType as Number
from gguf import LlamaFileType, quants

from trainers.contract import BadRequest
from trainers.export.gguf_form.families import Array

FILE_TYPES = {
    "f16": LlamaFileType.MOSTLY_F16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q4_k_m": LlamaFileType.MOSTLY_Q4_K_M,
}
"""What the file says of itself."""
_PLAIN = (Number.F32, Number.F16, Number.Q8_0)
_NARROWER = {Number.Q4_K: Number.Q5_0, Number.Q6_K: Number.Q8_0}
"""Where a row is no multiple of 256, as llama.cpp falls back."""


def number_of(form: str, name: str, shape: tuple[int, ...], layers: int, tied: bool) -> Number:
    """The numbers of the tensor that GGUF calls by this name.

    Args:
        form: f16, q8_0 or q4_k_m.
        shape: of the tensor, its rows last.
        layers: of the model.
        tied: whether the embedding is the output too.
    """
    if len(shape) < 2 or name.startswith("rope_"):
        return Number.F32
    wanted = {"f16": Number.F16, "q8_0": Number.Q8_0}.get(form) or _of_mixture(name, layers, tied)
    if shape[-1] % quants.GGML_QUANT_SIZES[wanted][0]:
        wanted = _NARROWER.get(wanted, Number.F16)
    return wanted if shape[-1] % quants.GGML_QUANT_SIZES[wanted][0] == 0 else Number.F16


def _of_mixture(name: str, layers: int, tied: bool) -> Number:
    """llama.cpp's `llama_tensor_get_type` for Q4_K_M: six bits for the output, and for values and `down` of the first
    and last eighth of the layers and of each third one between."""
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return Number.Q6_K
    if name.startswith("blk.") and any(part in name for part in (".attn_v.", ".ffn_down.")):
        layer, eighth = int(name.split(".")[1]), layers // 8
        if layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2:
            return Number.Q6_K
    return Number.Q4_K


def encoded(weight: Array, number: Number, importance: Array | None = None) -> Array:
    """A float32 tensor in these numbers.

    Args:
        importance: float32, of each column; the numbers of few bits are rounded for the columns that matter most.

    Raises:
        BadRequest: llama.cpp, which quantises to fewer than 8 bits, is not installed.
    """
    if number in _PLAIN:
        plain: Array = quants.quantize(weight, number)
        return plain
    rows = numpy.ascontiguousarray(weight, dtype=numpy.float32)
    coded = numpy.empty(quants.quant_shape_to_byte_shape(rows.shape, number), dtype=numpy.uint8)
    floats, count, width = ctypes.POINTER(ctypes.c_float), rows.size // rows.shape[-1], rows.shape[-1]
    assert importance is None or importance.shape == (width,), "one value for each column"
    written = _library().ggml_quantize_chunk(
        ctypes.c_int(number), rows.ctypes.data_as(floats), coded.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(count), ctypes.c_int64(width),
        None if importance is None else importance.ctypes.data_as(floats),
    )  # fmt: skip
    assert written == coded.nbytes, "llama.cpp and the gguf package agree on what a row takes"
    return coded


@cache
def _library() -> Any:
    """llama.cpp, as the package `xllamacpp` carries it: a library that exports ggml's public functions."""
    spec = find_spec("xllamacpp")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder).glob("xllamacpp*.so"):
            library = ctypes.CDLL(str(path))
            library.ggml_quantize_chunk.restype = ctypes.c_size_t
            return library
    raise BadRequest(
        "recipe key export.gguf asks for q4_k_m, which llama.cpp quantises, and it is not installed: install the extra "
        "'llama-cpp' where the export runs, or leave q4_k_m out"
    )
