"""A back end in memory: what it was told is what it has. For tests of the server, and for trying out a controller."""

from __future__ import annotations

from dpu_app.model.plan_packet import PlanTables
from dpu_app.p4rt.backend import BackendFull, Words


class MemoryBackend:
    """See Backend. `acl_max` is how many ACL entries a bank holds."""

    def __init__(self, *, writable: bool = True, acl_max: int = 262_144) -> None:
        self.writable = writable
        self.acl_max = acl_max
        self.banks = [PlanTables(), PlanTables()]
        self.bank = 0
        self.said = Words()
        self.counted: dict[int, tuple[int, int]] = {}
        self.writes = 0
        """How often a bank was written."""

    def read(self, bank: int) -> PlanTables:
        """See Backend."""
        return self.banks[bank]

    def write(self, bank: int, tables: PlanTables) -> None:
        """See Backend."""
        if len(tables.acl) > self.acl_max:
            raise BackendFull(f"{len(tables.acl)} ACL entries are more than {self.acl_max}")
        self.banks[bank] = tables
        self.writes += 1

    def active_bank(self) -> int:
        """See Backend."""
        return self.bank

    def flip(self, bank: int) -> None:
        """See Backend."""
        self.bank = bank

    def words(self) -> Words:
        """See Backend."""
        return self.said

    def set_words(self, words: Words) -> None:
        """See Backend."""
        self.said = words

    def counters(self) -> dict[int, tuple[int, int]]:
        """See Backend."""
        return self.counted
