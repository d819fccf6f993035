"""Frames through one or more targets, in bounded memory: sums, single answers, and where targets differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dpu_app.replay.answer import Answer, alike
from dpu_app.replay.inputs import InputError
from dpu_app.replay.native import Frames, Loop, XdpProgram
from dpu_app.replay.sums import Sums
from dpu_app.replay.target import FrameTarget

BATCH_FRAMES = 4_096
BATCH_BYTES = 4 << 20
Progress = Callable[[Frames], None]


@dataclass(frozen=True)
class Judged:
    """One frame and what each target said of it."""

    index: int
    clock_ns: int
    frame: bytes
    answers: Sequence[Answer | None]
    alike: bool


@dataclass
class Outcome:
    """What came of a run."""

    sums: dict[str, Sums]
    differing: int = 0
    compared: int = 0
    """Frames that several targets answered."""
    not_compared: int = 0
    """Frames that not every target could be asked about."""
    notes: list[str] = field(default_factory=list)


def run_native(program: XdpProgram, frames: Frames, progress: Progress) -> Outcome:
    """Sums only, by the native loop alone: as fast as the kernel answers. Raises TargetFailed."""
    loop, more = Loop([program]), True
    while more:
        _, more = loop.slice(frames)
        progress(frames)
    short, long = loop.not_asked
    notes = [f"{long} frames beyond 3,520 bytes were not asked about: capture with receive offload off"] if long else []
    notes += [f"{short} frames below 14 bytes were not asked about"] if short else []
    return Outcome({"xdp": loop.sums()[0]}, notes=notes + input_notes(frames))


def run_batches(
    targets: Sequence[FrameTarget], frames: Frames, progress: Progress, each: Callable[[Judged], None]
) -> Outcome:
    """Every frame through every target, with `each` told of all of them. Raises TargetFailed, InputError."""
    outcome = Outcome({target.name: Sums() for target in targets})
    blind = {name for target in targets for name in target.blind}
    index = 0
    while batch := read(frames):
        judged = [target.judge(batch) for target in targets]
        for (clock_ns, frame), *answers in zip(batch, *judged, strict=True):
            for target, answer in zip(targets, answers, strict=True):
                outcome.sums[target.name].add(answer, len(frame))
            same = alike(answers, blind)
            outcome.differing += not same
            outcome.compared += len(answers) - answers.count(None) > 1
            outcome.not_compared += None in answers
            each(Judged(index, clock_ns, frame, answers, same))
            index += 1
        progress(frames)
    outcome.notes += [note for target in targets for note in target.notes] + input_notes(frames)
    return outcome


def read(frames: Frames) -> list[tuple[int, bytes]]:
    """The next batch; empty at the end. Raises InputError."""
    try:
        return frames.read(BATCH_FRAMES, BATCH_BYTES)
    except ValueError as error:
        raise InputError(str(error)) from error


def input_notes(frames: Frames) -> list[str]:
    """What people have to know of the input."""
    notes = []
    if frames.frames_cut:
        notes.append(f"{frames.frames_cut} frames were cut by the capture (--cut says what is done with them)")
    if frames.ended_early:
        notes.append("the capture ends inside a record: it was still written, or was cut")
    return notes
