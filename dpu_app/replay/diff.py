"""Two policies, the same frames: what changes, and which entry is behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from abi.gen.reasons import Reason
from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay.answer import Answer, reason_label
from dpu_app.replay.names import described
from dpu_app.replay.native import Changed, Frames, Loop, XdpProgram
from dpu_app.replay.rules import Rules, responsible
from dpu_app.replay.run import Progress, input_notes, read
from dpu_app.replay.target import FrameTarget

RULES_MAX = 10_000
OTHERS = "other rules"


@dataclass
class Rule:
    """A change of the tables, and the frames that it is behind."""

    rule: str
    effect: str
    frames: int = 0
    bytes: int = 0
    first_index: int = 0
    example: str = ""


@dataclass
class Changes:
    """What changed, by rule and effect; beyond RULES_MAX of them all others are one."""

    rules: dict[tuple[str, str], Rule] = field(default_factory=dict)
    frames: int = 0
    compared: int = 0
    not_compared: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, rule: str, effect: str, changed: Changed) -> None:
        """One more frame that changed."""
        key = (rule, effect)
        if key not in self.rules and len(self.rules) >= RULES_MAX:
            key = (OTHERS, "")
        found = self.rules.get(key)
        if found is None:
            found = Rule(*key, first_index=changed.index, example=described(changed.frame))
            self.rules[key] = found
        found.frames += 1
        found.bytes += len(changed.frame)
        self.frames += 1


class Differ:
    """Groups the frames about which two plans differ."""

    def __init__(self, a: PlanPacket, b: PlanPacket) -> None:
        self.a, self.b = Rules(a), Rules(b)
        self.changes = Changes()

    def add(self, changed: Changed) -> tuple[str, str]:
        """Rule and effect of one frame, counted."""
        a, b = changed.answers
        rule = responsible(changed.frame, (self.a, a), (self.b, b))
        effect = f"{short(a)} -> {short(b)}"
        self.changes.add(rule, effect, changed)
        return rule, effect


def short(answer: Answer) -> str:
    """`pass :8443`, `pass packet_not_vip`, or `drop acl_denied`."""
    if not answer.passed:
        return f"drop {reason_label(answer.reason)}"
    if answer.port:
        return f"pass :{answer.port}"
    return f"pass {reason_label(answer.reason)}" if answer.reason == Reason.PACKET_NOT_VIP else "pass"


def changes_way(a: Answer, b: Answer) -> bool:
    """Whether verdict, reason to drop, or rewrite are others. That a flow table was full changes none of them."""
    return a.frame != b.frame or (not b.passed and a.reason != b.reason) or a.passed != b.passed


def native_changes(
    programs: tuple[XdpProgram, XdpProgram], frames: Frames, progress: Progress, changes: Changes
) -> Iterator[Changed]:
    """What two XDP programs differ about, compared by the native loop. Raises TargetFailed."""
    loop, more = Loop(programs, "differing"), True
    while more:
        kept, more = loop.slice(frames)
        yield from kept
        progress(frames)
    changes.not_compared = sum(loop.not_asked)
    changes.compared = frames.frames - changes.not_compared
    if changes.not_compared:
        changes.notes.append(f"{changes.not_compared} frames below 14 or beyond 3,520 bytes were not asked about")
    changes.notes += input_notes(frames)


def batch_changes(
    targets: tuple[FrameTarget, FrameTarget], frames: Frames, progress: Progress, changes: Changes
) -> Iterator[Changed]:
    """The same for two targets of any kind. Raises TargetFailed, InputError."""
    index = 0
    while batch := read(frames):
        for (clock_ns, frame), a, b in zip(batch, *(target.judge(batch) for target in targets), strict=True):
            if a and b:
                changes.compared += 1
                if changes_way(a, b):
                    yield Changed(index, clock_ns, frame, (a, b))
            else:
                changes.not_compared += 1
            index += 1
        progress(frames)
    changes.notes += input_notes(frames)
