"""The picture: a panel for each scenario, a bar for each side, its range over the rounds as a line. Plain SVG."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from html import escape

COLOURS = {
    "nginx": "#4c956c",
    "haproxy": "#5b7db1",
    "envoy": "#a06cd5",
    "dpu-app-shm": "#e4572e",
    "dpu-app-tcp": "#f2a65a",
}
OTHER = "#888888"
_COLUMNS = 3
_PANEL_WIDTH, _BAR, _GAP, _TITLE, _MARGIN = 330, 17, 5, 34, 16
_NAME_WIDTH, _VALUE_WIDTH = 84, 58


@dataclasses.dataclass(frozen=True)
class Bar:
    """CPU time of one side in one scenario, in microseconds per `unit`."""

    scenario: str
    side: str
    unit: str
    us: float
    us_min: float
    us_max: float


def svg(bars: Sequence[Bar]) -> str:
    """The whole picture; each panel has a scale of its own, from zero."""
    panels: dict[str, list[Bar]] = {}
    for bar in bars:
        panels.setdefault(bar.scenario, []).append(bar)
    grid = [list(panels.items())[at : at + _COLUMNS] for at in range(0, len(panels), _COLUMNS)]
    heights = [max(_height(len(panel)) for _, panel in line) for line in grid]
    width, height = _COLUMNS * _PANEL_WIDTH + _MARGIN, sum(heights) + 2 * _MARGIN + 18
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="{_MARGIN + 6}" font-size="14">CPU microseconds of the proxy: median of the rounds, '
        "with their range (less is better)</text>",
    ]
    top = 2 * _MARGIN + 4
    for line, tall in zip(grid, heights, strict=True):
        for column, (scenario, panel) in enumerate(line):
            parts += _panel(_MARGIN + column * _PANEL_WIDTH, top, scenario, panel)
        top += tall
    return "\n".join([*parts, "</svg>"]) + "\n"


def _height(bars: int) -> int:
    return _TITLE + bars * (_BAR + _GAP) + _GAP


def _panel(left: int, top: int, scenario: str, bars: Sequence[Bar]) -> Iterable[str]:
    title = f"{scenario}, per {bars[0].unit}"
    yield f'<text x="{left}" y="{top + 22}" font-weight="bold">{escape(title)}</text>'
    room = _PANEL_WIDTH - _NAME_WIDTH - _VALUE_WIDTH - _MARGIN
    scale = room / (max(bar.us_max for bar in bars) or 1.0)
    zero = left + _NAME_WIDTH
    for index, bar in enumerate(bars):
        y = top + _TITLE + index * (_BAR + _GAP)
        middle, text_y = y + _BAR / 2, y + _BAR - 4
        colour = COLOURS.get(bar.side, OTHER)
        yield f'<text x="{zero - 6}" y="{text_y}" text-anchor="end">{escape(bar.side)}</text>'
        yield f'<rect x="{zero}" y="{y}" width="{bar.us * scale:.1f}" height="{_BAR}" fill="{colour}"/>'
        low, high = zero + bar.us_min * scale, zero + bar.us_max * scale
        yield f'<line x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}" stroke="#222222"/>'
        yield f'<text x="{max(high, zero + bar.us * scale) + 5:.1f}" y="{text_y}">{bar.us:.1f}</text>'
