"""From single runs to the table, the files and the last block of lines."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

OURS = "dpu-app"
"""Name of our side in samples."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One side in one round of one scenario."""

    scenario: str
    side: str
    round: int
    cpu_us: float
    """User + system microseconds of all proxy processes per answered request."""
    behind_us: float
    """The same of what stands behind the proxy (back end, worker); shown, not counted."""
    requests_per_s: float
    p50_us: float
    p99_us: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """Medians over the rounds of one side in one scenario."""

    scenario: str
    side: str
    cpu_us: float
    cpu_us_min: float
    cpu_us_max: float
    behind_us: float
    requests_per_s: float
    p50_us: float
    p99_us: float


def rows(samples: Sequence[Sample]) -> list[Row]:
    """One row for each scenario and side, in the order of their first sample."""
    keys = list(dict.fromkeys((sample.scenario, sample.side) for sample in samples))
    return [_row(*key, [s for s in samples if (s.scenario, s.side) == key]) for key in keys]


def _row(scenario: str, side: str, samples: list[Sample]) -> Row:
    def median(name: str) -> float:
        return float(statistics.median(getattr(sample, name) for sample in samples))

    return Row(
        scenario=scenario,
        side=side,
        cpu_us=median("cpu_us"),
        cpu_us_min=min(sample.cpu_us for sample in samples),
        cpu_us_max=max(sample.cpu_us for sample in samples),
        behind_us=median("behind_us"),
        requests_per_s=median("requests_per_s"),
        p50_us=median("p50_us"),
        p99_us=median("p99_us"),
    )


def ratios(samples: Sequence[Sample]) -> dict[str, float]:
    """Our CPU time over a rival's, `ratio_vs_<rival>_<scenario>`: median of the ratios of single rounds.

    Within a round the sides run one after another, so what disturbs the machine slowly disturbs both.
    """
    cpu = {(s.scenario, s.side, s.round): s.cpu_us for s in samples}
    found: dict[str, list[float]] = {}
    for (scenario, side, number), theirs in cpu.items():
        ours = cpu.get((scenario, OURS, number))
        if side != OURS and ours is not None:
            found.setdefault(f"ratio_vs_{side}_{scenario}", []).append(ours / theirs)
    return {name: statistics.median(values) for name, values in found.items()}


def last_block(samples: Sequence[Sample]) -> list[str]:
    """Lines `name=value` for machines: microseconds of every row, then the ratios."""
    lines = [f"cpu_us_{row.side.replace('-', '_')}_{row.scenario}={row.cpu_us:.2f}" for row in rows(samples)]
    return lines + [f"{name}={value:.2f}" for name, value in ratios(samples).items()]


_COLUMNS = ("scenario", "side", "CPU us/request", "(min to max)", "behind us/request", "requests/s", "p50 us", "p99 us")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.scenario,
        row.side,
        f"{row.cpu_us:.1f}",
        f"{row.cpu_us_min:.1f} to {row.cpu_us_max:.1f}",
        f"{row.behind_us:.1f}",
        f"{row.requests_per_s:,.0f}",
        f"{row.p50_us:,.0f}",
        f"{row.p99_us:,.0f}",
    )


def show(samples: Sequence[Sample], console: Console) -> None:
    """Prints the table."""
    table = Table(*_COLUMNS)
    for index, name in enumerate(_COLUMNS):
        table.columns[index].justify = "left" if name in ("scenario", "side") else "right"
        table.columns[index].no_wrap = True
    previous = ""
    for row in rows(samples):
        if previous not in ("", row.scenario):
            table.add_section()
        previous = row.scenario
        table.add_row(*_cells(row))
    console.print(table)


def write(samples: Sequence[Sample], header: dict[str, str], folder: Path, name: str) -> tuple[Path, Path]:
    """Writes `<name>.md` and `<name>.json` into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, raw = folder / f"{name}.md", folder / f"{name}.json"
    markdown.write_text("\n".join(_markdown(samples, header)) + "\n")
    document = {
        "header": header,
        "rows": [dataclasses.asdict(row) for row in rows(samples)],
        "ratios": ratios(samples),
        "samples": [dataclasses.asdict(sample) for sample in samples],
    }
    raw.write_text(json.dumps(document, indent=1) + "\n")
    return markdown, raw


def _markdown(samples: Sequence[Sample], header: dict[str, str]) -> Iterable[str]:
    yield "# bench"
    yield ""
    yield from (f"* {name}: {value}" for name, value in header.items())
    yield ""
    yield "| " + " | ".join(_COLUMNS) + " |"
    yield "|" + " --- |" * len(_COLUMNS)
    yield from ("| " + " | ".join(_cells(row)) + " |" for row in rows(samples))
    yield ""
    yield "```"
    yield from last_block(samples)
    yield "```"
