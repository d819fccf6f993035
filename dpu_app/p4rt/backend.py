"""What the P4Runtime server stands in front of: two banks of packet tables, and one bit that says which is live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from dpu_app.model.plan_packet import PlanTables


class Words(NamedTuple):
    """What the controller says of itself: the action of `programmed`'s default entry."""

    revision: int = 0
    epoch: int = 0
    digest: int = 0


class BackendError(Exception):
    """The back end did not do it, and what it has is as before. The server answers INTERNAL."""


class BackendFull(BackendError):
    """A map has no more room. The server answers RESOURCE_EXHAUSTED."""


class Backend(Protocol):
    """Called by one thread at a time. Every method may raise BackendError."""

    @property
    def writable(self) -> bool:
        """Whether a controller may write: `packet.programmed_by` is p4runtime. May change at any time."""
        ...

    def read(self, bank: int) -> PlanTables:
        """What the maps of a bank hold. Names of groups do not count; meters are those of the bank's services."""
        ...

    def write(self, bank: int, tables: PlanTables) -> None:
        """The bank holds `tables` and nothing else when this returns, or BackendError and it is as it was.

        Comes once for each Write RPC that touches the bank, with everything in it: compare, and change what differs.
        The bank may be the live one. Markers and the way back follow from the tables, as for a plan.
        """
        ...

    def active_bank(self) -> int:
        """The bank that frames see."""
        ...

    def flip(self, bank: int) -> None:
        """Frames see `bank` from now on."""
        ...

    def words(self) -> Words:
        """What `set_words` was given last."""
        ...

    def set_words(self, words: Words) -> None:
        """Keeps what the controller says of itself."""
        ...

    def counters(self) -> Mapping[int, tuple[int, int]]:
        """Reason -> frames and bytes since the program was attached."""
        ...
