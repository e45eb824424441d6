"""Small charts as SVG text: bars with intervals, loss curves, a radar over suites. Same figures, same bytes."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from trainers.contract import Interval

COLOURS = {
    "unigram": "#9e9e9e",
    "base": "#7f8fa6",
    "cpt": "#3f7cac",
    "sft": "#3a9d6e",
    "rlhf": "#d1603d",
    "champion": "#8e6bbf",
}
_WIDTH, _LEFT, _ROW = 640, 110, 22
_RADIUS, _RINGS = 150, (0.25, 0.5, 0.75, 1.0)
FEWEST_AXES = 3
"""A radar of fewer axes has no area."""


def bars(title: str, figures: Mapping[str, Interval], as_percent: bool) -> str:
    """One horizontal bar per stage, with its 95% interval."""
    top = 1.0 if as_percent else max(figure.high for figure in figures.values()) * 1.05 or 1.0
    scale = (_WIDTH - _LEFT - 130) / top
    parts = [f'<text x="0" y="14" class="title">{escape(title)}</text>']
    for row, (stage, figure) in enumerate(figures.items()):
        y = 24 + row * _ROW
        middle = y + _ROW / 2 - 2
        low, high = (_LEFT + edge * scale for edge in (figure.low, figure.high))
        y_line = f'y1="{middle:.1f}" y2="{middle:.1f}"'
        shown = f"{figure.value:.1%}" if as_percent else f"{figure.value:.3f}"
        parts += [
            f'<text x="{_LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(stage)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{max(0.0, figure.value * scale):.1f}" height="{_ROW - 5}" '
            f'fill="{COLOURS.get(stage, "#555")}"/>',
            f'<line x1="{low:.1f}" x2="{high:.1f}" {y_line} stroke="#222" stroke-width="2"/>',
            f'<text x="{max(high, _LEFT) + 8:.1f}" y="{middle + 4:.1f}">{shown}</text>',
        ]
    return _svg(parts, 30 + len(figures) * _ROW)


def curve(title: str, points: Sequence[tuple[int, float]], colour: str) -> str:
    """A line over steps, such as a training loss."""
    height, bottom = 170, 150
    steps, values = [step for step, _ in points], [value for _, value in points]
    wide = (max(steps) - min(steps)) or 1
    low, high = min(values), max(values)
    tall = (high - low) or 1.0
    places = " ".join(
        f"{_LEFT + (step - min(steps)) / wide * (_WIDTH - _LEFT - 20):.1f},"
        f"{bottom - (value - low) / tall * (bottom - 30):.1f}"
        for step, value in points
    )
    parts = [
        f'<text x="0" y="14" class="title">{escape(title)}</text>',
        f'<text x="{_LEFT - 8}" y="34" text-anchor="end">{high:.3f}</text>',
        f'<text x="{_LEFT - 8}" y="{bottom}" text-anchor="end">{low:.3f}</text>',
        f'<text x="{_LEFT}" y="{height - 4}">step {min(steps)}</text>',
        f'<text x="{_WIDTH - 20}" y="{height - 4}" text-anchor="end">step {max(steps)}</text>',
        f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
    ]
    return _svg(parts, height)


def radar(title: str, shares: Mapping[str, Mapping[str, float]]) -> str:
    """One polygon per stage over the suites (suite -> stage -> share of 0 to 1; every suite has every stage)."""
    middle, top = (_WIDTH / 2, _RADIUS + 60), len(shares)

    def place(axis: int, share: float) -> tuple[float, float]:
        angle = 2 * math.pi * axis / top - math.pi / 2
        return middle[0] + _RADIUS * share * math.cos(angle), middle[1] + _RADIUS * share * math.sin(angle)

    def polygon(values: Sequence[float], style: str) -> str:
        points = " ".join("{:.1f},{:.1f}".format(*place(axis, value)) for axis, value in enumerate(values))
        return f'<polygon points="{points}" {style}/>'

    parts = [f'<text x="0" y="14" class="title">{escape(title)}</text>']
    parts += [polygon([ring] * top, 'fill="none" stroke="#ccc"') for ring in _RINGS]
    for axis, suite in enumerate(shares):
        (x, y), (far_x, far_y) = place(axis, 1), place(axis, 1.1)
        anchor = "middle" if abs(far_x - middle[0]) < 1 else "start" if far_x > middle[0] else "end"
        parts += [
            f'<line x1="{middle[0]:.1f}" y1="{middle[1]:.1f}" x2="{x:.1f}" y2="{y:.1f}" stroke="#ccc"/>',
            f'<text x="{far_x:.1f}" y="{far_y + 4:.1f}" text-anchor="{anchor}">{escape(suite)}</text>',
        ]
    for row, stage in enumerate(next(iter(shares.values()))):
        colour, y = COLOURS.get(stage, "#555"), 34 + 18 * row
        values = [by_stage[stage] for by_stage in shares.values()]
        parts += [
            polygon(values, f'fill="{colour}" fill-opacity="0.1" stroke="{colour}" stroke-width="2"'),
            f'<rect x="0" y="{y - 10}" width="12" height="12" fill="{colour}"/>',
            f'<text x="18" y="{y}">{escape(stage)}</text>',
        ]
    return _svg(parts, 2 * _RADIUS + 100)


def _svg(parts: list[str], height: int) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img">{"".join(parts)}</svg>'
