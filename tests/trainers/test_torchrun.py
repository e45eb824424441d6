"""Several processes end as the one that failed by itself."""

import pytest

from trainers.torchrun import cause


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([65], 65),
        ([75, 65, -15], 65),  # two that lost the third, which had bad data
        ([-15, -9], 137),  # the kernel took one for its memory
        ([75, 75], 75),
        ([-15], 143),
    ],
)
def test_the_cause_is_told_not_its_consequences(codes: list[int], expected: int):
    assert cause(codes) == expected
