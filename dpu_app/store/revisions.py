"""Numbered revisions of the desired state, and the plan that was programmed last, in one state directory.

    lock                     held by the one agent that uses the directory
    revisions/00000007.json  revision 7: the text as it was written, and where it came from
    good.json                the plan that was programmed on all targets last

A damaged file is passed over and reported; the newest sound one counts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dpu_app.model.plan import EMPTY_PLAN, Plan, plan_from_json, plan_to_json
from dpu_app.store.disk import FolderLock, StoreError, remove, seal, unseal, write_atomic

REVISIONS_MAX = 64
FORMAT = 1


@dataclass(frozen=True)
class Revision:
    """One desired state as it was accepted. Relative file names in `text` start at `folder`.

    `file_sha256` is of the configuration file as it counted last, also where this revision came from elsewhere: a
    file counts when its content changed.
    """

    number: int
    text: str
    folder: str
    origin: str
    created: str
    file_sha256: str
    format: int = FORMAT


def content_sha256(text: str, folder: str) -> str:
    """In hex. The same text in another folder names other files, hence is other content."""
    return hashlib.sha256(f"{folder}\n{text}".encode()).hexdigest()


@dataclass
class Store:
    """The state directory; one process at a time. Close it to let another one in."""

    folder: Path
    revisions_max: int = REVISIONS_MAX
    damaged: list[str] = field(default_factory=list)
    """What was passed over when the directory was opened."""

    def __post_init__(self) -> None:
        self.lock = FolderLock(self.folder)
        try:
            self.revisions.mkdir(mode=0o700, exist_ok=True)
            self.latest = self.newest_sound()
            self.good = self.read_good()
        except OSError as error:
            self.lock.close()
            raise StoreError(f"cannot use {self.folder}: {error.strerror}") from error

    @property
    def revisions(self) -> Path:
        """Where the revisions are."""
        return self.folder / "revisions"

    def newest_sound(self) -> Revision | None:
        """The newest revision that is not damaged."""
        for path in reversed(self.paths()):
            try:
                return read_revision(path)
            except StoreError as error:
                self.damaged.append(str(error))
        return None

    def read_good(self) -> Plan:
        """The plan that was programmed last; EMPTY_PLAN where there is none."""
        path = self.folder / "good.json"
        if not path.exists():
            return EMPTY_PLAN
        try:
            return plan_from_json(unseal(path))
        except (StoreError, ValueError) as error:
            self.damaged.append(f"{path}: {error}")
            return EMPTY_PLAN

    def paths(self) -> list[Path]:
        """Files of revisions, oldest first."""
        return sorted(path for path in self.revisions.glob("*.json") if path.stem.isdigit())

    def is_new(self, text: str, folder: str) -> bool:
        """Whether the configuration file has other content than when it counted last."""
        return self.latest is None or self.latest.file_sha256 != content_sha256(text, folder)

    def commit(self, text: str, folder: str, origin: str) -> Revision:
        """Writes the next revision; durable when this returns. `origin` is `file` or who else. Raises StoreError."""
        # A damaged newest revision keeps its number: numbers are never used twice.
        number = max((int(path.stem) for path in self.paths()), default=0) + 1
        before = self.latest.file_sha256 if self.latest else ""
        file_sha256 = content_sha256(text, folder) if origin == "file" else before
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        revision = Revision(number, text, folder, origin, created, file_sha256)
        write_atomic(self.revisions / f"{number:08}.json", seal(json.dumps(asdict(revision)).encode()))
        self.latest = revision
        self.prune()
        return revision

    def revision(self, number: int) -> Revision:
        """A revision that is still kept. Raises StoreError."""
        return read_revision(self.revisions / f"{number:08}.json")

    def set_good(self, plan: Plan) -> None:
        """Remembers the plan that is now programmed on all targets. Raises StoreError."""
        write_atomic(self.folder / "good.json", seal(plan_to_json(plan)))
        self.good = plan
        self.prune()

    def prune(self) -> None:
        """Removes the oldest revisions beyond the limit, never the one that is programmed. Raises StoreError."""
        for path in self.paths()[: -self.revisions_max]:
            if int(path.stem) != self.good.revision:
                remove(path)

    def close(self) -> None:
        """Lets another agent use the directory."""
        self.lock.close()


def read_revision(path: Path) -> Revision:
    """One revision. Raises StoreError where it is missing, damaged or of another format."""
    data = unseal(path)
    try:
        revision = Revision(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} is not a revision: {error}") from error
    if revision.format != FORMAT:
        raise StoreError(f"{path} has format {revision.format}; this build reads {FORMAT}")
    return revision
