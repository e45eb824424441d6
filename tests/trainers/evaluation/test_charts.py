"""Charts are well-formed, show what they are given, and survive flat and empty figures."""

from xml.etree import ElementTree

from trainers.contract import Interval
from trainers.evaluation.charts import COLOURS, bars, curve, radar


def test_bars_show_every_stage_and_escape_names():
    figures = {"base": Interval(value=0, low=0, high=0, n=1), "sft": Interval(value=0.5, low=0.4, high=0.6, n=9)}
    picture = ElementTree.fromstring(bars("a < b", figures, as_percent=True))
    assert "".join(picture.itertext()) == "a < bbase0.0%sft50.0%"


def test_all_zero_bars_and_one_point_curves_are_drawn():
    ElementTree.fromstring(bars("t", {"base": Interval(value=0, low=0, high=0, n=1)}, as_percent=False))
    assert "step 3" in "".join(ElementTree.fromstring(curve("loss", [(3, 1.0)], "#000")).itertext())


def test_a_radar_has_a_polygon_per_stage_whose_corners_are_its_shares():
    shares = {"a < b": {"base": 0.0, "rlhf": 1.0}, "둘": {"base": 0.5, "rlhf": 0.5}, "셋": {"base": 1.0, "rlhf": 0.0}}
    picture = ElementTree.fromstring(radar("t", shares))
    polygons = {each.get("stroke"): each.get("points") for each in picture.iter("polygon") if each.get("fill-opacity")}
    assert set(polygons) == {COLOURS["base"], COLOURS["rlhf"]}
    middle, tip = (320.0, 210.0), (320.0, 60.0)
    corners = {
        colour: [tuple(map(float, point.split(","))) for point in points.split()] for colour, points in polygons.items()
    }
    assert (corners[COLOURS["base"]][0], corners[COLOURS["rlhf"]][0]) == (middle, tip)
    assert corners[COLOURS["base"]][1] == corners[COLOURS["rlhf"]][1]
    assert corners[COLOURS["rlhf"]][2] == middle
    assert [text.text for text in picture.iter("text")] == ["t", *shares, "base", "rlhf"]
