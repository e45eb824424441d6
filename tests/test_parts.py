"""Every test is of a part of `make prove`, and a run that was stopped goes on with what has not passed."""

import pytest

from tests.conftest import ROOT
from tests.support.parts import PARTS, part_of

pytest_plugins = ["pytester"]


def test_every_test_is_of_a_part_and_every_place_is_there() -> None:
    places = [place for named in PARTS.values() for place in named]
    assert len(set(places)) == len(places)
    assert not [place for place in places if not (ROOT / "tests" / place).exists()]
    assert {part_of(path) for path in (ROOT / "tests").rglob("test_*.py")} == set(PARTS)
    assert part_of(ROOT / "tests/trainers/training/test_loop.py") == "training"
    assert part_of(ROOT / "tests/trainers/contract/test_details.py") == "trust"
    assert f"`{'`, `'.join(list(PARTS)[:-1])}` and `{list(PARTS)[-1]}`" in (ROOT / "tests/README.md").read_text()


def test_what_passed_is_left_out_the_next_time(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text())
    file = pytester.makepyfile("def test_good(): pass\n\n\ndef test_bad(): assert False")
    pytester.runpytest("--passed", "notes").assert_outcomes(passed=1, failed=1)
    file.write_text(file.read_text().replace("False", "True"))
    pytester.runpytest("--passed", "notes").assert_outcomes(passed=1, deselected=1)
    pytester.runpytest("--passed", "notes").assert_outcomes(deselected=2)
