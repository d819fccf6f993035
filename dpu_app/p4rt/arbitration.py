"""Who of several controllers may write (P4Runtime specification, section 5). No locks, no I/O.

There is one role, the default one. A stream that asks for another is refused: a role without a configuration would have
full access too, and the tables are to have one writer.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpu_app.p4rt.stubs import Message, Status, code, v1

NO_PRIMARY = "no controller is primary: send an arbitration with the highest election id so far"


class StreamRefused(Exception):
    """The stream has to end with this canonical code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(eq=False)
class Controller:
    """One stream. `election_id` None is one that never becomes primary."""

    live: bool = False
    election_id: int | None = None


def number(election_id: Message) -> int:
    """128 bits of a Uint128."""
    return int(election_id.high) << 64 | int(election_id.low)


def uint128(value: int) -> Message:
    """The message of 128 bits."""
    return v1.Uint128(high=value >> 64, low=value & ((1 << 64) - 1))


class Arbitration:
    """The controllers of one device. Notices are (controller, message) pairs, to be sent by the caller."""

    def __init__(self, device_id: int) -> None:
        self.device_id = device_id
        self.controllers: list[Controller] = []
        self.highest: int | None = None
        """The highest election id ever seen: it stays when its controller goes."""

    @property
    def primary(self) -> Controller | None:
        """Who may write."""
        return next((c for c in self.controllers if c.election_id is not None and c.election_id == self.highest), None)

    def update(self, controller: Controller, message: Message) -> list[tuple[Controller, Message]]:
        """An arbitration came: the notices that follow. Raises StreamRefused."""
        self.check(controller, message)
        before = self.primary
        if not controller.live:
            controller.live = True
            self.controllers.append(controller)
        controller.election_id = number(message.election_id) if message.HasField("election_id") else None
        if controller.election_id is not None and controller.election_id >= (self.highest or 0):
            self.highest = controller.election_id
        after = self.primary
        everybody = after is controller or before is controller or before is not after
        return self.notices(self.controllers if everybody else [controller])

    def check(self, controller: Controller, message: Message) -> None:
        """Raises StreamRefused."""
        if message.device_id != self.device_id:
            known = code.FAILED_PRECONDITION if controller.live else code.NOT_FOUND
            raise StreamRefused(known, f"there is no device {message.device_id} here: use {self.device_id}")
        if message.HasField("role") and (message.role.name or message.role.id or message.role.HasField("config")):
            status = code.FAILED_PRECONDITION if controller.live else code.INVALID_ARGUMENT
            raise StreamRefused(status, "there is only the default role: leave 'role' out")
        if not message.HasField("election_id"):
            return
        wanted = number(message.election_id)
        if any(other is not controller and other.election_id == wanted for other in self.controllers):
            raise StreamRefused(code.INVALID_ARGUMENT, f"another controller has the election id {wanted}: use another")

    def gone(self, controller: Controller) -> list[tuple[Controller, Message]]:
        """A stream ended: the notices that follow."""
        if controller not in self.controllers:
            return []
        was_primary = self.primary is controller
        self.controllers.remove(controller)
        controller.live = False
        return self.notices(self.controllers) if was_primary else []

    def may_write(self, election_id: int | None) -> bool:
        """Whether a call with this election id is the primary's."""
        primary = self.primary
        return primary is not None and primary.election_id == election_id

    def notices(self, to: list[Controller]) -> list[tuple[Controller, Message]]:
        """What each is told."""
        return [(controller, self.notice(controller)) for controller in to]

    def notice(self, controller: Controller) -> Message:
        """Who is primary, in the words of the specification."""
        primary = self.primary
        if primary is controller:
            status = Status(code=code.OK, message="you are primary")
        elif primary is not None:
            status = Status(code=code.ALREADY_EXISTS, message="another controller is primary")
        else:
            status = Status(code=code.NOT_FOUND, message=NO_PRIMARY)
        notice = v1.MasterArbitrationUpdate(device_id=self.device_id, status=status)
        if self.highest is not None:
            notice.election_id.CopyFrom(uint128(self.highest))
        return notice
