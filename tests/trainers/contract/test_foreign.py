"""The door for foreign data: what a parser raises is bad data, with its place; our own refusals and the disk's pass."""

import errno
import json

import pytest

from trainers.contract import BadData, BadRequest
from trainers.contract.foreign import foreign


@pytest.mark.parametrize(
    "read",
    [
        lambda: json.loads("{"),
        lambda: json.loads("[" * 200_000),
        lambda: json.loads('{"a": 1}')["b"],
        lambda: [][0],
        lambda: json.loads("[]").items(),
        lambda: b"\xff".decode(),
        lambda: "\ud800".encode(),
        lambda: float(10**400),
        lambda: 1 // 0,
        lambda: max(json.loads("[1, null]")),
    ],
)
def test_a_parsers_trouble_is_bad_data_with_its_place_on_one_line(read):
    with (
        pytest.raises(
            BadData, match=r"drop/a\\nb.json is not in the form that it is read as: .+ \(\w+\); mend it"
        ) as error,
        foreign("drop/a\nb.json"),
    ):
        read()
    assert len(str(error.value)) < 500 and "\n" not in str(error.value)


@pytest.mark.parametrize("error", [BadRequest("the recipe"), OSError(errno.EIO, "disk"), MemoryError()])
def test_what_is_not_the_datas_fault_passes(error):
    with pytest.raises(type(error)) as raised, foreign("x"):
        raise error
    assert raised.value is error
