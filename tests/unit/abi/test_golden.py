"""Golden bytes of every frame kind; `fastpath/types/tests/golden.rs` is the twin on the Rust side."""

from __future__ import annotations

import pytest

from abi.gen.worker_frame import KINDS
from abi.worker_frame import Envelope, decode, encode
from tests.unit.abi.frames import FOLDER, FRAMES, golden, index


def test_index_names_every_file_and_every_frame() -> None:
    names = [name for _, name in index()]
    assert names == list(FRAMES)
    assert {path.stem for path in FOLDER.glob("*.hex")} == set(names)


def test_index_names_the_kinds_rightly_and_all_of_them() -> None:
    kinds = [(type(FRAMES[name].body).__name__.upper(), name) for _, name in index()]
    assert kinds == index()
    assert {kind for kind, _ in kinds} == {cls.__name__.upper() for cls in KINDS.values()}


@pytest.mark.parametrize(("name", "frame"), FRAMES.items(), ids=FRAMES)
def test_frame_has_its_golden_bytes(name: str, frame: Envelope) -> None:
    assert encode(frame).hex(" ") == golden(name).hex(" ")


@pytest.mark.parametrize(("name", "frame"), FRAMES.items(), ids=FRAMES)
def test_golden_bytes_are_their_frame(name: str, frame: Envelope) -> None:
    assert decode(golden(name)) == frame
