"""From single runs to rows, ratios, the files and the last block of lines."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import plot

OURS = ("dpu-app-shm", "dpu-app-tcp")
"""Names of our sides in samples: by the way from the fast path to its worker."""
DIRECT = "direct"
"""The back end without a proxy: what latencies are compared with."""
GROWTH_BASE = {"h1_c1000": "h1_c32", "h1_c10000": "h1_c32", "tenants_100": "tenants_1", "tenants_10000": "tenants_1"}
"""Scenario -> the one that its CPU time is divided by to show growth."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One side in one round of one scenario."""

    scenario: str
    side: str
    round: int
    unit: str
    """What the microseconds are per: request, event or handshake."""
    cpu_us: float
    """User + system microseconds of all proxy processes per unit."""
    behind_us: float
    """The same of what stands behind the proxy (back end, worker); shown, not counted."""
    units_per_s: float
    p50_us: float
    p99_us: float
    others_percent: float = 0.0
    """Of all cores, what processes that are not the bench's used meanwhile."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """Medians over the rounds of one side in one scenario."""

    scenario: str
    side: str
    unit: str
    rounds: int
    cpu_us: float
    cpu_us_min: float
    cpu_us_max: float
    behind_us: float
    units_per_s: float
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
        unit=samples[0].unit,
        rounds=len(samples),
        cpu_us=median("cpu_us"),
        cpu_us_min=min(sample.cpu_us for sample in samples),
        cpu_us_max=max(sample.cpu_us for sample in samples),
        behind_us=median("behind_us"),
        units_per_s=median("units_per_s"),
        p50_us=median("p50_us"),
        p99_us=median("p99_us"),
    )


def ratios(samples: Sequence[Sample]) -> dict[str, float]:
    """Our CPU time over a rival's: the median of the ratios of single rounds.

    `ratio_vs_<rival>_<scenario>` is ours over shared memory, `ratio_tcp_vs_<rival>_<scenario>` over TCP. Within a round
    the sides run one after another, so what disturbs the machine slowly disturbs both.
    """
    cpu = {(s.scenario, s.side, s.round): s.cpu_us for s in samples}
    found: dict[str, list[float]] = {}
    for ours in OURS:
        prefix = "ratio_vs" if ours == OURS[0] else f"ratio_{ours.rpartition('-')[2]}_vs"
        for (scenario, side, number), theirs in cpu.items():
            own = cpu.get((scenario, ours, number))
            if side not in (*OURS, DIRECT) and own is not None:
                found.setdefault(f"{prefix}_{side}_{scenario}", []).append(own / theirs)
    return {name: statistics.median(values) for name, values in found.items()}


def added(samples: Sequence[Sample]) -> dict[str, float]:
    """Latency that a side adds: its own minus the back end's without a proxy, in the same round; median of rounds.

    Also ours over each rival's, from these medians: `ratio_added_p50_vs_<rival>_<scenario>`.
    """
    direct = {(s.scenario, s.round): s for s in samples if s.side == DIRECT}
    found: dict[tuple[str, str, str], list[float]] = {}
    for sample in samples:
        base = direct.get((sample.scenario, sample.round))
        if sample.side != DIRECT and base is not None:
            for share in ("p50", "p99"):
                more = float(getattr(sample, f"{share}_us") - getattr(base, f"{share}_us"))
                found.setdefault((share, sample.side, sample.scenario), []).append(more)
    medians = {key: statistics.median(values) for key, values in found.items()}
    lines = {f"added_{share}_us_{_id(side)}_{name}": value for (share, side, name), value in medians.items()}
    for (share, side, name), theirs in medians.items():
        own = medians.get((share, OURS[0], name))
        if side not in OURS and own is not None and theirs > 0:
            lines[f"ratio_added_{share}_vs_{side}_{name}"] = own / theirs
    return lines


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """CPU time per request of a side with many connections or tenants over its own with few: 1.00 is flat."""
    cpu = {(row.scenario, row.side): row.cpu_us for row in rows(samples)}
    lines = {}
    for (scenario, side), many in cpu.items():
        few = cpu.get((GROWTH_BASE.get(scenario, ""), side))
        if few is not None:
            lines[f"growth_{_id(side)}_{scenario}_over_{GROWTH_BASE[scenario]}"] = many / few
    return lines


def last_block(samples: Sequence[Sample]) -> list[str]:
    """Lines `name=value` for machines: microseconds of every row, what stands behind, latency, growth, ratios."""
    every = rows(samples)
    lines = [f"cpu_us_{_id(row.side)}_{row.scenario}={row.cpu_us:.2f}" for row in every]
    lines += [f"behind_us_{_id(row.side)}_{row.scenario}={row.behind_us:.2f}" for row in every if row.side != DIRECT]
    lines += [f"{name}={value:.2f}" for name, value in added(samples).items()]
    lines += [f"{name}={value:.2f}" for name, value in growth(samples).items()]
    return lines + [f"{name}={value:.2f}" for name, value in ratios(samples).items()]


def _id(side: str) -> str:
    return side.replace("-", "_")


_COLUMNS = ("scenario", "side", "CPU us", "per", "(min to max)", "behind us", "per s", "p50 us", "p99 us")
_LEFT = ("scenario", "side", "per")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.scenario,
        row.side,
        f"{row.cpu_us:.1f}",
        row.unit,
        f"{row.cpu_us_min:.1f} to {row.cpu_us_max:.1f}",
        f"{row.behind_us:.1f}",
        f"{row.units_per_s:,.0f}",
        f"{row.p50_us:,.0f}",
        f"{row.p99_us:,.0f}",
    )


def show(samples: Sequence[Sample], console: Console) -> None:
    """Prints the table."""
    table = Table(*_COLUMNS)
    for index, name in enumerate(_COLUMNS):
        table.columns[index].justify = "left" if name in _LEFT else "right"
        table.columns[index].no_wrap = True
    previous = ""
    for row in rows(samples):
        if previous not in ("", row.scenario):
            table.add_section()
        previous = row.scenario
        table.add_row(*_cells(row))
    console.print(table)


def write(
    samples: Sequence[Sample], header: dict[str, str], failures: Sequence[str], folder: Path, name: str
) -> list[Path]:
    """Writes `<name>.md`, `.svg` and `.json` into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, picture, raw = (folder / f"{name}{end}" for end in (".md", ".svg", ".json"))
    markdown.write_text("\n".join(_markdown(samples, header, failures, picture.name)) + "\n")
    picture.write_text(
        plot.svg(
            [
                plot.Bar(r.scenario, r.side, r.unit, r.cpu_us, r.cpu_us_min, r.cpu_us_max)
                for r in rows(samples)
                if r.side != DIRECT
            ]
        )
    )
    document = {
        "header": header,
        "failures": list(failures),
        "rows": [dataclasses.asdict(row) for row in rows(samples)],
        "ratios": ratios(samples),
        "added": added(samples),
        "growth": growth(samples),
        "samples": [dataclasses.asdict(sample) for sample in samples],
    }
    raw.write_text(json.dumps(document, indent=1) + "\n")
    return [markdown, picture, raw]


def _markdown(
    samples: Sequence[Sample], header: dict[str, str], failures: Sequence[str], picture: str
) -> Iterable[str]:
    yield "# bench"
    yield ""
    yield from (f"* {name}: {value}" for name, value in header.items())
    yield from (f"* failed: {failure.splitlines()[0]}" for failure in failures)
    yield ""
    yield f"![CPU time of each side in each scenario]({picture})"
    yield ""
    yield "| " + " | ".join(_COLUMNS) + " |"
    yield "|" + " --- |" * len(_COLUMNS)
    yield from ("| " + " | ".join(_cells(row)) + " |" for row in rows(samples))
    yield ""
    yield "```"
    yield from last_block(samples)
    yield "```"
