"""`make ui` where nothing has ever landed: a sample that waits, and three lines that say what to press."""

import re

from korean_llm_assets.commands.ui import first_steps, lay_down_the_sample
from korean_llm_assets.home import Home
from korean_llm_assets.landing.folders import KINDS, Landing

PAGE = "http://127.0.0.1:3000"


def test_an_empty_state_gets_a_sample_that_waits_until_somebody_does_what_the_lines_say(home: Home) -> None:
    lay_down_the_sample(home)
    landing = Landing(home.landing)
    assert landing.releases() == {"sample": "sample"}
    assert all((home.landing / "sample" / kind).is_dir() for kind in KINDS)
    assert landing.incompleteness("sample", quiet_seconds=0), "however long nobody does anything"
    lines = first_steps(home, PAGE).splitlines()
    assert len(lines) == 3 and f"{PAGE}/assets/eval_report" in lines[2]
    (marker,) = re.findall(r"touch (\S+)", lines[0])
    (home.landing / "sample" / "_READY").touch()
    assert marker == str(home.landing / "sample" / "_READY")
    assert not landing.incompleteness("sample") and first_steps(home, PAGE) == ""
    assert "_WAIT" not in {path.name for path in landing._files("sample")}, "the marker is no content"


def test_where_something_has_landed_nothing_is_laid_down(home: Home) -> None:
    (home.landing / "own" / "corpus").mkdir(parents=True)
    lay_down_the_sample(home)
    assert [path.name for path in home.landing.iterdir()] == ["own"] and first_steps(home, PAGE) == ""
