"""Files that are whole or not there: a crash at any byte leaves the old content or the new one, never a mixture."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

SUM_BYTES = 64


class StoreError(Exception):
    """The state directory cannot be used, or a file in it is damaged."""


def write_atomic(path: Path, data: bytes) -> None:
    """Replaces `path` (mode 0600): temporary file, fsync, rename, fsync of the folder. Raises StoreError."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Removes a file that may be gone already. Raises StoreError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}") from error


def seal(data: bytes) -> bytes:
    """The data behind a line with its SHA-256, so that damage is seen when it is read."""
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def unseal(path: Path) -> bytes:
    """What `seal` was given. Raises StoreError where the file is missing or damaged."""
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    data = sealed[SUM_BYTES + 1 :]
    if sealed[: SUM_BYTES + 1] != hashlib.sha256(data).hexdigest().encode() + b"\n":
        raise StoreError(f"{path} is damaged: its checksum does not fit")
    return data


class FolderLock:
    """Exclusive use of a state directory, until `close` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder (0700) where it is missing. Raises StoreError where another process holds it."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot use {folder}: {error.strerror}") from error
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self.descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self.descriptor)
            what = f"another agent (process {holder}) uses {folder}: stop it, or give this one its own --state-dir"
            raise StoreError(what) from error
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Lets another process in."""
        os.close(self.descriptor)
