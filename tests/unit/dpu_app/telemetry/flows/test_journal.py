"""The journal is followed through growth, truncation, rotation and floods; every line is read or counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpu_app.telemetry.flows import journal
from dpu_app.telemetry.flows.journal import JournalTail


def append(path: Path, text: bytes) -> None:
    with open(path, "ab") as file:
        file.write(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


def test_reading_begins_at_the_end_of_a_file_and_at_the_start_of_one_that_comes_later(path: Path) -> None:
    early = JournalTail(path)
    append(path, b"old\n")
    late = JournalTail(path)
    append(path, b"new\n")
    assert (early.poll(), late.poll()) == ([b"old", b"new"], [b"new"])


def test_half_a_line_waits_for_its_other_half(path: Path) -> None:
    tail = JournalTail(path)
    append(path, b"one\ntw")
    assert tail.poll() == [b"one"]
    append(path, b"o\n")
    assert tail.poll() == [b"two"]
    assert tail.poll() == []


def test_line_whose_beginning_was_there_before_is_counted_and_not_read(path: Path) -> None:
    append(path, b"begin")
    tail = JournalTail(path)
    append(path, b"ning\nnext\n")
    assert (tail.poll(), tail.skipped) == ([b"next"], 1)


def test_truncated_file_is_read_from_its_start(path: Path) -> None:
    tail = JournalTail(path)
    append(path, b"a long first line\n")
    assert tail.poll() == [b"a long first line"]
    path.write_bytes(b"short\n")
    assert tail.poll() == [b"short"]


def test_moved_file_is_followed_until_another_is_in_its_place(path: Path) -> None:
    tail = JournalTail(path)
    append(path, b"one\n")
    assert tail.poll() == [b"one"]
    moved = path.rename(path.with_suffix(".1"))
    append(moved, b"two\n")
    assert tail.poll() == [b"two"]
    append(moved, b"three\n")
    append(path, b"four\n")
    assert [tail.poll(), tail.poll()] == [[b"three"], [b"four"]]
    assert (tail.skipped, tail.faults) == (0, 0)


def test_line_that_is_too_long_is_counted_and_the_next_is_read(path: Path) -> None:
    tail = JournalTail(path)
    append(path, b"x" * (journal.LINE_BYTES_MAX + 1))
    assert tail.poll() == []
    append(path, b"x" * journal.LINE_BYTES_MAX)
    assert tail.poll() == []
    assert len(tail.rest) <= journal.LINE_BYTES_MAX
    append(path, b"x\nnext\n" + b"y" * (journal.LINE_BYTES_MAX + 1) + b"\nlast\n")
    assert (tail.poll(), tail.skipped) == ([b"next", b"last"], 2)


def test_one_poll_reads_no_more_than_it_may(path: Path) -> None:
    tail = JournalTail(path)
    append(path, b"0123456789abcde\n" * 100_000)
    first = tail.poll()
    assert len(first) == journal.READ_BYTES_MAX // 16
    assert tail.has_more
    assert len(first) + len(tail.poll()) == 100_000
    assert not tail.has_more


@pytest.mark.parametrize("line", [b"0123456789\n", b"x\n", b"a line of more than a few bytes\n"])
def test_too_many_lines_are_counted_and_the_newest_are_read(path: Path, line: bytes) -> None:
    tail = JournalTail(path, behind_bytes_max=1_000)
    append(path, line * 1_000)
    read = 0
    while tail.file is None or tail.file.tell() < path.stat().st_size:
        read += len(tail.poll())
    assert 0 < read <= 500 // len(line)
    assert read + tail.skipped == 1_000


def test_what_is_no_file_is_no_journal(tmp_path: Path, path: Path) -> None:
    os.mkfifo(path)
    assert JournalTail(path).poll() == []
    assert JournalTail(tmp_path).poll() == []


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(min_value=1, max_value=7))
def test_every_line_is_read_however_it_was_cut(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes],
                                               piece: int) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("journal") / "requests.jsonl"
    tail = JournalTail(path)
    written = [line.replace(b"\n", b"") for line in lines]
    whole = b"".join(line + b"\n" for line in written)
    read = []
    for place in range(0, len(whole), piece):
        append(path, whole[place : place + piece])
        read += tail.poll()
    assert read == written
