"""What people and programs read: tables, lines, JSON."""

from __future__ import annotations

import json
from enum import StrEnum

from rich.console import Console
from rich.table import Table

from abi.gen.reasons import Reason
from dpu_app.replay.answer import PASS_REASON_MAX, reason_label
from dpu_app.replay.diff import Changes
from dpu_app.replay.names import Names, described
from dpu_app.replay.native import Changed
from dpu_app.replay.run import Judged, Outcome

REASON_WIDTH = max(len(reason.name) for reason in Reason if reason < 100)


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


def frame_line(judged: Judged, targets: list[str], names: Names) -> str:
    """One frame for people."""
    answers = [names.text(answer) for answer in judged.answers]
    if judged.alike:
        told = answers[0]
    else:
        told = "DIFFERS " + " | ".join(f"{t}: {a}" for t, a in zip(targets, answers, strict=True))
    return f"#{judged.index} {described(judged.frame)}: {told}"


def frame_json(judged: Judged, targets: list[str], names: Names) -> str:
    """One frame for programs; frames as hex."""
    answers = {target: names.row(answer) for target, answer in zip(targets, judged.answers, strict=True)}
    row = {
        "frame": judged.index,
        "clock_ns": judged.clock_ns,
        "bytes": len(judged.frame),
        "equal": judged.alike,
        "original": judged.frame.hex(),
        "answers": answers,
    }
    return json.dumps(row, separators=(",", ":"))


def outcome_json(outcome: Outcome, names: Names, clock: str) -> dict[str, object]:
    """The whole run for programs."""
    targets = {target: sums.row(names) for target, sums in outcome.sums.items()}
    compared = {}
    if len(targets) > 1:
        compared = {"compared": outcome.compared, "not_compared": outcome.not_compared}
    return {"clock": clock, "differing": outcome.differing, **compared, "targets": targets, "notes": outcome.notes}


def outcome_table(outcome: Outcome, names: Names, clock: str) -> None:
    """The whole run for people."""
    table = Table(box=None, pad_edge=False)
    table.add_column("reason", no_wrap=True, min_width=REASON_WIDTH)
    table.add_column("verdict")
    for target in outcome.sums:
        table.add_column(f"{target} frames", justify="right")
        table.add_column("bytes", justify="right")
    for reason in sorted({number for sums in outcome.sums.values() for number in sums.reasons}):
        cells = [sums.reasons.get(reason, (0, 0)) for sums in outcome.sums.values()]
        counts = [f"{number:,}" for cell in cells for number in cell]
        table.add_row(reason_label(reason), "pass" if reason <= PASS_REASON_MAX else "drop", *counts)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for target, sums in outcome.sums.items():
        dropped = sums.asked - sums.passed
        console.print(f"{target}: {sums.asked:,} frames, {sums.passed:,} pass, {dropped:,} drop")
        groups = {names.group_path(n): frames for n, frames in sorted(sums.groups.items()) if n}
        if groups:
            shares = ", ".join(f"{name} {frames:,}" for name, frames in groups.items())
            console.print(f"{target} listener groups: {shares}")
    console.print(f"clock: {clock}")
    if len(outcome.sums) > 1:
        console.print(comparison(outcome))
    notes(console, outcome.notes)


def comparison(outcome: Outcome) -> str:
    """What the comparison of several targets says, and about how many frames."""
    if not outcome.compared:
        return f"nothing was compared: {outcome.not_compared:,} frames were not asked about"
    said = f"{outcome.differing:,} frames differ" if outcome.differing else "no frame differs"
    left = f", {outcome.not_compared:,} not compared by every target" if outcome.not_compared else ""
    return f"{said} ({outcome.compared:,} compared{left})"


def notes(console: Console, lines: list[str]) -> None:
    """What people have to know beside the numbers."""
    for line in lines:
        console.print(f"note: {line}")


def change_line(changed: Changed, rule: str, effect: str) -> str:
    """One change for people."""
    return f"#{changed.index} {described(changed.frame)}: {effect} ({rule})"


def change_json(changed: Changed, rule: str, effect: str, names: tuple[Names, Names]) -> str:
    """One change for programs."""
    a, b = (name.row(answer) for name, answer in zip(names, changed.answers, strict=True))
    row = {"frame": changed.index, "clock_ns": changed.clock_ns, "original": changed.frame.hex()}
    return json.dumps(row | {"rule": rule, "effect": effect, "a": a, "b": b}, separators=(",", ":"))


def changes_json(changes: Changes, clock: str) -> dict[str, object]:
    """The whole difference for programs."""
    rules = [vars(rule) for rule in sorted(changes.rules.values(), key=lambda rule: -rule.frames)]
    return {
        "clock": clock,
        "compared": changes.compared,
        "not_compared": changes.not_compared,
        "changed": changes.frames,
        "rules": rules,
        "notes": changes.notes,
    }


def changes_table(changes: Changes, clock: str) -> None:
    """The whole difference for people."""
    console = Console(soft_wrap=True, highlight=False)
    rules = sorted(changes.rules.values(), key=lambda rule: -rule.frames)
    widest = max((len(rule.effect) for rule in rules), default=0)
    if rules:
        console.print(f"{'frames':>12}{'bytes':>16}{'first':>12}  {'effect':<{widest}}  rule")
    for rule in rules:
        counts = f"{rule.frames:>12,}{rule.bytes:>16,}{f'#{rule.first_index}':>12}"
        console.print(f"{counts}  {rule.effect:<{widest}}  {rule.rule}", markup=False)
    console.print(f"{changes.frames:,} of {changes.compared:,} frames change")
    if changes.not_compared:
        console.print(f"{changes.not_compared:,} frames were not compared")
    console.print(f"clock: {clock}")
    notes(console, changes.notes)
