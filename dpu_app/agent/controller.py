"""The XDP target behind the P4Runtime server: what a controller wrote, kept on disk, in the maps, and told again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import structlog
from pydantic import ConfigDict, TypeAdapter

from dpu_app.model.plan_packet import PlanTables
from dpu_app.p4rt.backend import BackendError, BackendFull, Words
from dpu_app.store.disk import StoreError, seal, unseal, write_atomic
from dpu_app.targets.base import TargetRefused, TargetUnavailable
from dpu_app.targets.packet.target import ControllerTables, XdpTarget

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="p4rt")
FILE = "p4runtime.json"


@dataclass(frozen=True)
class Kept:
    """What a controller wrote. `digest` is 256 bits in hex: JSON has no such number."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    banks: tuple[PlanTables, PlanTables] = (PlanTables(), PlanTables())
    active: int = 0
    revision: int = 0
    epoch: int = 0
    digest: str = "0"


_ADAPTER = TypeAdapter(Kept)


class XdpBackend:
    """See Backend. Maps cannot be read back into entries (an ACL lies there as a trie), so the entries are kept in the
    state directory: written there first, then in the maps; after a crash between the two the file wins."""

    def __init__(self, xdp: XdpTarget, state_dir: Path) -> None:
        self.xdp = xdp
        self.file = state_dir / FILE
        self.kept = self.load()
        xdp.controllers = ControllerTables(self.kept.banks, self.kept.active)
        self._is_restored = False

    def load(self) -> Kept:
        """What the agent before this one kept; nothing where the file is damaged, which is said."""
        if not self.file.exists():
            return Kept()
        try:
            return _ADAPTER.validate_json(unseal(self.file))
        except (StoreError, ValueError) as error:
            log.error("what the P4Runtime controller wrote is lost: it has to write it again", why=str(error))
            return Kept()

    @property
    def writable(self) -> bool:
        """See Backend."""
        return self.xdp.is_open_to_controllers

    def read(self, bank: int) -> PlanTables:
        """See Backend: the controller's, or those of the file in the bank that is in force."""
        packet = self.xdp.packet
        if packet is None or self.writable:
            self.restore()
            return self.kept.banks[bank]
        return packet.tables if bank == self.active_bank() else PlanTables()

    def restore(self) -> None:
        """Once: the maps hold what is kept. An equal bank is left alone."""
        if self._is_restored or not self.writable:
            return
        if self.kept != Kept():
            for bank, tables in enumerate(self.kept.banks):
                self.put(bank, tables)
        # Without a controller before, what the file programmed stays until one writes.
        self._is_restored = True

    def write(self, bank: int, tables: PlanTables) -> None:
        """See Backend."""
        self.restore()
        before = self.kept
        banks = (tables, before.banks[1]) if bank == 0 else (before.banks[0], tables)
        self.keep(replace(before, banks=banks))
        try:
            self.put(bank, tables)
        except BackendError:
            self.keep(before)
            raise

    def put(self, bank: int, tables: PlanTables) -> None:
        """Into the maps. Raises BackendError."""
        try:
            self.xdp.write_tables(bank, tables)
        except TargetRefused as error:
            raise BackendFull(str(error)) from error
        except (TargetUnavailable, ValueError) as error:
            raise BackendError(str(error)) from error

    def keep(self, kept: Kept) -> None:
        """On disk. Raises BackendError."""
        try:
            write_atomic(self.file, seal(_ADAPTER.dump_json(kept)))
        except StoreError as error:
            raise BackendError(str(error)) from error
        self.kept = kept
        self.xdp.controllers = ControllerTables(kept.banks, kept.active)

    def active_bank(self) -> int:
        """See Backend; 0 while nothing is attached."""
        try:
            return self.xdp.active_bank()
        except TargetUnavailable:
            # Before the first plan there is no interface: the banks are empty then, and either is right.
            return 0

    def flip(self, bank: int) -> None:
        """See Backend."""
        try:
            self.xdp.select_bank(bank)
        except TargetUnavailable as error:
            raise BackendError(str(error)) from error
        self.keep(replace(self.kept, active=bank))

    def words(self) -> Words:
        """See Backend; those of the plan where the file writes the tables."""
        if self.writable or self.xdp.packet is None:
            return Words(self.kept.revision, self.kept.epoch, int(self.kept.digest, 16))
        has = self.xdp.read_back()
        return Words(has.revision, has.epoch, int.from_bytes(has.digest[:32], "big"))

    def set_words(self, words: Words) -> None:
        """See Backend."""
        self.keep(replace(self.kept, revision=words.revision, epoch=words.epoch, digest=f"{words.digest:x}"))

    def counters(self) -> Mapping[int, tuple[int, int]]:
        """See Backend."""
        try:
            with self.xdp.held() as current:
                found = current.maps.reasons() if current else {}
        except TargetUnavailable as error:
            raise BackendError(str(error)) from error
        return {reason: (count.packets, count.bytes) for reason, count in found.items()}
