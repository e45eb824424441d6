"""The numbers of a tensor: llama.cpp's mixture, rows that blocks do not divide, and what K-quants need."""

import numpy
import pytest
from gguf import GGMLQuantizationType as Number
from gguf import quants

from trainers.contract import BadRequest
from trainers.export.gguf_form import numbers


def test_the_mixture_spends_its_bits_where_llama_cpp_does():
    def number(name: str, tied: bool = False) -> Number:
        return numbers.number_of("q4_k_m", name, (512, 512), 32, tied)

    six = [layer for layer in range(32) if number(f"blk.{layer}.ffn_down.weight") is Number.Q6_K]
    assert six == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    assert [layer for layer in range(32) if number(f"blk.{layer}.attn_v.weight") is Number.Q6_K] == six
    assert number("output.weight") is Number.Q6_K and number("blk.0.attn_q.weight") is Number.Q4_K
    assert (number("token_embd.weight", tied=True), number("token_embd.weight")) == (Number.Q6_K, Number.Q4_K)


@pytest.mark.parametrize(
    ("form", "width", "expected"),
    [
        ("q4_k_m", 256, Number.Q4_K),
        ("q4_k_m", 192, Number.Q5_0),
        ("q4_k_m", 50, Number.F16),
        ("q8_0", 64, Number.Q8_0),
        ("q8_0", 50, Number.F16),
        ("f16", 50, Number.F16),
    ],
)
def test_rows_that_blocks_do_not_divide_get_wider_numbers(form, width, expected):
    assert numbers.number_of(form, "blk.0.attn_q.weight", (64, width), 1, False) is expected


def test_norms_and_biases_stay_whole():
    assert numbers.number_of("q4_k_m", "blk.0.attn_norm.weight", (256,), 1, False) is Number.F32


@pytest.mark.parametrize(("number", "most"), [(Number.Q8_0, 0.007), (Number.Q6_K, 0.02), (Number.Q4_K, 0.08)])
def test_what_is_encoded_comes_back_with_the_error_of_its_bits(number, most):
    weight = numpy.random.default_rng(0).normal(size=(64, 512)).astype(numpy.float32)
    back = quants.dequantize(numbers.encoded(weight, number), number)
    error = numpy.abs(back - weight).mean() / numpy.abs(weight).mean()
    assert 0 < error < most


@pytest.mark.parametrize(("number", "width"), [(Number.Q4_K, 256), (Number.Q5_0, 64)])
def test_columns_that_matter_are_rounded_with_more_care(number, width):
    random = numpy.random.default_rng(0)
    weight = random.normal(size=(64, width)).astype(numpy.float32)
    inputs = random.normal(size=(100, width)).astype(numpy.float32) * numpy.where(numpy.arange(width) % 8, 0.1, 3.0)
    importance = numpy.square(inputs).mean(axis=0).astype(numpy.float32)
    errors = [
        numpy.square(inputs @ (quants.dequantize(numbers.encoded(weight, number, given), number) - weight).T).mean()
        for given in (None, importance)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_without_llama_cpp_k_quants_are_refused_with_what_to_install(monkeypatch):
    numbers._library.cache_clear()
    monkeypatch.setattr(numbers, "find_spec", lambda name: None)
    with pytest.raises(BadRequest, match="install the extra 'llama-cpp'"):
        numbers.encoded(numpy.zeros((1, 256), numpy.float32), Number.Q4_K)
