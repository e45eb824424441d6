"""What restarts cost: only time that nothing rests on is lost."""

import pytest

from trainers.contract import Attempt, lost_seconds


def attempt(started: float, ended: float | None, saved: float | None = None) -> Attempt:
    return Attempt(number=1, started=started, ended=ended, resumed_from_time=saved)


@pytest.mark.parametrize(
    ("attempts", "lost"),
    [
        ([], 0),
        ([attempt(0, 100)], 0),
        ([attempt(0, 100), attempt(110, 200)], 100),  # began anew
        ([attempt(0, 100), attempt(110, 200, saved=70)], 30),
        ([attempt(0, 100), attempt(110, 200, saved=70), attempt(210, 300, saved=190)], 30 + 10),
        ([attempt(0, 100), attempt(110, 200, saved=70), attempt(210, 300, saved=70)], 30 + 90),  # saved nothing itself
        ([attempt(0, 100), attempt(110, 200, saved=70), attempt(210, 300)], 100 + 90),  # its checkpoint was rejected
        ([attempt(0, 100, saved=None), attempt(110, None, saved=100.5)], 0),  # saved while it was being stopped
    ],
)
def test_lost_time(attempts: list[Attempt], lost: float) -> None:
    assert lost_seconds(attempts) == lost
