"""Revisions on disk: numbered, sealed, bounded, and whole after a crash at any write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpu_app.model.plan import EMPTY_PLAN
from dpu_app.store import disk
from dpu_app.store.disk import StoreError
from dpu_app.store.revisions import Store
from tests.unit.dpu_app.samples import TEXT, other_plan, plan


def reopened(store: Store) -> Store:
    store.close()
    return Store(store.folder, store.revisions_max)


def test_fresh_store_has_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    assert (store.latest, store.good, store.damaged) == (None, EMPTY_PLAN, [])


def test_revisions_are_numbered_from_1_and_survive(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert [store.commit(text, "/etc", "file").number for text in ("a", "b")] == [1, 2]
    latest = reopened(store).latest
    assert latest is not None
    assert (latest.number, latest.text, latest.folder, latest.origin) == (2, "b", "/etc", "file")


def test_older_revision_can_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit("a", "/etc", "file")
    store.commit("b", "/etc", "file")
    assert store.revision(1).text == "a"
    with pytest.raises(StoreError, match="cannot read"):
        store.revision(3)


def test_good_plan_survives(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_good(plan())
    assert reopened(store).good == plan()


def test_file_counts_when_its_content_or_folder_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.is_new(TEXT, "/etc")
    store.commit(TEXT, "/etc", "file")
    store = reopened(store)
    assert not store.is_new(TEXT, "/etc")
    assert store.is_new(TEXT + "#", "/etc")
    assert store.is_new(TEXT, "/srv")


def test_revision_from_elsewhere_does_not_make_the_file_new(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit(TEXT, "/etc", "file")
    store.commit("something else", "/etc", "api")
    assert not reopened(store).is_new(TEXT, "/etc")


def test_oldest_revisions_go_but_never_the_programmed_one(tmp_path: Path) -> None:
    store = Store(tmp_path, revisions_max=3)
    store.commit("a", "/", "file")
    store.set_good(plan(revision=1))
    for text in "bcdef":
        store.commit(text, "/", "file")
    assert [int(path.stem) for path in store.paths()] == [1, 4, 5, 6]
    store.set_good(other_plan(plan(revision=5)))
    assert [int(path.stem) for path in store.paths()] == [4, 5, 6]


def test_only_the_owner_can_read_the_state(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.commit(TEXT, "/", "file")
    store.set_good(plan())
    modes = {path.name: path.stat().st_mode & 0o777 for path in store.folder.rglob("*")}
    assert modes == {"lock": 0o600, "revisions": 0o700, "00000001.json": 0o600, "good.json": 0o600}
    assert store.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"second", b"sEcond"),
        lambda data: b"0" * 64 + data[64:],
        lambda data: disk.seal(b"[]"),
        lambda data: disk.seal(b"{"),
        lambda data: disk.seal(json.dumps({**json.loads(data[65:]), "format": 99}).encode()),
    ],
)
def test_damaged_revision_is_passed_over_and_its_number_not_used_again(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    store = Store(tmp_path)
    store.commit("first", "/", "file")
    store.commit("second", "/", "file")
    path = store.revisions / "00000002.json"
    path.write_bytes(damage(path.read_bytes()))
    store = reopened(store)
    assert store.latest is not None and store.latest.text == "first"
    assert len(store.damaged) == 1 and "00000002.json" in store.damaged[0]
    assert store.commit("third", "/", "file").number == 3


def test_damaged_good_plan_is_reported_and_nothing_is_made_up(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.set_good(plan())
    (tmp_path / "good.json").write_bytes(disk.seal(b'{"revision": "x"}'))
    store = reopened(store)
    assert store.good == EMPTY_PLAN
    assert len(store.damaged) == 1


def test_second_agent_on_the_same_folder_is_refused_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=f"another agent .process {os.getpid()}. uses"):
        Store(tmp_path)
    reopened(store).close()


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = f"from dpu_app.store.revisions import Store; from pathlib import Path; s = Store(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", f"{code}; import os, signal; os.kill(os.getpid(), signal.SIGKILL)"])
    Store(tmp_path).close()


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot use"):
        Store(tmp_path / "file" / "state")


class Crash(BaseException):
    """The machine is gone: nothing catches this."""


class CrashingOs:
    """`os` whose n-th call that changes something does not happen, or happens by half."""

    CALLS = ("open", "write", "fsync", "replace")

    def __init__(self, survives: int) -> None:
        self.left = survives

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name == "fdopen":
            return self.fdopen
        return self.counted(real) if name in self.CALLS else real

    def counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            return real(*args, **kwargs)

        return call

    def tick(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1

    def fdopen(self, descriptor: int, mode: str) -> Any:
        file = os.fdopen(descriptor, mode, buffering=0)
        write = file.write

        def write_by_half(data: bytes) -> int:
            if self.left == 0:
                write(data[: len(data) // 2])
            self.tick()
            return write(data)

        return Wrapped(file, write_by_half)


class Wrapped:
    """A file with another `write`."""

    def __init__(self, file: Any, write: Callable[[bytes], int]) -> None:
        self.file = file
        self.write = write

    def __enter__(self) -> Wrapped:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


CRASH_POINTS = range(7)


@pytest.mark.parametrize("survives", CRASH_POINTS)
def test_crash_at_any_write_of_a_revision_leaves_the_old_one_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    store = Store(tmp_path)
    store.commit("old", "/", "file")
    monkeypatch.setattr(disk, "os", CrashingOs(survives))
    crashed = False
    try:
        store.commit("new", "/", "file")
    except Crash:
        crashed = True
    monkeypatch.undo()
    assert crashed == (survives < CRASH_POINTS[-1])
    store = reopened(store)
    assert store.latest is not None and store.latest.text in ("old", "new")
    assert store.damaged == []
    assert store.commit("next", "/", "file").number in (2, 3)
    assert crashed or store.revision(2).text == "new"


@pytest.mark.parametrize("survives", CRASH_POINTS)
def test_crash_at_any_write_of_the_good_plan_leaves_the_old_one_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    store = Store(tmp_path)
    store.set_good(plan())
    monkeypatch.setattr(disk, "os", CrashingOs(survives))
    try:
        store.set_good(other_plan(plan()))
    except Crash:
        pass
    monkeypatch.undo()
    assert reopened(store).good in (plan(), other_plan(plan()))


def test_full_disk_is_an_error_and_the_old_content_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.set_good(plan())

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot write .*good\.json: No space left"):
        store.set_good(other_plan(plan()))
    monkeypatch.undo()
    assert reopened(store).good == plan()
