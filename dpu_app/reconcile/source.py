"""The configuration file as a source of desired states: at start and at every reload the same path."""

from __future__ import annotations

from pathlib import Path

import structlog

from dpu_app.model.problem import Problem
from dpu_app.reconcile.observer import Observer
from dpu_app.reconcile.reconciler import Accepted, Reconciler
from dpu_app.store.disk import StoreError
from dpu_app.store.load import Loaded, LoadError, load, read
from dpu_app.store.revisions import Revision, Store

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="config")


class FileSource:
    """One file. The store wins over it, until its content changes (design section 4)."""

    def __init__(self, file: Path, store: Store, reconciler: Reconciler, observer: Observer) -> None:
        self.file = file
        self.store = store
        self.reconciler = reconciler
        self.observer = observer
        self.problems: list[Problem] = []
        """What is wrong with the file as it was read last."""
        self.accepted: Accepted | None = None
        """What was handed on last."""

    def start(self) -> None:
        """Reads the file; a bad one leaves what the store has."""
        latest = self.store.latest
        if not self.reload() and latest is not None and self.store.latest is latest:
            self.report(self.problems + self.resume(latest))

    def reload(self) -> bool:
        """Reads the file; False where it is bad, and then the last good state stays. SIGHUP comes here."""
        try:
            text = read(self.file)
            loaded = load(text, str(self.file), str(self.file.resolve().parent))
            problems = self.accept(text, loaded)
        except LoadError as error:
            problems = error.problems
        except StoreError as error:
            problems = [Problem(str(error), "make room, or correct the permissions of --state-dir")]
        self.observer.config_read(len(problems))
        self.report(problems)
        return not problems

    def accept(self, text: str, loaded: Loaded) -> list[Problem]:
        """A new revision where the content is new; else what the store has is tried again. Raises StoreError."""
        latest = self.store.latest
        if latest is None or self.store.is_new(text, loaded.folder):
            latest = self.store.commit(text, loaded.folder, "file")
            log.info("accepted", revision=latest.number, file=str(self.file))
        elif latest.origin != "file":
            log.info("the file has not changed since; the store wins", revision=latest.number)
            return self.resume(latest)
        self.submit(latest.number, loaded)
        return []

    def resume(self, revision: Revision) -> list[Problem]:
        """Takes up a revision of the store. What is wrong with it for this build; then the good plan stays."""
        try:
            loaded = load(revision.text, f"revision {revision.number}", revision.folder)
        except LoadError as error:
            return error.problems
        self.submit(revision.number, loaded)
        return []

    def submit(self, number: int, loaded: Loaded) -> None:
        """Hands it to the reconciler, and keeps it for what is the agent's own."""
        self.accepted = Accepted(number, loaded.desired, loaded.folder, loaded.document.located)
        self.reconciler.submit(self.accepted)

    def report(self, problems: list[Problem]) -> None:
        """Keeps and logs what is wrong."""
        self.problems = problems
        for problem in problems:
            log.error("bad configuration; the last good one stays", problem=str(problem))
