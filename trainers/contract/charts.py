"""Charts as SVG: bars with intervals, lines, a radar, each with its figures in words. Nothing else here draws.

Our own and no plotting library, because both worlds draw: the pages of the stages, and what Dagster shows, whose image
stays light. Pages count in an artifact's digest, so the same figures give the same bytes, whichever library and fonts
are installed; and the reader's browser sets Korean in its own font, where matplotlib draws boxes without one.
Text goes through ElementTree, which escapes it.
"""

import base64
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import MappingProxyType
from xml.etree import ElementTree

from trainers.contract.details import Interval
from trainers.contract.markdown import escaped

FEWEST_AXES = 3
"""A radar of fewer axes has no area."""
_WIDTH, _RADAR_WIDTH, _BARS_WIDTH, _ROW, _PLOT_HEIGHT = 520, 800, 360, 22, 170
_MOST_LABEL = 260
"""Pixels for the names beside bars and around a radar; what is longer is cut, and whole in its tooltip."""
_NARROW = 7.6
"""Pixels of a small Latin letter in a wide font of 12 px; a capital takes 1.25 times that, a Hangul syllable 1.6."""
_RADIUS, _RINGS = 150, (0.25, 0.5, 0.75, 1.0)
_GRID, _INK, _MARK = "#ccc", "#222", "#b3261e"
_PALETTE = ("#3f7cac", "#d1603d", "#3a9d6e", "#8e6bbf", "#b58900", "#7f8fa6")
_NONE: Mapping[str, str] = MappingProxyType({})
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Chart:
    """A picture, and a table of what it shows for those who do not see it."""

    title: str
    svg: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The picture as Markdown that needs no other file; its figures are the text in its place."""
        alone = self.svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" style="background:#fff"', 1)
        named = [zip(("", *self.columns[1:]), row, strict=False) for row in self.rows]
        words = "; ".join(", ".join(f"{column} {cell}".strip() for column, cell in row) for row in named)
        coded = base64.b64encode(alone.encode()).decode()
        return f"![{escaped(f'{self.title}: {words}')}](data:image/svg+xml;base64,{coded})"


def bars(
    title: str,
    figures: Mapping[str, float | Interval],
    form: str = ",.15g",
    unit: str = "",
    top: float = 0.0,
    colours: Mapping[str, str] = _NONE,
    mark: float | None = None,
) -> Chart:
    """Horizontal bars from 0, of figures of 0 or more; a line over a bar is its 95% interval.

    `form` is what `format` takes; the axis ends at `top`, where that is 0 at the largest figure. A dashed line through
    all bars is at `mark`: what a guess would have.
    """
    edges = {k: (v.value, v.low, v.high) if isinstance(v, Interval) else (v,) * 3 for k, v in figures.items()}
    shown = {name: format(value, form) for name, (value, _, _) in edges.items()}
    end = top or max((max(three) for three in edges.values()), default=0) or 1.0
    left = min(max(map(_pixels, figures), default=0), _MOST_LABEL) + 8
    right = max(map(_pixels, (*shown.values(), format(end, form)))) + 8
    scale, bottom = _BARS_WIDTH / end, len(figures) * _ROW + 2
    canvas = _Canvas(title)
    whole = all(isinstance(figure, int) for figure in figures.values())
    for tick in _ticks(0, end, min(4, int(_BARS_WIDTH / (right + 8))), whole):
        x = left + tick * scale
        canvas.add("line", x1=x, x2=x, y1=0, y2=bottom, stroke=_GRID)
        canvas.text(x, bottom + 14, format(tick, form), text_anchor="middle")
    if unit:
        canvas.text(left + _BARS_WIDTH, bottom + 30, unit, text_anchor="end")
    for row, (name, three) in enumerate(edges.items()):
        y = row * _ROW + 3
        width, x1, x2 = (max(0.0, edge) * scale for edge in three)
        canvas.text(left - 8, y + 13, name, _MOST_LABEL, text_anchor="end")
        seen = max(width, float(width > 0))
        canvas.add("rect", x=left, y=y, width=seen, height=_ROW - 6, fill=colours.get(name, _PALETTE[0]))
        if x1 != x2:
            canvas.add("line", x1=left + x1, x2=left + x2, y1=y + 8, y2=y + 8, stroke=_INK, stroke_width=2)
        canvas.text(left + max(width, x2) + 6, y + 13, shown[name])
    if mark is not None:
        x = left + mark * scale
        canvas.add("line", x1=x, x2=x, y1=0, y2=bottom, stroke=_MARK, stroke_width=2, stroke_dasharray="4 3")
    has_intervals = any(isinstance(figure, Interval) for figure in figures.values())
    columns = ("", unit or "figure", "95% interval")[: 3 if has_intervals else 2]
    rows = (
        (name, shown[name], f"{low:{form}} to {high:{form}}")[: len(columns)] for name, (_, low, high) in edges.items()
    )
    return Chart(
        title, canvas.finished(left + _BARS_WIDTH + right, bottom + (36 if unit else 20)), columns, tuple(rows)
    )


def lines(
    title: str,
    curves: Mapping[str, Sequence[tuple[int, float]]],
    unit: str,
    colours: Mapping[str, str] = _NONE,
    names: Sequence[str] = (),
) -> Chart:
    """Curves of (step, value). What is no finite number is not drawn, and the curve's name says how many that are.

    `names` are written in place of the steps 0, 1, ...: releases.
    """
    drawn: dict[str, list[tuple[int, float]]] = {}
    for name, curve in curves.items():
        finite = [point for point in curve if math.isfinite(point[1])]
        drawn[name if len(finite) == len(curve) else f"{name} ({len(curve) - len(finite)} not finite)"] = finite
    styles = _styles(drawn, colours)
    steps, values = zip(*([point for curve in drawn.values() for point in curve] or [(0, 0.0)]), strict=True)
    low, high, first = min(values), max(values), 0 if names else min(steps)
    last = max(first + 1, len(names) - 1 if names else max(steps))
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # a flat curve runs through the middle
        low, high = low - 0.05 * max(abs(low), 1.0), high + 0.05 * max(abs(high), 1.0)
    canvas = _Canvas(title)
    upper = canvas.legend(styles) + 24
    lower = upper + _PLOT_HEIGHT
    heights = {tick: f"{tick:,.6g}" for tick in _ticks(low, high)}
    left, end = max(map(_pixels, heights.values())) + 8, _WIDTH - 20

    def place(step: float, value: float) -> tuple[float, float]:
        x = left + (step - first) / (last - first) * (end - left)
        return x, lower - (value - low) / (high - low) * _PLOT_HEIGHT

    canvas.text(0, upper - 12, unit)
    for tick, label in heights.items():
        _, y = place(first, tick)
        canvas.add("line", x1=left, x2=end, y1=y, y2=y, stroke=_GRID)
        canvas.text(left - 6, y + 4, label, text_anchor="end")
    for tick in _ticks(first, last, whole=True):
        x, _ = place(tick, low)
        canvas.add("line", x1=x, x2=x, y1=lower, y2=lower + 4, stroke=_INK)
        label = (names[int(tick)] if tick < len(names) else "") if names else f"{tick:,.15g}"
        canvas.text(x, lower + 17, label, (end - left) / 4, text_anchor="middle" if tick < last else "end")
    canvas.text(end, lower + 33, "release" if names else "step", text_anchor="end")
    for name, curve in drawn.items():
        places = [place(*point) for point in curve]
        canvas.add("polyline", points=_points(places), fill="none", stroke=styles[name], stroke_width=1.5)
        if len(places) == 1:  # a line of one point is not seen
            canvas.add("circle", cx=places[0][0], cy=places[0][1], r=3, fill=styles[name])
    rows = []
    for name, curve in drawn.items():
        ends = (curve[0], curve[-1], min(curve, key=itemgetter(1))) if curve else ()
        at = [names[step] if names else f"step {step:,}" for step, _ in ends]
        rows.append((name, *(f"{value:.6g} at {where}" for where, (_, value) in zip(at, ends, strict=True))))
    return Chart(title, canvas.finished(_WIDTH, lower + 40), (unit, "first", "last", "lowest"), tuple(rows))


def radar(title: str, shares: Mapping[str, Mapping[str, float]], colours: Mapping[str, str] = _NONE) -> Chart:
    """One polygon per name over the axes (axis -> name -> share of 0 to 1; every axis has every name)."""
    names = list(next(iter(shares.values())))
    styles = _styles(names, colours)
    canvas = _Canvas(title)
    middle = (_RADAR_WIDTH / 2, canvas.legend(styles) + _RADIUS + 30)

    def place(axis: int, share: float) -> tuple[float, float]:
        angle = 2 * math.pi * axis / len(shares) - math.pi / 2
        return middle[0] + _RADIUS * share * math.cos(angle), middle[1] + _RADIUS * share * math.sin(angle)

    def polygon(values: Sequence[float], **style: object) -> None:
        canvas.add("polygon", points=_points(place(axis, value) for axis, value in enumerate(values)), **style)

    for ring in _RINGS:
        polygon([ring] * len(shares), fill="none", stroke=_GRID)
        canvas.text(middle[0] + 3, place(0, ring)[1] + 11, f"{ring:.0%}", fill="#777")
    for axis, label in enumerate(shares):
        (x, y), (far_x, far_y) = place(axis, 1), place(axis, 1.08)
        centred = abs(far_x - middle[0]) < 1
        anchor = "middle" if centred else "start" if far_x > middle[0] else "end"
        canvas.add("line", x1=middle[0], y1=middle[1], x2=x, y2=y, stroke=_GRID)
        room = _RADAR_WIDTH if centred else _RADAR_WIDTH - far_x if far_x > middle[0] else far_x
        canvas.text(far_x, far_y + 4, label, room, text_anchor=anchor)
    for name in names:
        values, colour = [by_name[name] for by_name in shares.values()], styles[name]
        polygon(values, fill=colour, fill_opacity=0.1, stroke=colour, stroke_width=2)
    rows = tuple((axis, *(f"{by_name[name]:.1%}" for name in names)) for axis, by_name in shares.items())
    return Chart(title, canvas.finished(_RADAR_WIDTH, middle[1] + _RADIUS + 30), ("", *names), rows)


class _Canvas:
    """An SVG in the making. Attributes' hyphens are written as underscores."""

    def __init__(self, title: str):
        self._svg = ElementTree.Element("svg", _written({"role": "img", "aria_label": title}))

    def add(self, tag: str, **attributes: object) -> ElementTree.Element:
        return ElementTree.SubElement(self._svg, tag, _written(attributes))

    def text(self, x: float, y: float, text: str, room: float = _WIDTH, **attributes: object) -> None:
        """A line of text; what is longer than `room` pixels is cut, and whole in its tooltip."""
        element = self.add("text", x=x, y=y, **attributes)
        element.text = _legal(_cut(text, room))
        if element.text != _legal(text):
            ElementTree.SubElement(element, "title").text = _legal(text)

    def legend(self, colours: Mapping[str, str]) -> float:
        """A square of its colour before each name, in lines from the top; the height that this takes."""
        x, y = 0.0, 0.0
        for name, colour in colours.items():
            width = min(_pixels(name), _MOST_LABEL) + 34
            if x and x + width > _WIDTH:
                x, y = 0.0, y + 18
            self.add("rect", x=x, y=y + 2, width=12, height=12, fill=colour)
            self.text(x + 18, y + 12, name, _MOST_LABEL)
            x += width
        return y + 18

    def finished(self, width: float, height: float) -> str:
        size = {"viewBox": f"0 0 {width:g} {height:g}", "width": width, "height": height}
        self._svg.attrib.update(_written({**size, "font-family": "system-ui, sans-serif", "font-size": 12}))
        return ElementTree.tostring(self._svg, encoding="unicode")


def _written(attributes: Mapping[str, object]) -> dict[str, str]:
    return {
        name.replace("_", "-"): f"{value:.1f}".removesuffix(".0")
        if isinstance(value, int | float)
        else _legal(str(value))
        for name, value in attributes.items()
    }


def _legal(text: str) -> str:
    """Without the characters that would make an XML parser refuse the whole picture."""
    return _NOT_XML.sub("\ufffd", text)


def _styles(names: Iterable[str], colours: Mapping[str, str]) -> dict[str, str]:
    return {name: colours.get(name, _PALETTE[place % len(_PALETTE)]) for place, name in enumerate(names)}


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _pixels(text: str) -> float:
    """About how wide a text is, in pixels."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return _NARROW * (len(text) + 0.6 * wide + 0.25 * sum(map(str.isupper, text)))


def _cut(text: str, room: float) -> str:
    width = 0.0
    for place, letter in enumerate(text):
        width += _pixels(letter)
        if width > room:
            return f"{text[: max(0, place - 1)]}…"
    return text


def _ticks(low: float, high: float, most: int = 4, whole: bool = False) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, about `most` steps."""
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    step = max(1.0, step) if whole else step
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
