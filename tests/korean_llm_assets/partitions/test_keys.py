"""A release's folder name becomes a partition key through one function."""

import re
import unicodedata

import pytest
from dagster import MultiPartitionKey
from hypothesis import given
from hypothesis import strategies as st

from korean_llm_assets.partitions.keys import cell_key, cells, model_and_release, release_key
from trainers.contract import STAGES, BadRequest, StageRequest


@pytest.mark.parametrize("name", ["sample", "2026-11-21", "v1.2_final", "A"])
def test_a_safe_name_stays(name: str) -> None:
    assert release_key(name) == name


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("2026/10", "2026-10-"),
        ("뉴스 11월", "11-"),
        ("한글", "release-"),
        ("with space", "with-space-"),
        ("a|b", "a-b-"),
        ("a...b", "a-b-"),
        ("x" * 200, "x" * 48 + "-"),
        (".hidden", "hidden-"),
        ("..", "release-"),
    ],
)
def test_an_unsafe_name_is_made_safe_with_a_hash(name: str, begins: str) -> None:
    assert release_key(name).startswith(begins)
    assert re.fullmatch(r"[0-9a-f]{8}", release_key(name)[len(begins) :])


def test_both_unicode_forms_of_a_name_are_one_release() -> None:
    assert release_key(unicodedata.normalize("NFD", "뉴스")) == release_key(unicodedata.normalize("NFC", "뉴스"))


@given(st.text(min_size=1), st.text(min_size=1))
def test_every_key_is_one_that_requests_and_dagster_accept_and_names_stay_apart(one: str, other: str) -> None:
    key = release_key(one)
    StageRequest(stage="corpus", stage_version=1, release=key)
    assert MultiPartitionKey({"model": "tiny", "release": key}).keys_by_dimension["release"] == key
    assert "..." not in key
    if unicodedata.normalize("NFC", one) != unicodedata.normalize("NFC", other):
        assert release_key(other) != key


def test_a_cell_is_a_model_and_a_release() -> None:
    assert cell_key("tiny", "sample").keys_by_dimension == {"model": "tiny", "release": "sample"}
    assert {dimension.name for dimension in cells.partitions_defs} == {"model", "release"}


@pytest.mark.parametrize("cell", [cell_key("tiny", "sample"), "tiny|sample"], ids=["key", "text"])
def test_a_partition_is_read_in_whatever_form_dagster_hands_it_over(cell: str) -> None:
    assert model_and_release(STAGES["sft"], cell) == ("tiny", "sample")
    assert model_and_release(STAGES["base_model"], "tiny") == ("tiny", None)
    assert model_and_release(STAGES["corpus"], "sample") == (None, "sample")


@pytest.mark.parametrize("text", ["tiny", "tiny|", "|sample", "tiny|sample|more"])
def test_what_is_no_cell_is_refused_with_the_form_that_is_wanted(text: str) -> None:
    with pytest.raises(BadRequest, match=r"MODEL\|RELEASE"):
        model_and_release(STAGES["sft"], text)
