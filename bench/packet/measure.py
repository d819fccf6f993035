"""What is measured: settings, rounds, and the figures that follow from them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator

from bench.packet.rig import ALL, PARTS, BenchRig, Setting

FLOWS_MAX = 131_072
NEW_FLOWS = 65_536
SWEEP_FLOWS = (1, 1_024, 8_192, 65_536)
SWEEP_PREFIXES = (1, 1_024, 10_000, 100_000)
CEILING = 1.2
"""The bar: the pipeline takes at most this many times the sum of its parts."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """Nanoseconds a frame of one program in one setting: median, least and most over the rounds."""

    setting: str
    program: str
    ns: float
    ns_min: float
    ns_max: float


def label(setting: Setting) -> str:
    """`IPv4, 64 Ki flows, 10,000 prefixes`."""
    what = f"IPv{setting.family}, {setting.flows:,} flow{'s' * (setting.flows > 1)}, {setting.prefixes:,} prefixes"
    return what + (", denied" if setting.denied else "")


def settings(quick: bool) -> list[Setting]:
    """The points of the table; the two of the bar come first."""
    named = [Setting(), Setting(flows=65_536, prefixes=10_000), Setting(denied=True, prefixes=10_000)]
    named += [Setting(family=6), Setting(family=6, flows=65_536, prefixes=10_000)]
    if quick:
        return named[:3]
    sweep = [Setting(flows=flows) for flows in SWEEP_FLOWS[1:]]
    return named + sweep + [Setting(prefixes=prefixes) for prefixes in SWEEP_PREFIXES[1:]]


def programs_of(setting: Setting) -> tuple[str, ...]:
    """A denied frame ends in the ACL: there is nothing to take apart."""
    return ("floor", "whole") if setting.denied else ALL


def measured(setting: Setting, rounds: int, repeat: int, say: Callable[[str], None]) -> Iterator[Figure]:
    """All programs in turn, round by round, so that what disturbs one disturbs all. Raises TargetUnavailable."""
    say(label(setting))
    rig = BenchRig(setting)
    try:
        times: dict[str, list[float]] = {}
        for _ in range(rounds):
            for program in programs_of(setting):
                times.setdefault(program, []).append(rig.ns(program, repeat))
            if not setting.denied and setting.flows > 1:
                rig.forget_flows()
                times.setdefault("new flow", []).append(rig.ns("whole", min(setting.flows, NEW_FLOWS)))
    finally:
        rig.close()
    for program, values in times.items():
        yield Figure(label(setting), program, statistics.median(values), min(values), max(values))


def sum_of_parts(figures: dict[str, float]) -> float:
    """Parser, and what each stage adds to it."""
    return figures["parse"] + sum(figures[part] - figures["parse"] for part in PARTS)


def ratio(figures: dict[str, float]) -> float:
    """The pipeline over the sum of its parts."""
    return figures["whole"] / sum_of_parts(figures)
