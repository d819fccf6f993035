"""What the P4Runtime target does about each refusal and silence of a DPL-like server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dpu_app.model.plan_packet import PlanAcl, PlanBucket, PlanTables
from dpu_app.p4rt import entities, schema
from dpu_app.p4rt.client import Client
from dpu_app.p4rt.errors import Refused
from dpu_app.p4rt.options import ClientOptions
from dpu_app.p4rt.stubs import code, v1
from dpu_app.targets.base import TargetRefused, TargetUnavailable
from dpu_app.targets.p4runtime import P4RuntimeTarget
from tests.contract.dpl_like import DPL_QUIRKS, DplLike, Quirk, small_schema
from tests.unit.dpu_app.p4rt.packet_samples import DENIED, TABLES, packet_plan, with_acl

Make = Callable[..., tuple[DplLike, P4RuntimeTarget]]
MANY = with_acl(*(PlanAcl(1, f"10.0.{i}.0/24", 0, DENIED) for i in range(6)))


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes a server with quirks and a target on it."""
    made: list[Any] = []

    def build(*quirks: Quirk, found: schema.Schema | None = None, **options: Any) -> tuple[DplLike, P4RuntimeTarget]:
        dpl = DplLike(quirks, found=found)
        given: dict[str, Any] = {"arbitration": "try", "arbitration_timeout_s": 0.1, **options}
        target = P4RuntimeTarget(ClientOptions(address=dpl.address, plaintext=True, **given))
        made.extend([dpl, target])
        return dpl, target

    yield build
    for item in reversed(made):
        item.close()


def live(dpl: DplLike) -> int:
    """The bank that frames see."""
    call = dpl.tables.state.defaults.get("set_epoch")
    return call.params[0] if call else 0


def holds(dpl: DplLike, bank: int, tables: PlanTables) -> bool:
    """Whether a bank has the entries of tables and no other."""
    found = dpl.tables.state.all_entries(entities.BANKED)
    return {key: call for key, call in found.items() if key.match[0] == bank} == entities.entries(tables, bank)


@pytest.mark.parametrize(
    "quirks",
    [
        (Quirk.NO_ARBITRATION, Quirk.ANY_WRITER),
        (Quirk.ENDS_STREAM_ON_ARBITRATION, Quirk.ANY_WRITER),
        (Quirk.NO_CAPABILITIES,),
        (Quirk.NO_COUNTER_READ,),
        (Quirk.DROPS_STREAM,),
        tuple(DPL_QUIRKS),
    ],
    ids=lambda quirks: quirks[0].name.lower() if len(quirks) < 3 else "dpl",
)
def test_plan_is_programmed_all_the_same(make: Make, quirks: tuple[Quirk, ...]) -> None:
    dpl, target = make(*quirks)
    assert target.apply(packet_plan()) is True
    assert holds(dpl, live(dpl), TABLES)
    assert target.read_back().digest == target.digest(packet_plan())


def test_required_arbitration_that_is_never_answered_is_said_with_the_fix(make: Make) -> None:
    _dpl, target = make(*DPL_QUIRKS, arbitration="required")
    with pytest.raises(TargetUnavailable, match=r"did not answer the arbitration \(fix: arbitration 'try' or 'off'\)"):
        target.apply(packet_plan())


def test_without_arbitration_no_stream_is_opened(make: Make) -> None:
    dpl, target = make(*DPL_QUIRKS, arbitration="off")
    assert target.apply(packet_plan()) is True
    assert dpl.service.streams_open == []


def test_backup_reads_and_does_not_write(make: Make) -> None:
    dpl, target = make()
    other = P4RuntimeTarget(ClientOptions(address=dpl.address, plaintext=True, election_id=9))
    assert other.apply(packet_plan()) is True
    assert target.read_back().digest == target.digest(packet_plan())
    with pytest.raises(TargetUnavailable, match=r"another controller is primary \(highest election id: 9\)"):
        target.apply(packet_plan(epoch=2))
    other.close()


def modifies(dpl: DplLike) -> int:
    """MODIFY of regular entries that came."""
    updates = (update for update in dpl.tables.writes if update.type == v1.Update.MODIFY)
    return len([update for update in updates if update.entity.table_entry.match])


def test_refused_modify_becomes_delete_and_insert_and_is_not_tried_again(make: Make) -> None:
    dpl, target = make(Quirk.NO_MODIFY)
    for plan, tables in ((packet_plan(), TABLES), (packet_plan(MANY, epoch=2), MANY)):
        changed = with_acl(*(replace(item, deny=0) for item in tables.acl))
        state = dpl.tables.state
        for key, call in entities.entries(changed, 1 - live(dpl)).items():
            state.entries[key.table][key] = call
        target.apply(plan)
        assert holds(dpl, live(dpl), tables)
    assert modifies(dpl) == 2


def test_bucket_that_the_device_cannot_meter_is_named_and_nothing_changes(make: Make) -> None:
    dpl, target = make(Quirk.BYTE_METERS_ONLY)
    good = replace(TABLES, meters=(replace(TABLES.meters[0], source_packets=None),))
    target.apply(packet_plan(good))
    before = {meter: dict(cells) for meter, cells in dpl.tables.state.cells.items()}
    with pytest.raises(TargetRefused) as refused:
        target.apply(packet_plan(epoch=2))
    assert {problem.path for problem in refused.value.problems} == {"packet.meters[0].per_source.packets"}
    assert holds(dpl, live(dpl), good)
    assert holds(dpl, 1 - live(dpl), PlanTables())
    assert dpl.tables.state.cells == before
    assert target.read_back().digest == target.digest(packet_plan(good))


def test_burst_beyond_the_device_is_named(make: Make) -> None:
    _dpl, target = make(Quirk.RATE_LIMITS)
    meter = replace(TABLES.meters[0], service_bytes=PlanBucket(1, 3_000_000_000))
    with pytest.raises(TargetRefused, match=r"packet.meters\[0\].per_service.bytes.*OUT_OF_RANGE"):
        target.apply(packet_plan(replace(TABLES, meters=(meter,))))


def test_rounded_rate_is_the_one_that_was_given(make: Make) -> None:
    dpl, target = make(Quirk.ROUNDS_RATES)
    assert target.apply(packet_plan()) is True
    assert dpl.tables.state.cells["service_bytes"][1].cir == 999_999
    assert target.read_back().digest == target.digest(packet_plan())
    written = len(dpl.tables.writes)
    again = P4RuntimeTarget(replace(target.client.options, election_id=2))
    assert again.apply(packet_plan()) is False
    assert again.read_back().digest == target.digest(packet_plan())
    assert len(dpl.tables.writes) == written
    dpl.tables.state.cells["service_bytes"][1] = dpl.tables.state.cells["service_bytes"][1]._replace(cir=900_000)
    again.client.drop()
    assert again.read_back().digest != target.digest(packet_plan())
    again.close()


def test_full_table_is_refused_with_the_entry_and_the_old_plan_stays(make: Make) -> None:
    small = with_acl(*(PlanAcl(1, f"10.0.{i}.0/24", 0, DENIED) for i in range(32)))
    other = with_acl(*(PlanAcl(1, f"10.1.{i}.0/24", 0, DENIED) for i in range(32)))
    dpl, target = make(Quirk.DEFAULT_ENTRY_TAKES_ROOM, found=small_schema())
    target.apply(packet_plan(small))
    with pytest.raises(TargetRefused) as refused:
        target.apply(packet_plan(other, epoch=2))
    assert [problem.path for problem in refused.value.problems] == ["packet.acl[31]"]
    assert "it holds 63 entries" in refused.value.problems[0].what
    assert holds(dpl, live(dpl), small)
    assert holds(dpl, 1 - live(dpl), PlanTables())


def test_entries_that_fail_are_named_and_the_others_taken_back(make: Make) -> None:
    dpl, target = make()
    target.apply(packet_plan())
    dpl.quirks = frozenset({Quirk.FAILS_ENTRIES})
    with pytest.raises(TargetRefused) as refused:
        target.apply(packet_plan(MANY, epoch=2))
    assert [problem.path for problem in refused.value.problems] == ["packet.acl[2]", "packet.acl[5]"]
    assert holds(dpl, live(dpl), TABLES)
    assert holds(dpl, 1 - live(dpl), PlanTables())


def test_half_a_batch_is_found_and_finished_by_the_next_attempt(make: Make) -> None:
    dpl, target = make(Quirk.PARTIAL_BATCH)
    with pytest.raises(TargetUnavailable, match="without saying which entries"):
        target.apply(packet_plan())
    assert target.apply(packet_plan()) is True
    assert holds(dpl, live(dpl), TABLES)


@pytest.mark.parametrize("quirk", [Quirk.LIES_AT_READ, Quirk.FORGETS])
def test_bank_that_reads_back_as_something_else_never_becomes_live(make: Make, quirk: Quirk) -> None:
    dpl, target = make(quirk)
    with pytest.raises(TargetUnavailable, match="reads back something else"):
        target.apply(packet_plan())
    assert live(dpl) == 0


def test_slow_device_is_unavailable_and_gets_its_plan_later(make: Make) -> None:
    dpl, target = make(Quirk.SLOW, call_timeout_s=0.2, reconnect_first_s=0.0)
    with pytest.raises(TargetUnavailable, match="did not answer a Write in time"):
        target.apply(packet_plan())
    dpl.quirks = frozenset()
    target.client.due_at = 0.0
    dpl.service.lock.acquire()  # what was begun in time is over
    dpl.service.lock.release()
    target.client.options = replace(target.client.options, call_timeout_s=10.0)
    assert target.apply(packet_plan()) is True
    assert holds(dpl, live(dpl), TABLES)


def test_device_without_a_pipeline_needs_a_device_config(make: Make) -> None:
    _dpl, target = make(Quirk.NO_PIPELINE)
    with pytest.raises(TargetUnavailable, match="has no pipeline: give the device config"):
        target.read_back()


def test_pipeline_is_pushed_once(make: Make, tmp_path: Path) -> None:
    (tmp_path / "dpl.bin").write_bytes(b"what the compiler made")
    dpl, target = make(Quirk.NO_PIPELINE, device_config=tmp_path / "dpl.bin")
    target.apply(packet_plan())
    target.client.drop()
    assert target.read_back().digest == target.digest(packet_plan())
    assert dpl.service.pushes == 1


def test_pipeline_is_not_pushed_where_it_may_not_be(make: Make, tmp_path: Path) -> None:
    (tmp_path / "dpl.bin").write_bytes(b"x")
    dpl, target = make(Quirk.NO_PIPELINE, device_config=tmp_path / "dpl.bin", pipeline="never")
    with pytest.raises(TargetUnavailable, match=r"we may not push ours \(pipeline 'never'\)"):
        target.read_back()
    assert dpl.service.pushes == 0


@pytest.mark.parametrize(("pipeline", "stays"), [("commit", False), ("reconcile", True)])
def test_push_of_another_config_clears_the_tables_or_keeps_them(
    make: Make, tmp_path: Path, pipeline: str, stays: bool
) -> None:
    (tmp_path / "dpl.bin").write_bytes(b"the next version")
    dpl, target = make(device_config=tmp_path / "dpl.bin", pipeline=pipeline)
    for key, call in entities.entries(TABLES, 0).items():
        dpl.entries(key.table)[key] = call
    target.read_back()
    assert dpl.service.pushes == 1
    assert holds(dpl, 0, TABLES if stays else PlanTables())


def test_pipeline_with_odd_sizes_is_refused_by_the_device(make: Make, tmp_path: Path) -> None:
    (tmp_path / "dpl.bin").write_bytes(b"x")
    odd = tmp_path / "odd.txtpb"
    odd.write_text(Path(schema.P4INFO_PLACES[1]).read_text().replace("size: 4096", "size: 4000"))
    _dpl, target = make(Quirk.NO_PIPELINE, Quirk.POWER_OF_TWO_SIZES, device_config=tmp_path / "dpl.bin", p4info=odd)
    with pytest.raises(TargetUnavailable, match="INVALID_ARGUMENT: the size of a table has to be a power of two"):
        target.read_back()


def test_counters_that_cannot_be_read_are_refused_by_code(make: Make) -> None:
    _dpl, target = make(Quirk.NO_COUNTER_READ)
    client: Client = target.client
    with pytest.raises(Refused) as refused:
        client.read_counters("reasons")
    assert refused.value.status == code.UNIMPLEMENTED


def test_restarted_device_is_found_empty_and_programmed_again(make: Make) -> None:
    dpl, target = make(reconnect_first_s=0.0, reconnect_last_s=0.1)
    target.apply(packet_plan())
    port = dpl.server.port
    dpl.close()
    with pytest.raises(TargetUnavailable, match="nobody serves P4Runtime"):
        target.read_back()
    again = DplLike((), port=port)
    try:
        while True:
            try:
                has = target.read_back()
                break
            except TargetUnavailable:
                target.client.due_at = 0.0
        assert (has.epoch, has.digest) == (0, b"")
        assert target.apply(packet_plan()) is True
        assert holds(again, live(again), TABLES)
    finally:
        target.close()
        again.close()
