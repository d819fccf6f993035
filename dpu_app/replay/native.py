"""The native half of the rig: frames out of captures, and the loop over XDP programs. The one file that imports it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dpu_app.replay.answer import Answer
from dpu_app.replay.sums import Sums
from dpu_app.replay.target import TargetFailed, Timed
from dpu_fastpath import Frames, XdpReplay

__all__ = ["Changed", "Frames", "Loop", "NativeTarget", "Sums", "XdpProgram"]

Keep = Literal["nothing", "differing", "everything"]
SLICE_FRAMES = 100_000
"""About a tenth of a second: how often progress is shown, and Ctrl-C heard."""
NOTE_LENGTH = "frames below 14 and beyond 3,520 bytes are not asked about: the kernel's test run takes none"


@dataclass(frozen=True)
class XdpProgram:
    """A program compiled for replay: descriptors of the program and of its memory-mapped `replay_io`, both borrowed."""

    program_fd: int
    io_fd: int


@dataclass(frozen=True)
class Changed:
    """A frame, and what each program said of it; nothing where the kernel cannot be asked."""

    index: int
    clock_ns: int
    frame: bytes
    answers: tuple[Answer, ...]


class Loop:
    """One or two programs that are asked about every frame of a source, slice by slice."""

    def __init__(self, programs: Sequence[XdpProgram], keep: Keep = "nothing") -> None:
        """Raises TargetFailed."""
        try:
            self._inner = XdpReplay([(program.program_fd, program.io_fd) for program in programs], keep)
        except ValueError as error:
            raise TargetFailed(str(error)) from error

    def slice(self, frames: Frames, frames_max: int = SLICE_FRAMES) -> tuple[list[Changed], bool]:
        """What is kept of the next frames, and whether there may be more. Raises TargetFailed."""
        try:
            kept, more = self._inner.slice(frames, frames_max)
        except ValueError as error:
            raise TargetFailed(str(error)) from error
        return [
            Changed(index, clock_ns, frame, tuple(Answer(*answer) for answer in answers))
            for index, clock_ns, frame, answers in kept
        ], more

    @property
    def differing(self) -> int:
        """Frames about which the two differ."""
        return self._inner.totals[3]

    @property
    def not_asked(self) -> tuple[int, int]:
        """Frames that were too short, and too long, for the kernel's test run."""
        _, short, long, _ = self._inner.totals
        return short, long

    def sums(self) -> list[Sums]:
        """Of each program."""
        short, long = self.not_asked
        return [
            Sums(passed, {reason: (n, size) for reason, n, size in reasons}, dict(services), dict(groups), short + long)
            for passed, reasons, services, groups in self._inner.counts()
        ]


class NativeTarget:
    """An XDP program as a target among others, asked in batches."""

    name = "xdp"
    notes: tuple[str, ...] = (NOTE_LENGTH,)
    blind: tuple[str, ...] = ()

    def __init__(self, program: XdpProgram) -> None:
        self.program = program
        self._loop = Loop([program], "everything")

    def judge(self, frames: Sequence[Timed]) -> list[Answer | None]:
        """One answer a frame."""
        source, answers, more = Frames.given(list(frames)), list[Answer | None](), True
        while more:
            kept, more = self._loop.slice(source, len(frames) + 1)
            answers += [one.answers[0] if one.answers else None for one in kept]
        return answers

    def close(self) -> None:
        """The program is its maker's."""
