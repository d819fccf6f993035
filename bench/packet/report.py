"""The table and the picture of a run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.packet.measure import CEILING, Figure, ratio, sum_of_parts
from bench.packet.rig import PARTS

STAGE_COLOURS = {
    "parse": "#888888",
    "vip": "#5b7db1",
    "acl": "#4c956c",
    "meter": "#a06cd5",
    "flow": "#e4572e",
    "rewrite": "#f2a65a",
    "count": "#2f2f2f",
}
BAR_HEIGHT, GAP, LEFT, WIDTH, TOP = 22, 12, 270, 560, 54


def by_setting(figures: Sequence[Figure]) -> dict[str, dict[str, float]]:
    """Setting -> program -> median."""
    found: dict[str, dict[str, float]] = {}
    for figure in figures:
        found.setdefault(figure.setting, {})[figure.program] = figure.ns
    return found


def table(figures: Sequence[Figure]) -> str:
    """Markdown. Every figure is with the floor in it, which is what BPF_PROG_TEST_RUN and the changing frame cost."""
    head = "| setting | floor | parse | " + " | ".join(f"+{part}" for part in PARTS)
    lines = [head + " | sum of parts | pipeline | ratio | new flow |", "|---" * (len(PARTS) + 7) + "|"]
    for name, row in by_setting(figures).items():
        if "parse" not in row:
            blanks = " | ".join("" for _ in PARTS)
            lines.append(f"| {name} | {row['floor']:.0f} | | {blanks} | | **{row['whole']:.0f}** | | |")
            continue
        parts = " | ".join(f"{row[part] - row['parse']:.0f}" for part in PARTS)
        new = f"{row['new flow']:.0f}" if "new flow" in row else ""
        lines.append(
            f"| {name} | {row['floor']:.0f} | {row['parse']:.0f} | {parts} | {sum_of_parts(row):.0f} "
            f"| **{row['whole']:.0f}** | {ratio(row):.2f} | {new} |"
        )
    return "\n".join(lines)


def verdict(figures: Sequence[Figure]) -> str:
    """Whether the bar holds, in the settings that it is about."""
    rows = ratios(figures)
    worst = max(rows, key=lambda name: rows[name])
    word = "holds" if holds(figures) else "does not hold"
    return f"bar of {CEILING} times the sum of the parts {word}: worst {rows[worst]:.2f} ({worst})"


def ratios(figures: Sequence[Figure]) -> dict[str, float]:
    """Setting -> the pipeline over the sum of its parts."""
    return {name: ratio(row) for name, row in by_setting(figures).items() if "parse" in row}


def holds(figures: Sequence[Figure]) -> bool:
    """Whether the pipeline is within the bar everywhere."""
    return max(ratios(figures).values()) <= CEILING


def svg(figures: Sequence[Figure]) -> str:
    """A bar a setting: its parts one after the other; a mark where the whole pipeline is."""
    rows = {name: row for name, row in by_setting(figures).items() if "parse" in row}
    longest = max(max(sum_of_parts(row), row["whole"]) for row in rows.values())
    height = TOP + len(rows) * (BAR_HEIGHT + GAP) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 70} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{LEFT + WIDTH + 70}" height="{height}" fill="white"/>',
        '<text x="10" y="20" font-size="14">ns per frame: the parts, and where the whole pipeline is (line)</text>',
    ]
    for index, (stage, colour) in enumerate(STAGE_COLOURS.items()):
        lines.append(f'<rect x="{LEFT + index * 80}" y="30" width="10" height="10" fill="{colour}"/>')
        lines.append(f'<text x="{LEFT + 14 + index * 80}" y="40">{stage}</text>')
    for index, (name, row) in enumerate(rows.items()):
        lines += bar(name, row, TOP + index * (BAR_HEIGHT + GAP), WIDTH / longest)
    return "\n".join([*lines, "</svg>", ""])


def bar(name: str, row: dict[str, float], y: int, scale: float) -> list[str]:
    """One setting."""
    lines = [f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{name}</text>']
    x = float(LEFT)
    for stage, colour in STAGE_COLOURS.items():
        ns = row[stage] - (row["parse"] if stage != "parse" else 0)
        width = max(ns, 0) * scale
        lines.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>')
        x += width
    whole = LEFT + row["whole"] * scale
    lines.append(f'<path d="M{whole:.1f} {y - 4}v{BAR_HEIGHT + 8}" stroke="black" stroke-width="2"/>')
    lines.append(f'<text x="{max(x, whole) + 6:.1f}" y="{y + 15}">{row["whole"]:.0f}</text>')
    return lines
