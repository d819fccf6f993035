"""The server over a real socket: who may call what, and the code of every refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import grpc
import pytest

from dpu_app.model.plan_packet import PlanAcl, PlanTables
from dpu_app.p4rt.arbitration import uint128
from dpu_app.p4rt.backend import BackendError
from dpu_app.p4rt.codec import Call, Key
from dpu_app.p4rt.memory import MemoryBackend
from dpu_app.p4rt.service import Outbox
from dpu_app.p4rt.stubs import Message, code, v1
from tests.unit.dpu_app.p4rt.packet_samples import DENIED, TABLES
from tests.unit.dpu_app.p4rt.wire import DELETE, INSERT, MODIFY, SCHEMA, TIMEOUT_S, Wire, entry, failed, serving

VIP = Key("vip", (0, 0x20010DB8 << 96, 6, 443))
SERVICE = Call("service", (1,))
EPOCH = Key("set_epoch")
FIRST = v1.SetForwardingPipelineConfigRequest
Status = grpc.StatusCode


@pytest.fixture
def wire() -> Iterator[Wire]:
    with serving() as made:
        yield made


def refusal(call: Callable[[], object]) -> tuple[Status, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return failed(raised.value)


def acl(i: int) -> Key:
    return Key("acl", (0, 1, ((0xFFFF << 32) | i, (1 << 128) - 1), (0, 0)), 257)


def set_pipeline(wire: Wire, action: int, **fields: Any) -> None:
    request = FIRST(device_id=1, election_id=uint128(1), action=action, **fields)
    wire.stub.SetForwardingPipelineConfig(request, timeout=TIMEOUT_S)


def ours(cookie: int = 5) -> Message:
    return v1.ForwardingPipelineConfig(p4info=SCHEMA.p4info, cookie={"cookie": cookie})


def test_capabilities_name_the_version(wire: Wire) -> None:
    assert wire.stub.Capabilities(v1.CapabilitiesRequest(), timeout=TIMEOUT_S).p4runtime_api_version == "1.5.0"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"device_id": 2}, Status.NOT_FOUND),
        ({"role": "sdn"}, Status.NOT_FOUND),
        ({"role_id": 3}, Status.NOT_FOUND),
        ({"election_id": uint128(2)}, Status.PERMISSION_DENIED),
        ({"election_id": None}, Status.PERMISSION_DENIED),
        ({"atomicity": v1.WriteRequest.ROLLBACK_ON_ERROR}, Status.UNIMPLEMENTED),
        ({"atomicity": v1.WriteRequest.DATAPLANE_ATOMIC}, Status.UNIMPLEMENTED),
    ],
)
def test_write_is_refused_as_a_whole(wire: Wire, fields: dict[str, Any], status: Status) -> None:
    wire.bid()
    assert refusal(lambda: wire.write(entry(INSERT, VIP, SERVICE), **fields))[0] is status
    assert wire.backend.writes == 0


def test_nobody_writes_before_an_arbitration_and_after_the_primary_is_gone(wire: Wire) -> None:
    assert refusal(lambda: wire.write(entry(INSERT, VIP, SERVICE)))[0] is Status.PERMISSION_DENIED
    stream, watcher = wire.bid(), wire.stream()
    watcher.bid(None)
    assert watcher.hear().arbitration.status.code == code.ALREADY_EXISTS
    stream.close()
    assert watcher.hear().arbitration.status.code == code.NOT_FOUND
    status, text = refusal(lambda: wire.write(entry(INSERT, VIP, SERVICE)))
    assert (status, "nobody is primary" in text) == (Status.PERMISSION_DENIED, True)


def test_new_primary_takes_the_right_to_write(wire: Wire) -> None:
    first = wire.bid()
    wire.bid(2)
    assert first.hear().arbitration.status.code == code.ALREADY_EXISTS
    status, text = refusal(lambda: wire.write(entry(INSERT, VIP, SERVICE)))
    assert (status, "another controller is primary" in text) == (Status.PERMISSION_DENIED, True)
    assert wire.write(entry(INSERT, VIP, SERVICE), election_id=uint128(2)) == [(0, "")]


def test_each_entry_has_its_own_error_in_the_order_of_the_batch(wire: Wire) -> None:
    wire.bid()
    wire.write(entry(INSERT, VIP, SERVICE))
    found = wire.write(
        entry(INSERT, VIP, SERVICE),
        entry(INSERT, acl(1), Call("permit")),
        entry(MODIFY, acl(2), Call("permit")),
        entry(DELETE, acl(3)),
        entry(INSERT, acl(4)),
        entry(MODIFY, VIP, Call("service", (2,))),
    )
    expected = [code.ALREADY_EXISTS, 0, code.NOT_FOUND, code.NOT_FOUND, code.INVALID_ARGUMENT, 0]
    assert [status for status, _text in found] == expected
    assert [vip.service for vip in wire.backend.banks[0].vips] == [2]
    assert len(wire.backend.banks[0].acl) == 1


def test_modify_without_an_action_keeps_it(wire: Wire) -> None:
    wire.bid()
    deny = Call("deny", (DENIED,))
    wire.write(entry(INSERT, acl(1), deny))
    assert wire.write(entry(MODIFY, acl(1)), entry(MODIFY, acl(2))) == [(0, ""), (code.NOT_FOUND, mock.ANY)]
    assert wire.service.tables.state.entries["acl"] == {acl(1): deny}


@pytest.mark.parametrize(
    ("kind", "key", "action", "status"),
    [
        (INSERT, VIP, Call("NoAction"), code.PERMISSION_DENIED),
        (MODIFY, Key("vip"), Call("service", (1,)), code.PERMISSION_DENIED),
        (INSERT, VIP, Call("permit"), code.INVALID_ARGUMENT),
        (MODIFY, Key("vip"), Call("permit"), code.INVALID_ARGUMENT),
    ],
)
def test_action_that_an_entry_cannot_have_is_refused(
    wire: Wire, kind: int, key: Key, action: Call, status: int
) -> None:
    wire.bid()
    assert [found for found, _text in wire.write(entry(kind, key, action))] == [status]


def test_default_entries_are_modified_only(wire: Wire) -> None:
    wire.bid()
    flip = Call("set_epoch", (1,))
    found = wire.write(
        entry(INSERT, EPOCH, flip),
        entry(DELETE, EPOCH),
        entry(MODIFY, EPOCH),
        entry(MODIFY, Key("vip"), Call("NoAction")),
        entry(MODIFY, EPOCH, flip),
    )
    refused = [code.INVALID_ARGUMENT] * 3 + [code.PERMISSION_DENIED, 0]
    assert [status for status, _text in found] == refused
    assert wire.backend.bank == 1


def test_read_selects_by_table_key_priority_and_action(wire: Wire) -> None:
    wire.bid()
    wire.write(entry(INSERT, acl(1), Call("permit")), entry(INSERT, acl(2), Call("deny", (DENIED,))))
    wire.write(entry(INSERT, VIP, SERVICE))
    acl_id, deny = SCHEMA.table("acl").id, SCHEMA.action("deny").id

    def count(**fields: Any) -> int:
        return len(wire.read(v1.Entity(table_entry=v1.TableEntry(**fields))))

    assert count() == 3
    assert count(table_id=acl_id) == 2
    assert count(table_id=acl_id, priority=257) == 2
    assert count(table_id=acl_id, priority=1) == 0
    assert count(table_id=acl_id, action={"action": {"action_id": deny}}) == 1
    one = wire.read(v1.Entity(table_entry=entry(INSERT, acl(2)).entity.table_entry))
    assert [item.table_entry.action.action.action_id for item in one] == [deny]
    assert count(is_default_action=True) == 7
    assert count(table_id=acl_id, match=entry(INSERT, acl(2)).entity.table_entry.match) == 1
    assert count(table_id=acl_id, match=entry(INSERT, acl(3)).entity.table_entry.match) == 0


def test_read_of_a_meter_or_counter_without_index_gives_every_cell(wire: Wire) -> None:
    meter, counter = SCHEMA.meter("service_bytes").id, SCHEMA.counter("reasons").id
    wire.backend.counted[40] = (2, 120)
    assert len(wire.read(v1.Entity(meter_entry=v1.MeterEntry(meter_id=meter)))) == 64
    found = wire.read(v1.Entity(counter_entry=v1.CounterEntry(counter_id=counter)))
    assert len(found) == 128
    assert (found[40].counter_entry.data.packet_count, found[40].counter_entry.data.byte_count) == (2, 120)


def test_long_answers_come_in_several_messages(wire: Wire) -> None:
    meter = v1.Entity(meter_entry=v1.MeterEntry(meter_id=SCHEMA.meter("source_bytes").id))
    request = v1.ReadRequest(device_id=1, entities=[meter])
    sizes = [len(reply.entities) for reply in wire.stub.Read(request, timeout=60)]
    assert sum(sizes) == 65_536
    assert max(sizes) == 500


@pytest.mark.parametrize(
    ("entity", "fields", "status"),
    [
        (v1.Entity(), {}, Status.INVALID_ARGUMENT),
        (v1.Entity(register_entry={}), {}, Status.UNIMPLEMENTED),
        (v1.Entity(direct_meter_entry={}), {}, Status.INVALID_ARGUMENT),
        (v1.Entity(table_entry={"table_id": 7}), {}, Status.INVALID_ARGUMENT),
        (v1.Entity(table_entry={"priority": 7}), {}, Status.INVALID_ARGUMENT),
        (v1.Entity(table_entry={"counter_data": {}}), {}, Status.INVALID_ARGUMENT),
        (v1.Entity(counter_entry={"counter_id": 7}), {}, Status.INVALID_ARGUMENT),
        (v1.Entity(counter_entry={"index": {"index": 128}}), {}, Status.OUT_OF_RANGE),
        (v1.Entity(meter_entry={"meter_id": 7}), {}, Status.INVALID_ARGUMENT),
        (v1.Entity(meter_entry={"index": {"index": -1}}), {}, Status.INVALID_ARGUMENT),
        (v1.Entity(table_entry={}), {"device_id": 9}, Status.NOT_FOUND),
        (v1.Entity(table_entry={}), {"role": "sdn"}, Status.NOT_FOUND),
    ],
)
def test_read_of_what_is_not_here_has_its_code(
    wire: Wire, entity: Message, fields: dict[str, Any], status: Status
) -> None:
    assert refusal(lambda: wire.read(entity, **fields))[0] is status


def test_pipeline_is_ours_with_a_cookie_that_clients_know(wire: Wire) -> None:
    request = v1.GetForwardingPipelineConfigRequest(device_id=1)
    has = wire.stub.GetForwardingPipelineConfig(request, timeout=TIMEOUT_S).config
    assert has.p4info == SCHEMA.p4info
    assert has.cookie.cookie == SCHEMA.cookie()
    request.response_type = v1.GetForwardingPipelineConfigRequest.COOKIE_ONLY
    assert not wire.stub.GetForwardingPipelineConfig(request, timeout=TIMEOUT_S).config.HasField("p4info")
    request.device_id = 2
    call = wire.stub.GetForwardingPipelineConfig
    assert refusal(lambda: call(request, timeout=TIMEOUT_S))[0] is Status.NOT_FOUND


def test_commit_empties_the_tables_and_reconcile_keeps_them(wire: Wire) -> None:
    wire.bid()
    wire.write(entry(INSERT, VIP, SERVICE))
    set_pipeline(wire, FIRST.VERIFY, config=ours())
    set_pipeline(wire, FIRST.RECONCILE_AND_COMMIT, config=ours())
    assert len(wire.backend.banks[0].vips) == 1
    set_pipeline(wire, FIRST.VERIFY_AND_COMMIT, config=ours(cookie=9))
    assert wire.backend.banks == [PlanTables(), PlanTables()]
    assert wire.read(v1.Entity(table_entry={})) == []
    request = v1.GetForwardingPipelineConfigRequest(device_id=1)
    assert wire.stub.GetForwardingPipelineConfig(request, timeout=TIMEOUT_S).config.cookie.cookie == 9


def test_commit_of_a_pipeline_makes_bank_0_the_live_one(wire: Wire) -> None:
    wire.bid()
    wire.write(entry(MODIFY, EPOCH, Call("set_epoch", (1,))))
    set_pipeline(wire, FIRST.VERIFY_AND_COMMIT, config=ours())
    wanted = v1.TableEntry(table_id=SCHEMA.table("set_epoch").id, is_default_action=True)
    [found] = wire.read(v1.Entity(table_entry=wanted))
    assert [param.value for param in found.table_entry.action.action.params] == [b"\x00"]
    assert wire.backend.bank == 0


def test_saved_pipeline_is_committed_once(wire: Wire) -> None:
    wire.bid()
    assert refusal(lambda: set_pipeline(wire, FIRST.COMMIT))[0] is Status.NOT_FOUND
    set_pipeline(wire, FIRST.VERIFY_AND_SAVE, config=ours())
    assert refusal(lambda: set_pipeline(wire, FIRST.COMMIT, config=ours()))[0] is Status.INVALID_ARGUMENT
    set_pipeline(wire, FIRST.COMMIT)
    assert refusal(lambda: set_pipeline(wire, FIRST.COMMIT))[0] is Status.NOT_FOUND


@pytest.mark.parametrize(
    "config",
    [
        v1.ForwardingPipelineConfig(),
        v1.ForwardingPipelineConfig(p4info={"pkg_info": {"name": "other"}}),
        v1.ForwardingPipelineConfig(p4info=SCHEMA.p4info, p4_device_config=b"x"),
    ],
)
def test_another_pipeline_is_refused(wire: Wire, config: Message) -> None:
    wire.bid()
    call = refusal(lambda: set_pipeline(wire, FIRST.VERIFY_AND_COMMIT, config=config))
    assert call[0] is Status.INVALID_ARGUMENT


def test_tables_of_the_agent_are_read_only_and_follow_it() -> None:
    backend = MemoryBackend(writable=False)
    with serving(backend=backend) as wire:
        wire.bid()
        backend.banks[1] = TABLES
        assert len(wire.read(v1.Entity(table_entry={"table_id": SCHEMA.table("acl").id}))) == len(TABLES.acl)
        for call in (
            lambda: wire.write(entry(INSERT, VIP, SERVICE)),
            lambda: set_pipeline(wire, FIRST.VERIFY_AND_COMMIT, config=ours()),
        ):
            status, text = refusal(call)
            assert (status, "packet.programmed_by" in text) == (Status.FAILED_PRECONDITION, True)
        assert backend.banks[1] == TABLES


def test_full_map_of_the_back_end_refuses_the_batch_and_keeps_what_was() -> None:
    backend = MemoryBackend(acl_max=2)
    with serving(backend=backend) as wire:
        wire.bid()
        wire.write(entry(INSERT, acl(1), Call("permit")))
        found = wire.write(*(entry(INSERT, acl(i), Call("permit")) for i in (2, 3)))
        assert [status for status, _text in found] == [code.RESOURCE_EXHAUSTED] * 2
        assert len(wire.read(v1.Entity(table_entry={}))) == len(backend.banks[0].acl) == 1


def test_back_end_that_fails_is_internal_and_nothing_is_said_to_be_there() -> None:
    class Broken(MemoryBackend):
        def write(self, bank: int, tables: PlanTables) -> None:
            raise BackendError("the kernel said no")

    with serving(backend=Broken()) as wire:
        wire.bid()
        assert wire.write(entry(INSERT, VIP, SERVICE)) == [(code.INTERNAL, "the kernel said no")]
        assert wire.read(v1.Entity(table_entry={})) == []


def test_entry_that_somebody_took_out_of_the_maps_is_not_read(wire: Wire) -> None:
    wire.bid()
    wire.write(entry(INSERT, acl(1), Call("permit")), entry(INSERT, acl(2), Call("permit")))
    wire.backend.banks[0] = PlanTables(acl=(PlanAcl(1, "0.0.0.1/32", 0, 0),))
    assert len(wire.read(v1.Entity(table_entry={}))) == 1


def test_more_updates_or_entities_than_allowed_are_refused_and_counted() -> None:
    with serving(updates_max=2, entities_max=2) as wire:
        wire.bid()
        updates = [entry(INSERT, acl(i), Call("permit")) for i in range(3)]
        assert refusal(lambda: wire.write(*updates))[0] is Status.RESOURCE_EXHAUSTED
        many = [v1.Entity(table_entry={})] * 3
        assert refusal(lambda: wire.read(*many))[0] is Status.RESOURCE_EXHAUSTED
        assert dict(wire.service.hits)["updates"] == dict(wire.service.hits)["entities"] == 1


def test_answers_beyond_the_bound_end_the_read_and_are_counted() -> None:
    every = v1.Entity(meter_entry=v1.MeterEntry(meter_id=SCHEMA.meter("service_bytes").id))
    with serving(results_max=64 * 3) as wire:
        assert len(wire.read(*[every] * 3)) == 64 * 3
        status, text = refusal(lambda: wire.read(*[every] * 4))
        assert (status, "send several" in text) == (Status.RESOURCE_EXHAUSTED, True)
        assert wire.service.hits["results"] == 1


def test_read_that_is_not_fetched_lets_others_write_and_says_what_was(wire: Wire) -> None:
    wire.bid()
    wire.write(*(entry(INSERT, acl(i), Call("permit")) for i in range(700)))
    answers = wire.service.Read(v1.ReadRequest(device_id=1, entities=[v1.Entity(table_entry={})]), None)
    first = next(answers)
    assert wire.write(*(entry(DELETE, acl(i)) for i in range(700))) == [(0, "")] * 700
    assert len(first.entities) + sum(len(reply.entities) for reply in answers) == 700


def test_one_controller_too_many_is_refused_and_counted_and_room_comes_back() -> None:
    with serving(streams_max=1) as wire:
        first = wire.bid()
        assert wire.stream().code() is Status.RESOURCE_EXHAUSTED
        assert wire.service.hits["streams"] == 1
        first.close()
        assert first.code() is Status.OK
        wire.bid()


def test_stream_without_an_arbitration_ends_and_leaves_its_place_to_others() -> None:
    with serving(arbitration_wait_s=0.2, streams_max=1) as wire:
        silent = wire.stream()
        silent.send(packet=v1.PacketOut(payload=b"x"))
        assert silent.code() is Status.DEADLINE_EXCEEDED
        assert "send one first" in str(silent.call.details())
        assert wire.service.hits["arbitration_wait"] == 1
        wire.bid()


def test_stream_of_a_controller_that_bid_stays() -> None:
    with serving(arbitration_wait_s=0) as wire:
        outbox = Outbox(2)
        outbox.live = True
        outbox.end()
        assert list(wire.service.outgoing(outbox, None)) == []
        assert wire.service.hits["arbitration_wait"] == 0


def test_message_beyond_the_limit_is_refused() -> None:
    with serving(message_bytes_max=1_000) as wire:
        wire.bid()
        updates = [entry(INSERT, acl(i), Call("permit")) for i in range(100)]
        assert refusal(lambda: wire.write(*updates))[0] is Status.RESOURCE_EXHAUSTED
        assert wire.write(entry(INSERT, VIP, SERVICE)) == [(0, "")]


@pytest.mark.parametrize(
    ("election_id", "device_id", "role", "status"),
    [(2, 7, "", Status.NOT_FOUND), (1, 1, "", Status.INVALID_ARGUMENT), (2, 1, "sdn", Status.INVALID_ARGUMENT)],
)
def test_bid_that_cannot_be_ends_the_stream(
    wire: Wire, election_id: int, device_id: int, role: str, status: Status
) -> None:
    wire.bid(1)
    stream = wire.stream()
    stream.bid(election_id, device_id, role)
    assert stream.code() is status


@pytest.mark.parametrize(
    ("update", "detail"),
    [
        ({"packet": v1.PacketOut(payload=b"x")}, "packet_out"),
        ({"digest_ack": v1.DigestListAck()}, "digest_list_ack"),
        ({}, "other"),
    ],
)
def test_stream_message_that_is_not_supported_is_answered_with_an_error(
    wire: Wire, update: dict[str, Message], detail: str
) -> None:
    stream = wire.bid()
    stream.send(**update)
    error = stream.hear().error
    assert (error.canonical_code, error.WhichOneof("details")) == (code.UNIMPLEMENTED, detail)


def test_controller_that_does_not_read_loses_its_stream_and_is_counted() -> None:
    with serving(stream_messages_max=2) as wire:
        outbox = Outbox(2)
        for election_id in (1, 2, 3):
            message = v1.MasterArbitrationUpdate(device_id=1, election_id=uint128(election_id))
            wire.service.hear(outbox, v1.StreamMessageRequest(arbitration=message))
        assert wire.service.hits["stream_messages"] == 1
        waiting = [outbox.messages.get_nowait() for _ in range(outbox.messages.qsize())]
        assert [getattr(item, "status", None) for item in waiting][-1] == code.RESOURCE_EXHAUSTED
