"""`make bench-packet`: nanoseconds per frame of the XDP pipeline beside its own parts, by size of its tables."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import machine  # noqa: E402 (after the path)
from bench.packet import measure, report  # noqa: E402 (after the path)
from dpu_app.targets.base import TargetUnavailable  # noqa: E402 (after the path)

RESULTS = ROOT / "bench/results"


def say(text: str) -> None:
    """A progress line."""
    print(f"bench-packet: {text}", file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="each figure is the median over so many rounds")
    parser.add_argument("--repeat", type=int, default=1_000_000, help="frames in a round")
    parser.add_argument("--quick", action="store_true", help="the settings of the bar alone")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of the table, the picture and the figures"
    )
    return parser.parse_args()


def main() -> int:
    """Entry point. 0, 1 where the bar does not hold, 2 where the packet programs cannot be loaded here."""
    wanted = parsed()
    before, began = machine.busy_us(), time.monotonic()
    figures: list[measure.Figure] = []
    try:
        for setting in measure.settings(wanted.quick):
            figures += measure.measured(setting, wanted.rounds, wanted.repeat, say)
    except TargetUnavailable as error:
        say(str(error))
        return 2
    used = machine.busy_us() - before
    others = max(used / 1e6 / (time.monotonic() - began) - 1.0, 0.0)
    text = "\n\n".join(
        [
            machine.describe(),
            f"{wanted.rounds} rounds of {wanted.repeat:,} frames, one core; others used {others:.2f} cores meanwhile",
            report.table(figures),
            report.verdict(figures),
        ]
    )
    print(text)
    wanted.results.mkdir(parents=True, exist_ok=True)
    stem = wanted.results / time.strftime("packet-%Y%m%d-%H%M%S")
    stem.with_suffix(".md").write_text(text + "\n")
    stem.with_suffix(".svg").write_text(report.svg(figures))
    stem.with_suffix(".json").write_text(json.dumps([dataclasses.asdict(figure) for figure in figures], indent=1))
    say(f"written to {stem}.md, .svg and .json")
    return 0 if report.holds(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
