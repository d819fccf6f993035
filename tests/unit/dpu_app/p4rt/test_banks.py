"""Filling a bank through a client: which refusals mean that a device has no MODIFY."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from dpu_app.p4rt.banks import Banks
from dpu_app.p4rt.client import MODIFY, EntryUpdate, Failure
from dpu_app.p4rt.codec import Call, Key
from dpu_app.p4rt.stubs import code

VIP = Key("vip", (0, 1, 6, 443))


class Refusing:
    """A client whose device answers every MODIFY with one code."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.kinds: list[int] = []

    def write(self, updates: Iterable[EntryUpdate]) -> list[Failure]:
        given = list(updates)
        self.kinds += [update.type for update in given]
        return [Failure(update, self.status, "no") for update in given if update.type == MODIFY]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(code.NOT_FOUND, False), (code.UNIMPLEMENTED, True), (code.INVALID_ARGUMENT, True)],
)
def test_entry_that_is_gone_does_not_end_modify_for_good(status: int, expected: bool) -> None:
    client: Any = Refusing(status)
    banks = Banks(client)
    banks.fill({VIP: Call("service", (1,))}, {VIP: Call("service", (2,))})
    assert banks.modify_refused is expected
    assert client.kinds == [2, 3, 1]
