"""The errors of a batch reach a gRPC client that was set up with no option at all."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from dpu_app.p4rt.client import Client, EntryUpdate
from dpu_app.p4rt.codec import Call, EntityError, Key
from dpu_app.p4rt.details import ROOM_BYTES, ROOM_BYTES_MAX, entry_details, room_of
from dpu_app.p4rt.errors import DETAILS_ROOM_KEY
from dpu_app.p4rt.options import ClientOptions
from dpu_app.p4rt.stubs import code
from tests.unit.dpu_app.p4rt.wire import DELETE, INSERT, SCHEMA, Wire, entry, failed, serving

PERMIT = Call("permit")


def acl(i: int) -> Key:
    return Key("acl", (0, 1, ((0xFFFF << 32) | i, (1 << 128) - 1), (0, 0)), 257)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as made:
        made.bid()
        yield made


@pytest.mark.parametrize("count", [1, 30, 100, 150])
def test_every_entry_that_failed_has_its_code_and_the_first_their_text(wire: Wire, count: int) -> None:
    found = wire.write(*(entry(DELETE, acl(i)) for i in range(count)))
    assert [status for status, _text in found] == [code.NOT_FOUND] * count
    assert "is not there" in found[0][1]


def test_entries_that_were_done_take_place_too(wire: Wire) -> None:
    found = wire.write(*(entry(INSERT, acl(i), PERMIT) for i in range(149)), entry(DELETE, acl(500)))
    assert [status for status, _text in found] == [0] * 149 + [code.NOT_FOUND]
    assert "is not there" in found[-1][1]


def test_batch_whose_errors_do_not_fit_says_how_many_and_what_to_do(wire: Wire) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        wire.write(*(entry(DELETE, acl(i)) for i in range(1_000)))
    status, text = failed(raised.value)
    assert status is grpc.StatusCode.UNKNOWN
    assert text.startswith("1000 of 1000 updates failed (places from 0: 0 NOT_FOUND, 1 NOT_FOUND,")
    assert "send fewer updates" in text


def test_our_client_says_that_it_takes_more_and_gets_all(wire: Wire) -> None:
    client = Client(ClientOptions(address=wire.channel_address, plaintext=True, election_id=2), SCHEMA)
    failures = client.write([EntryUpdate(DELETE, acl(i)) for i in range(1_000)])
    client.close()
    assert len(failures) == 1_000
    assert all("is not there" in failure.message for failure in failures)


@pytest.mark.parametrize("room", [100, 1_000, 7_168, 100_000])
@pytest.mark.parametrize("count", [1, 2, 20, 170, 1_000])
def test_details_never_take_more_than_the_room(count: int, room: int) -> None:
    errors = {i: EntityError(code.NOT_FOUND, "x" * (i % 400)) for i in range(0, count, 2)}
    assert len(entry_details(count, errors, room)[1]) <= room


@pytest.mark.parametrize(
    ("said", "room"),
    [
        ((), ROOM_BYTES),
        ((("other", "9"),), ROOM_BYTES),
        (((DETAILS_ROOM_KEY, "100000"),), 100_000),
        (((DETAILS_ROOM_KEY, "1"),), ROOM_BYTES),
        (((DETAILS_ROOM_KEY, "999999999"),), ROOM_BYTES_MAX),
        (((DETAILS_ROOM_KEY, "9" * 5_000),), ROOM_BYTES),
        (((DETAILS_ROOM_KEY, "-5"),), ROOM_BYTES),
        (((DETAILS_ROOM_KEY, ""),), ROOM_BYTES),
    ],
)
def test_room_is_what_the_controller_says_within_bounds(said: Any, room: int) -> None:
    context: Any = SimpleNamespace(invocation_metadata=lambda: said)
    assert room_of(context) == room
