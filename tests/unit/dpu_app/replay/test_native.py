"""The native half as Python sees it: sources, and what is said of descriptors that are of no use."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpu_app.replay.native import Frames, Loop, XdpProgram
from dpu_app.replay.pcap_out import PcapWriter
from dpu_app.replay.target import TargetFailed

FRAMES = [(1, b"a" * 60), (2_000_000_003, b"b" * 14), (1_700_000_000_123_456_789, b"c" * 1514)]


def read(frames: Frames) -> list[tuple[int, bytes]]:
    found = []
    while batch := frames.read(2, 1 << 20):
        assert len(batch) <= 2
        found += batch
    return found


def test_what_is_written_as_a_capture_reads_back_to_the_nanosecond(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    with PcapWriter(path) as writer:
        for clock_ns, frame in FRAMES:
            writer.write(clock_ns, frame)
    source = Frames.capture(str(path), "pad")
    assert read(source) == FRAMES
    assert source.progress == (path.stat().st_size, path.stat().st_size)
    assert (source.frames, source.frames_cut, source.ended_early) == (3, 0, False)


def test_a_batch_ends_when_it_has_enough_bytes() -> None:
    assert [len(Frames.given(FRAMES).read(10, size)) for size in (1, 61, 10_000)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Frames.capture("/nowhere/x.pcap", "pad"), "check the path"),
        (lambda: Frames.capture("/dev/null", "pad"), "too short"),
        (lambda: Frames.capture("/dev/null", "guess"), "cut is pad, keep or skip"),
        (lambda: Frames.generated("storm", 1, 1, 1, []), "flood, scan or mix"),
    ],
)
def test_a_source_that_cannot_be_says_why(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]  # a lambda of the table


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ([], "1 to 2 programs"),
        ([XdpProgram(-1, -1)], "BPF_F_MMAPABLE"),
        ([XdpProgram(-1, -1)] * 3, "1 to 2 programs"),
    ],
)
def test_programs_that_cannot_be_asked_say_why(programs: list[XdpProgram], said: str) -> None:
    with pytest.raises(TargetFailed, match=said):
        Loop(programs)


def test_memory_that_belongs_to_no_program_is_said_when_it_is_asked(tmp_path: Path) -> None:
    # A file can be mapped as an array of one; the descriptor of the program is none.
    with (tmp_path / "io").open("w+b") as io:
        io.truncate(4096)
        loop = Loop([XdpProgram(io.fileno(), io.fileno())])
        with pytest.raises(TargetFailed, match="running the program over a frame of 60 bytes failed"):
            loop.slice(Frames.given(FRAMES))
