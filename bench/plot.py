"""Latency against rate as an SVG, without a library: it is one picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 40, 50
_COLOURS: Final = ("#1b6ca8", "#d1495b", "#3a7d44", "#8f5fa8", "#c77d0a", "#555555")

Points = Sequence[tuple[float, float]]


def plot(title: str, x_label: str, y_label: str, lines: Mapping[str, Points]) -> str:
    """Lines by name; y is logarithmic."""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)) + 1e-9)
    scale = _Scale(max(xs), low, max(high, low + 1))
    parts = [*_axes(scale, x_label, y_label)]
    for number, (name, points) in enumerate(lines.items()):
        parts += _line(scale, name, points, number)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
    background = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
    heading = f'<text x="{_LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>'
    return "\n".join([f'{head} font-size="12">', background, heading, *parts, "</svg>"]) + "\n"


class _Scale:
    """Where values stand."""

    def __init__(self, widest: float, low: int, high: int) -> None:
        self.widest = widest
        self.low = low
        self.high = high

    def x(self, value: float) -> float:
        return _LEFT + value / self.widest * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)


def _axes(scale: _Scale, x_label: str, y_label: str) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for exponent in range(scale.low, scale.high + 1):
        y = scale.y(10.0**exponent)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**exponent:g}</text>'
    for step in range(6):
        value = scale.widest * step / 5
        x = scale.x(value)
        yield f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}" stroke="#333"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{value:,.0f}</text>'
    yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#333"/>'
    yield f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>'
    yield (
        f'<text x="16" y="{(_TOP + bottom) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(_TOP + bottom) / 2})">{escape(y_label)}</text>'
    )


def _line(scale: _Scale, name: str, points: Points, number: int) -> Iterator[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    coordinates = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in points)
    yield f'<polyline points="{coordinates}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{scale.x(x):.1f}" cy="{scale.y(y):.1f}" r="3" fill="{colour}"/>'
    y = _TOP + 10 + 20 * number
    x = _WIDTH - _RIGHT + 15
    yield f'<line x1="{x}" y1="{y}" x2="{x + 20}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
    yield f'<text x="{x + 26}" y="{y + 4}">{escape(name)}</text>'
