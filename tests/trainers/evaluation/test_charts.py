"""Charts are well-formed, show what they are given, and survive flat and empty figures."""

from xml.etree import ElementTree

from trainers.contract import Interval
from trainers.evaluation.charts import bars, curve


def test_bars_show_every_stage_and_escape_names():
    figures = {"base": Interval(value=0, low=0, high=0, n=1), "sft": Interval(value=0.5, low=0.4, high=0.6, n=9)}
    picture = ElementTree.fromstring(bars("a < b", figures, as_percent=True))
    assert "".join(picture.itertext()) == "a < bbase0.0%sft50.0%"


def test_all_zero_bars_and_one_point_curves_are_drawn():
    ElementTree.fromstring(bars("t", {"base": Interval(value=0, low=0, high=0, n=1)}, as_percent=False))
    assert "step 3" in "".join(ElementTree.fromstring(curve("loss", [(3, 1.0)], "#000")).itertext())
