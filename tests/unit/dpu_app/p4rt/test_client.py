"""The client: batches, deadlines, sessions that come back, and what devices say of themselves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certs import dev_ca
from dpu_app.p4rt import schema
from dpu_app.p4rt.client import DELETE, INSERT, CellUpdate, Client, EntryUpdate, is_rate
from dpu_app.p4rt.codec import Call, Key
from dpu_app.p4rt.errors import NotPrimary, Refused, Unavailable
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.meters import Rate
from dpu_app.p4rt.options import ClientOptions, OptionsError, ServerOptions, TlsFiles
from dpu_app.p4rt.server import serve
from dpu_app.p4rt.stream import Inbox
from dpu_app.p4rt.stubs import code, v1
from tests.unit.dpu_app.p4rt.wire import Wire, serving

SCHEMA = schema.load()
PERMIT = Call("permit")
TLS = TlsFiles(certificate=Path("/nothing.pem"), private_key=Path("/nothing.key"))


def acl(i: int) -> Key:
    return Key("acl", (0, 1, ((0xFFFF << 32) | i, (1 << 128) - 1), (0, 0)), 257)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as made:
        yield made


def client_of(wire: Wire, **options: Any) -> Client:
    return Client(ClientOptions(**{"address": wire.channel_address, "plaintext": True, **options}), SCHEMA)


@pytest.fixture
def client(wire: Wire) -> Iterator[Client]:
    made = client_of(wire)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, [7]),
        ({"batch_entries_max": 3}, [3, 3, 1]),
        ({"batch_bytes_max": 1}, [1] * 7),
        ({"batch_bytes_max": 200}, [2, 2, 2, 1]),
    ],
)
def test_batches_are_bounded_in_entries_and_bytes(wire: Wire, options: dict[str, Any], sizes: list[int]) -> None:
    client = client_of(wire, **options)
    updates = [EntryUpdate(INSERT, acl(i), PERMIT) for i in range(7)]
    batches = list(client.batches(updates))
    assert [len(batch) for batch in batches] == sizes
    assert [update for batch in batches for update, _message in batch] == updates
    assert client.write(updates) == []
    assert len(wire.backend.banks[0].acl) == 7
    client.close()


def test_entries_that_fail_are_told_with_code_and_text(client: Client) -> None:
    client.write([EntryUpdate(INSERT, acl(1), PERMIT)])
    updates = [EntryUpdate(INSERT, acl(1), PERMIT), EntryUpdate(INSERT, acl(2), PERMIT), EntryUpdate(DELETE, acl(3))]
    failures = client.write(updates)
    assert [(failure.update, failure.status) for failure in failures] == [
        (updates[0], code.ALREADY_EXISTS),
        (updates[2], code.NOT_FOUND),
    ]
    assert failures[0].message.startswith("ALREADY_EXISTS: acl bank=0")
    assert set(client.read_entries(["acl"])) == {acl(1), acl(2)}


def test_cells_and_counters_are_read(wire: Wire, client: Client) -> None:
    wire.backend.counted[40] = (3, 180)
    assert client.write([CellUpdate("service_bytes", 2, Rate(1, 2, 1, 2))]) == []
    assert client.read_cells("service_bytes", range(64)) == {2: Rate(1, 2, 1, 2)}
    assert client.read_counters("reasons") == {40: (3, 180)}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (v1.MeterConfig(cir=0, cburst=5, pir=0, pburst=5), True),
        (v1.MeterConfig(), False),
        (v1.MeterConfig(cir=(1 << 63) - 1, cburst=1, pir=(1 << 63) - 1, pburst=1), False),
        (v1.MeterConfig(cir=-1, cburst=-1, pir=-1, pburst=-1), False),
    ],
)
def test_largest_numbers_stand_for_no_rate(config: Any, expected: bool) -> None:
    assert is_rate(config) is expected


def test_client_that_is_not_primary_may_read_and_is_told_why_it_may_not_write(wire: Wire, client: Client) -> None:
    other = client_of(wire, election_id=(1 << 100))
    other.write([EntryUpdate(INSERT, acl(1), PERMIT)])
    assert set(client.read_entries(["acl"])) == {acl(1)}
    with pytest.raises(NotPrimary, match=f"highest election id: {1 << 100}"):
        client.write([EntryUpdate(INSERT, acl(2), PERMIT)])
    other.close()


def test_unsupported_call_is_refused_with_its_code(client: Client) -> None:
    client.connect()
    with pytest.raises(Refused) as refused:
        list(client.read([v1.Entity(register_entry={})]))
    assert refused.value.status == code.UNIMPLEMENTED


def test_absent_server_is_asked_ever_later_and_said_to_be_away() -> None:
    now = [100.0]
    options = ClientOptions(address="127.0.0.1:1", plaintext=True, reconnect_first_s=1.0, reconnect_last_s=3.0)
    client = Client(options, SCHEMA, clock=lambda: now[0])
    waits = []
    for _attempt in range(4):
        with pytest.raises(Unavailable, match=r"nobody serves P4Runtime at 127\.0\.0\.1:1"):
            client.connect()
        waits.append(client.due_at - now[0])
        with pytest.raises(Unavailable, match=r"is away; the next attempt is in"):
            client.connect()
        now[0] = client.due_at
    assert waits == [1.0, 2.0, 3.0, 3.0]
    client.close()


def test_session_that_ended_is_opened_again_under_a_new_number(wire: Wire, client: Client) -> None:
    assert client.connect() == 1
    assert client.stream is not None
    client.stream.call.cancel()
    client.stream.thread.join(timeout=10)
    assert client.connect() == 2


@pytest.mark.parametrize("arbitration", ["required", "try", "off"])
def test_device_id_that_is_not_there_is_said(wire: Wire, arbitration: Any) -> None:
    client = client_of(wire, device_id=7, arbitration=arbitration)
    with pytest.raises(Refused, match="there is no device 7 here: use 1"):
        client.connect()
    client.close()


def test_what_finds_the_inbox_full_is_lost_and_counted() -> None:
    inbox = Inbox(2)
    for i in range(5):
        inbox.put(inbox.packets, v1.PacketIn(payload=bytes([i])))
    assert (inbox.packets.qsize(), inbox.lost) == (2, 3)


def test_idle_notices_become_keys_and_unknown_ones_are_left_out(wire: Wire, client: Client) -> None:
    client.connect()
    assert client.stream is not None
    notice = v1.IdleTimeoutNotification(table_entry=[client.message(EntryUpdate(DELETE, acl(1))).entity.table_entry])
    notice.table_entry.add(table_id=7)
    client.stream.hear(v1.StreamMessageResponse(idle_timeout_notification=notice))
    assert client.idle_entries() == [acl(1)]
    assert client.idle_entries() == []


def test_packet_in_has_its_header_by_name(client: Client) -> None:
    client.connect()
    assert client.stream is not None
    packet = v1.PacketIn(payload=b"frame")
    packet.metadata.add(metadata_id=3, value=b"\x28")
    client.stream.hear(v1.StreamMessageResponse(packet=packet))
    assert client.packet_in(1.0) == (b"frame", {"verdict": 0, "pad": 0, "reason": 40, "group": 0, "port": 0})
    assert client.packet_in(0.0) is None


def test_device_that_sends_entries_that_cannot_be_is_unavailable(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.connect()
    bad = v1.Entity(table_entry={"table_id": SCHEMA.table("acl").id})
    monkeypatch.setattr(client, "read", lambda _entities: iter([bad]))
    with pytest.raises(Unavailable, match="answers with an entry that cannot be: acl: the exact field 'bank'"):
        client.read_entries(["acl"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClientOptions(address="x:1", device_id=0), "device id 0"),
        (lambda: ClientOptions(address="x:1", election_id=1 << 128), "128 bits"),
        (lambda: ClientOptions(address="x:1", plaintext=True, tls=TlsFiles(ca=Path("x"))), "exclude each other"),
        (lambda: ServerOptions(), "needs a certificate and a private key"),
        (lambda: ServerOptions(address="0.0.0.0:9559", plaintext=True), "is not loopback"),
        (lambda: ServerOptions(device_id=0, plaintext=True), "device id 0"),
        (lambda: Client(ClientOptions(address="x:1", tls=TlsFiles(ca=Path("/nothing"))), SCHEMA), "cannot read"),
        (lambda: Client(ClientOptions(address="x:1", tls=TlsFiles(certificate=Path("x"))), SCHEMA), "go together"),
        (lambda: serve(MemoryBackend(), ServerOptions(address="192.0.2.1:1", tls=TLS)), "cannot read"),
        (lambda: serve(MemoryBackend(), ServerOptions(address="unix:/nothing/there", plaintext=True)), "cannot listen"),
        *(
            (lambda address=address: ServerOptions(address=address, plaintext=True), "is not HOST:PORT")
            for address in (
                "nonsense",
                "",
                ":9559",
                "127.0.0.1:",
                "127.0.0.1:x",
                "127.0.0.1:65536",
                "::1:9559",
                "unix:",
            )
        ),
    ],
)
def test_options_that_do_not_fit_are_refused_with_the_fix(make: Any, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        make()


def test_tls_with_client_certificates_lets_in_who_has_one(tmp_path: Path) -> None:
    dev_ca.make(tmp_path, (("client", "gamma"),))
    served = TlsFiles(ca=tmp_path / "ca.pem", certificate=tmp_path / "server.pem", private_key=tmp_path / "server.key")
    known = TlsFiles(
        ca=tmp_path / "ca.pem",
        certificate=tmp_path / "client-gamma.pem",
        private_key=tmp_path / "client-gamma.key",
    )
    running = serve(MemoryBackend(), ServerOptions(address="127.0.0.1:0", tls=served))
    address = f"localhost:{running.port}"
    try:
        good = Client(ClientOptions(address=address, tls=known), SCHEMA)
        assert good.connect() == 1
        good.close()
        for options in (
            ClientOptions(address=address, tls=TlsFiles(ca=tmp_path / "ca.pem")),
            ClientOptions(address=address, plaintext=True),
        ):
            bad = Client(options, SCHEMA)
            with pytest.raises(Unavailable):
                bad.connect()
            bad.close()
    finally:
        running.close()
        shutil.rmtree(tmp_path)
