"""Charts are well-formed, show what they are given with its axes, and survive flat, empty and hostile figures."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import trainers
from tests.support.hostile import HOSTILE, markup
from trainers.contract import Interval
from trainers.contract.charts import bars, lines, radar

COLOURS = {"base": "#111", "rlhf": "#222"}


def parsed(chart):
    return ElementTree.fromstring(chart.svg)


def words(chart):
    return [text.text for text in parsed(chart).iter("text")]


def test_bars_show_every_figure_its_interval_and_the_axis():
    figures = {"base": Interval(value=0, low=0, high=0, n=1), "sft": Interval(value=0.5, low=0.4, high=0.6, n=9)}
    chart = bars("t", figures, ".1%", unit="accuracy", top=1.0, colours={"sft": "#abc"})
    assert words(chart) == ["0.0%", "50.0%", "100.0%", "accuracy", "base", "0.0%", "sft", "50.0%"]
    _, bar = parsed(chart).iter("rect")
    axis = {
        line.get("x1"): float(line.get("x1")) for line in parsed(chart).iter("line") if line.get("stroke") == "#ccc"
    }
    left, middle, _ = sorted(axis.values())
    assert bar.get("fill") == "#abc" and float(bar.get("width")) == pytest.approx(middle - left, abs=0.2)
    (interval,) = (line for line in parsed(chart).iter("line") if line.get("stroke") != "#ccc")
    assert float(interval.get("x1")) < middle < float(interval.get("x2"))
    assert (chart.columns, chart.rows[1]) == (("", "accuracy", "95% interval"), ("sft", "50.0%", "40.0% to 60.0%"))


def test_a_guess_is_a_dashed_line_through_all_bars():
    chart = bars("t", {"base": 0.5, "sft": 0.75}, ".0%", top=1.0, mark=0.25)
    (dashed,) = (line for line in parsed(chart).iter("line") if line.get("stroke-dasharray"))
    first, second = parsed(chart).iter("rect")
    left, end = float(first.get("x")), float(first.get("x")) + 2 * float(first.get("width"))
    assert float(dashed.get("x1")) == pytest.approx(left + (end - left) / 4, abs=0.2) == float(dashed.get("x2"))
    assert float(dashed.get("y2")) > float(second.get("y"))


def test_a_line_over_releases_names_each_of_them():
    chart = lines("t", {"figure": [(0, 0.5), (2, 0.75)]}, "", names=("2026-10", "2026-11", "2026-12"))
    labels = words(chart)
    assert [name in labels for name in ("2026-10", "2026-11", "2026-12", "release", "step")] == [True] * 4 + [False]
    assert chart.rows == (("figure", "0.5 at 2026-10", "0.75 at 2026-12", "0.5 at 2026-10"),)
    late = lines("t", {"figure": [(1, 0.5)]}, "", names=("2026-10", "2026-11"))
    (point,) = parsed(late).iter("circle")
    assert float(point.get("cx")) == 500, "at the end of the axis, where the second release is"
    assert "only" in words(lines("t", {"figure": [(0, 0.5)]}, "", names=("only",)))


def test_counts_are_whole_and_their_bars_proportional():
    chart = bars("t", {"read": 123456789, "kept": 61728394.5, "none": 0})
    widths = [float(rect.get("width")) for rect in parsed(chart).iter("rect")]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2) and widths[2] == 0
    assert chart.rows == (("read", "123,456,789"), ("kept", "61,728,394.5"), ("none", "0"))
    assert "0.5" not in words(bars("t", {"a": 1})), "no half documents"


@pytest.mark.parametrize("figures", [{}, {"a": 0}, {"a": 0.0, "b": Interval(value=0, low=0, high=0, n=1)}, {"a": 1e15}])
def test_empty_zero_and_huge_bars_are_drawn(figures):
    assert "nan" not in bars("t", figures).svg and len(bars("t", figures).rows) == len(figures)


def test_a_long_name_is_cut_and_whole_in_its_tooltip_and_in_the_table():
    name = "한국어 위키백과의 아주 긴 이름을 가진 출처 " * 3
    chart = bars("t", {name: 1})
    (cut,) = (text for text in parsed(chart).iter("text") if text.text.endswith("…"))
    assert name.startswith(cut.text[:-1]) and 16 < len(cut.text) < 28 and cut.find("title").text == name
    assert chart.rows == ((name, "1"),)


def test_lines_run_from_the_first_to_the_last_step_between_round_ticks():
    chart = lines("t", {"training": [(1, 6.0), (100, 5.4), (200, 5.5)], "held out": [(200, 5.8)]}, "loss")
    assert words(chart) == ["training", "held out", "loss", "5.4", "5.6", "5.8", "6", "50", "100", "150", "200", "step"]
    curve, _ = parsed(chart).iter("polyline")
    (x1, y1), (x2, y2), (x3, y3) = (tuple(map(float, point.split(","))) for point in curve.get("points").split())
    assert x1 < x2 < x3 and y1 < y3 < y2, "SVG's y runs down"
    assert x2 - x1 == pytest.approx((x3 - x1) * 99 / 199, abs=0.2)
    (dot,) = parsed(chart).iter("circle")
    assert dot.get("fill") != curve.get("stroke"), "a curve of one point is seen"
    assert chart.rows[0] == ("training", "6 at step 1", "5.5 at step 200", "5.4 at step 100")


@pytest.mark.parametrize("value", [0.0, -2.5, 1e9])
def test_a_flat_curve_runs_through_the_middle(value):
    curve = next(parsed(lines("t", {"a": [(0, value), (9, value)]}, "loss")).iter("polyline")).get("points").split()
    ticks = [float(line.get("y1")) for line in parsed(lines("t", {"a": [(0, value)]}, "loss")).iter("line")]
    assert {point.split(",")[1] for point in curve} <= {f"{y:.1f}" for y in ticks} | {curve[0].split(",")[1]}
    assert min(ticks) < float(curve[0].split(",")[1]) + 1


def test_what_is_no_number_is_counted_and_not_drawn():
    chart = lines("t", {"a": [(1, 2.0), (2, float("nan")), (3, float("inf"))], "b": [(1, float("nan"))]}, "loss")
    assert [row[0] for row in chart.rows] == ["a (2 not finite)", "b (1 not finite)"]
    assert chart.rows[1] == ("b (1 not finite)",) and not re.search("nan|inf", chart.svg.replace("not finite", ""))


def test_a_radar_has_a_polygon_per_name_whose_corners_are_its_shares():
    shares = {"a < b": {"base": 0.0, "rlhf": 1.0}, "둘": {"base": 0.5, "rlhf": 0.5}, "셋": {"base": 1.0, "rlhf": 0.0}}
    chart = radar("t", shares, COLOURS)
    polygons = {
        each.get("stroke"): each.get("points") for each in parsed(chart).iter("polygon") if each.get("fill-opacity")
    }
    assert set(polygons) == set(COLOURS.values())
    corners = {
        name: [tuple(map(float, point.split(","))) for point in polygons[colour].split()]
        for name, colour in COLOURS.items()
    }
    middle, tip = corners["base"][0], corners["rlhf"][0]
    assert middle[0] == tip[0] and middle[1] - tip[1] == 150
    assert corners["base"][1] == corners["rlhf"][1] and corners["rlhf"][2] == middle
    assert [text for text in words(chart) if not text.endswith("%")] == ["base", "rlhf", *shares]
    assert chart.rows[1] == ("둘", "50.0%", "50.0%")


def test_names_around_a_radar_end_inside_the_picture():
    shares = {f"{name}/아주_긴_이름의_시험" * 2: {"base": 1.0} for name in "abcdef"}
    width = float(parsed(radar("t", shares)).get("width"))
    for text in parsed(radar("t", shares)).iter("text"):
        if text.find("title") is not None:
            x, wide = float(text.get("x")), 7.6 * sum(1.6 if letter >= "가" else 1 for letter in text.text)
            begin = {"end": x - wide, "middle": x - wide / 2, "start": x}[text.get("text-anchor")]
            assert begin >= -8 and begin + wide <= width + 8


@pytest.mark.parametrize(
    "chart",
    [
        bars(HOSTILE, {HOSTILE: 1.0}, unit=HOSTILE, colours={HOSTILE: HOSTILE}),
        lines(HOSTILE, {HOSTILE: [(1, 1.0), (2, 2.0)]}, HOSTILE, {HOSTILE: HOSTILE}),
        radar(HOSTILE, {f"{HOSTILE}{axis}": {HOSTILE: 0.5} for axis in range(3)}, {HOSTILE: HOSTILE}),
    ],
)
def test_hostile_names_stay_text(chart):
    drawn = {"svg", "text", "title", "rect", "line", "polyline", "polygon"}
    assert {element.tag for element in parsed(chart).iter()} <= drawn
    assert "alert(1)" in "".join(parsed(chart).itertext())
    assert markup(chart.markdown()) == {"paragraph", "inline", "image"}


def test_the_picture_in_markdown_stands_alone_and_says_its_figures():
    chart = lines("loss", {"training": [(1, 2.0), (2, 1.0)]}, "loss")
    alternative, coded = re.fullmatch(r"!\[(.*)\]\(data:image/svg\+xml;base64,(.*)\)", chart.markdown()).groups()
    assert alternative == "loss: training, first 2 at step 1, last 1 at step 2, lowest 1 at step 2"
    assert ElementTree.fromstring(base64.b64decode(coded)).tag == "{http://www.w3.org/2000/svg}svg"


def test_the_same_figures_give_the_same_bytes():
    draw = lambda: radar("t", {axis: {"a": 1 / 3, "b": 2 / 3} for axis in "xyz"})  # noqa: E731
    assert draw() == draw()


def test_nothing_else_draws_and_python_builds_no_html():
    root = Path(trainers.__file__).parent.parent
    sources = {
        path.relative_to(root).as_posix(): path.read_text()
        for room in ("trainers", "korean_llm_assets")
        for path in (root / room).rglob("*.py")
    }
    drawing = re.compile(r"<svg|<polyline|<rect|xml\.etree|matplotlib|plotly")
    assert [name for name, text in sources.items() if drawing.search(text)] == ["trainers/contract/charts.py"]
    html = re.compile(r"<t[dr]>|<html|html import escape|jinja2(?!\.sandbox)")
    building = [name for name, text in sources.items() if html.search(text)]
    # Chat templates are jinja, too: one room renders and marks them.
    assert [name for name in building if "/training/data/" not in name] == ["trainers/contract/page.py"]
