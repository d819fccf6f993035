"""The XDP target on an interface: whose program is there, who comes back, what somebody changed, what does not fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import TCP

from deploy.local import netns
from deploy.local.namespaces import WIRE
from dpu_app.model.plan import EMPTY_PLAN
from dpu_app.targets.base import Programmed, TargetRefused, TargetUnavailable
from dpu_app.targets.packet import attach, bpf, generation
from dpu_app.targets.packet import target as target_module
from dpu_app.targets.packet.attach import SomebodyElse
from dpu_app.targets.packet.layout import BANKS
from dpu_app.targets.packet.programmed import Record
from dpu_app.targets.packet.target import XdpOptions
from tests.integration.packet_lab import needs_packet
from tests.integration.xdp_bench import (
    BLUE,
    GREEN,
    Bench,
    Tamper,
    bench,
    foreign_program,
    key_of,
    set_by_netlink,
    tcp,
    tcp_back,
)

pytestmark = needs_packet


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A programmed target; tests leave it in force."""
    with bench(tmp_path_factory.mktemp("target")) as made:
        yield made


@pytest.fixture
def spare(wire: Bench) -> Iterator[int]:
    """Another veth interface of the DPU, which nobody has."""
    with wire.inside():
        netns.ip(["link add spare0 type veth peer name spare1"], wire.network.names.dpu)
        yield attach.interface_index("spare0")
        netns.ip(["link del spare0"], wire.network.names.dpu)


@pytest.fixture
def foreign() -> Iterator[int]:
    """Somebody else's program."""
    descriptor = foreign_program()
    yield descriptor
    os.close(descriptor)


# --- whose program is there -----------------------------------------------------------------------------------


def test_program_set_by_netlink_is_replaced_with_force_only(wire: Bench, spare: int, foreign: int) -> None:
    ours = wire.generation.program_fd("ingress")
    set_by_netlink(spare, foreign)
    with pytest.raises(SomebodyElse, match="--force"):
        attach.attach_xdp(ours, spare, "auto", force=False)
    assert attach.attached(spare).program_id == bpf.object_id(foreign)
    link, mode = attach.attach_xdp(ours, spare, "auto", force=True)
    assert (attach.attached(spare).program_id, mode) == (bpf.object_id(ours), "native")
    bpf.detach_quietly(link)


@pytest.mark.parametrize("force", [False, True])
def test_program_held_by_a_link_is_never_replaced(wire: Bench, spare: int, foreign: int, force: bool) -> None:
    link = bpf.link_xdp(foreign, spare, attach.FLAGS["native"])
    with pytest.raises(SomebodyElse, match="bpftool"):
        attach.attach_xdp(wire.generation.program_fd("ingress"), spare, "auto", force=force)
    assert attach.attached(spare).program_id == bpf.object_id(foreign)
    bpf.detach_quietly(link)


def their_filter(ifindex: int, program_fd: int) -> None:
    """Somebody else's filter at our place on tc egress."""
    with attach.netlink() as route:
        route.tc("add", "clsact", ifindex)
        route.tc(
            "add-filter", "bpf", ifindex, attach.HANDLE, fd=program_fd, name="theirs", parent=attach.EGRESS_PARENT,
            prio=attach.PRIORITY, protocol=attach.ETH_P_ALL, direct_action=True, classid=1,
        )  # fmt: skip


def test_filter_of_somebody_else_on_tc_egress_is_not_replaced(wire: Bench, spare: int) -> None:
    ours = wire.generation.program_fd("egress")
    their_filter(spare, ours)
    with pytest.raises(SomebodyElse, match="'theirs'"):
        attach.attach_egress(ours, spare)
    with attach.netlink() as route:
        assert attach.egress_filter(route, spare) == "theirs"


@pytest.mark.parametrize(
    ("interface", "mode", "became"),
    [("spare0", "auto", "native"), ("spare0", "generic", "generic"), ("lo", "auto", "generic"), ("lo", "native", "")],
)
def test_mode_falls_back_to_generic_where_it_may(
    wire: Bench, spare: int, interface: str, mode: str, became: str
) -> None:
    ours = wire.generation.program_fd("ingress")
    with wire.inside():
        index = attach.interface_index(interface)
        if became:
            link, said = attach.attach_xdp(ours, index, mode, force=False)
            assert (said, attach.attached(index).mode) == (became, became)
            bpf.detach_quietly(link)
        else:
            with pytest.raises(TargetUnavailable, match="native: "):
                attach.attach_xdp(ours, index, mode, force=False)


def test_mode_that_changes_is_obeyed_or_refused_with_the_one_before_in_force(wire: Bench) -> None:
    wire.program(mode="generic")
    assert wire.attached().mode == "generic" and "generic" in status(wire).detail
    wire.program(mode="auto")
    assert wire.attached().mode == "generic", "it works: no reason to take it off"
    # veth has no native mode where its peer sends more than a page.
    netns.ip([f"link set {WIRE} mtu 9000"], wire.network.names.client)
    with pytest.raises(TargetRefused, match=r"packet\.mode"):
        wire.program(mode="native")
    assert wire.attached().mode == "generic" and status(wire).ready
    netns.ip([f"link set {WIRE} mtu 1500"], wire.network.names.client)
    wire.program(mode="native")
    assert wire.attached().mode == "native" and status(wire).ready
    with wire.inside():
        assert attach.has_egress(wire.ifindex)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Bench]:
    """Another DPU, not programmed."""
    made = Bench(tmp_path)
    yield made
    made.close()


def test_interface_of_somebody_else_is_refused_with_nothing_half_attached(
    wire: Bench, other: Bench, foreign: int
) -> None:
    with other.inside():
        their_filter(other.ifindex, wire.generation.program_fd("egress"))
    with pytest.raises(SomebodyElse, match="tc egress"):
        other.program()
    assert other.attached().mode == "" and status(other).epoch == 0
    with other.inside():
        set_by_netlink(other.ifindex, foreign)
        with attach.netlink() as route:
            route.tc("del", "clsact", other.ifindex)
    with pytest.raises(SomebodyElse, match="--force"):
        other.program()
    with other.inside():
        assert other.attached().program_id == bpf.object_id(foreign) and not attach.has_egress(other.ifindex)


def test_two_agents_on_two_interfaces_leave_each_other_alone(wire: Bench, other: Bench, foreign: int) -> None:
    with other.inside():
        set_by_netlink(other.ifindex, foreign)
    other.options = XdpOptions(force=True)
    other.restart_agent()
    other.program(green=100)
    assert wire.ask(tcp(4, 1, "S"))[1][TCP].dport == BLUE and other.ask(tcp(4, 1, "S"))[1][TCP].dport == GREEN
    assert wire.network.pins != other.network.pins and status(wire).ready and status(other).ready
    with other.inside():
        assert other.target.apply(EMPTY_PLAN)
    assert other.attached().mode == "" and not other.network.pins.exists()
    assert status(wire).ready and wire.attached().program_id == bpf.object_id(wire.generation.program_fd("ingress"))


# --- who comes back -------------------------------------------------------------------------------------------------


def status(wire: Bench) -> Programmed:
    """What the target says of itself."""
    with wire.inside():
        return wire.target.read_back()


def state(wire: Bench) -> tuple[int, tuple[int, int], Record, bytes]:
    """Everything that a second agent must not touch."""
    steer = wire.maps["steer"]
    tables = b"".join(steer.lookup(i.to_bytes(4, "little")) or b"" for i in range(steer.shape.entries_max))
    return wire.attached().program_id, wire.maps.epoch(), Record.read(wire.maps), tables


def test_next_agent_adopts_and_changes_nothing(wire: Bench) -> None:
    wire.forget_flows()
    wire.push(tcp(6, 2, "A"))
    before, flows = state(wire), wire.flows()
    wire.restart_agent()
    assert status(wire).digest == wire.target.digest(wire.plan) and "native" in status(wire).detail
    with wire.inside():
        assert not wire.target.apply(wire.plan)
    assert (state(wire), wire.flows()) == (before, flows)


def test_agent_without_notes_takes_the_tables_as_they_are(wire: Bench) -> None:
    before, plan = state(wire), wire.plan
    wire.plan = EMPTY_PLAN
    wire.restart_agent()
    wire.plan = plan
    with wire.inside():
        wire.target.apply(plan)
    assert state(wire) == before


def test_programs_of_an_older_version_are_taken_over_with_their_flows(wire: Bench) -> None:
    wire.forget_flows()
    wire.push(tcp(4, 3, "A"))
    flows, link = wire.flows(), bpf.opened(str(wire.network.pins / generation.LINK))
    older = bpf.link(link)
    for path in list(wire.network.pins.iterdir()):
        if path.name not in (generation.LINK, generation.CURRENT):
            path.rename(path.with_name(f"{path.name.split('-')[0]}-000000000000"))
    wire.restart_agent()
    assert wire.target.generation is None
    wire.program(green=100)
    newer = bpf.link(link)
    bpf.close(link)
    assert newer.ifindex == older.ifindex and newer.program_id != older.program_id, "the link is the same one"
    assert wire.flows() == flows and status(wire).ready
    assert wire.ask(tcp(4, 3, "A"))[1][TCP].dport == BLUE and wire.ask(tcp(4, 4, "A"))[1][TCP].dport == GREEN
    assert not [path for path in wire.network.pins.iterdir() if path.name.endswith("-000000000000")]
    wire.program()


def test_interface_that_goes_and_comes_back_is_programmed_again_with_its_flows(wire: Bench) -> None:
    wire.forget_flows()
    wire.push(tcp(4, 5, "A"))
    flows, program = wire.flows(), wire.attached().program_id
    dpu = wire.network.names.dpu
    netns.ip([f"link del {wire.uplink}"], dpu)
    assert not status(wire).ready and "attached to nothing" in status(wire).detail
    with wire.inside(), pytest.raises(TargetUnavailable, match="no network interface"):
        wire.target.apply(wire.plan)
    netns.ip([f"link add {wire.uplink} type veth peer name wire9", f"link set {wire.uplink} up"], dpu)
    with wire.inside():
        assert wire.target.apply(wire.plan)
    assert status(wire).ready and wire.attached().mode == "native" and wire.flows() == flows
    assert wire.attached().program_id == program, "nothing was compiled for it"
    with wire.inside():
        assert attach.has_egress(wire.ifindex)


# --- what somebody changed ------------------------------------------------------------------------------------------


def zeroed(name: str) -> Tamper:
    """The active half of a memory-mapped array."""

    def act(wire: Bench) -> None:
        start, size = wire.maps.half(name, wire.maps.epoch()[1])
        wire.maps.memory[name][start : start + size] = bytes(size)

    return act


def without_an_entry(name: str) -> Tamper:
    """One entry less in a hash or a trie; that of the active bank where it has one."""

    def act(wire: Bench) -> None:
        bank = wire.maps.epoch()[1]
        keys = [key for key, _ in wire.maps[name].items() if name != "acl6" or key[6] == bank]
        assert wire.maps[name].delete(keys[0])

    return act


def other_epoch(wire: Bench) -> None:
    epoch, bank = wire.maps.epoch()
    wire.maps.flip(epoch + 7, bank)


def other_bank(wire: Bench) -> None:
    epoch, bank = wire.maps.epoch()
    wire.maps.flip(epoch, 1 - bank)


def no_egress(wire: Bench) -> None:
    with wire.inside():
        attach.detach_egress(wire.ifindex)


TAMPERS: dict[str, Tamper] = {
    "vip": zeroed("vip"),
    "acl4": zeroed("acl4"),
    "acl6": without_an_entry("acl6"),
    "steer": zeroed("steer"),
    "reverse": without_an_entry("reverse"),
    "epoch": other_epoch,
    "bank": other_bank,
    "egress": no_egress,
}


@pytest.mark.parametrize("what", TAMPERS)
def test_what_somebody_changed_is_noticed_and_put_right(
    wire: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(target_module, "DEEP_INTERVAL_S", 0.0)
    wire.program(green=100)
    wire.program(green=0)
    assert status(wire).ready
    TAMPERS[what](wire)
    assert not status(wire).ready and status(wire).digest != wire.target.digest(wire.plan)
    with wire.inside():
        assert wire.target.apply(wire.plan)
    assert status(wire).ready and status(wire).digest == wire.target.digest(wire.plan)
    for family in (4, 6):
        assert wire.ask(tcp(family, 6, "S"))[1][TCP].dport == BLUE
        assert wire.answer(tcp_back(family, BLUE, 6, "A"))[TCP].sport == 443
    assert wire.ask(tcp(4, 6, "S", "203.0.113.1"))[0] == "acl_denied"
    assert wire.ask(tcp(6, 6, "S", "2001:db8:bad::1"))[0] == "acl_denied"
    with wire.inside():
        assert attach.has_egress(wire.ifindex)


def test_program_that_was_taken_off_is_attached_again(wire: Bench) -> None:
    link = bpf.opened(str(wire.network.pins / generation.LINK))
    bpf.detach_quietly(link)
    assert wire.attached().mode == "" and not status(wire).ready
    with wire.inside():
        assert wire.target.apply(wire.plan)
    assert wire.attached().mode == "native" and status(wire).ready


# --- what does not fit ----------------------------------------------------------------------------------------------


def stuffed_reverse(wire: Bench, number: int) -> bytes:
    """A way back that no plan has and some flow may need."""
    return bytes([254] * 16) + number.to_bytes(2, "big") + b"\x06\0"


def stuffed_acl6(wire: Bench, number: int) -> bytes:
    """An entry of a bank that there is not."""
    return (160).to_bytes(4, "little") + b"\0\0" + bytes([BANKS + 1, 0]) + number.to_bytes(16, "big")


@pytest.mark.parametrize(
    ("name", "key", "value", "change"),
    [
        ("reverse", stuffed_reverse, bytes(4), "steer"),
        ("acl6", stuffed_acl6, bytes(4), "acl"),
    ],
)
def test_table_that_has_no_room_refuses_the_plan_and_the_one_before_stays(
    wire: Bench, name: str, key: Callable[[Bench, int], bytes], value: bytes, change: str
) -> None:
    table, stuffed = wire.maps[name], []
    try:
        for number in range(table.shape.entries_max + 1):
            stuffed.append(key(wire, number))
            table.update(stuffed[-1], value)
    except bpf.BpfError:
        stuffed.pop()
    before = (wire.maps.epoch(), Record.read(wire.maps))
    groups = [{"name": "third", "port": 8445, "weight_percent": 100}]
    sources = [f"2001:db8:{number:x}::/48" for number in range(8)]
    more: dict[str, Any] = {
        "steer": [{"service": "https", "groups": groups}],
        "acl": [{"service": "https", "source": source, "action": "deny"} for source in sources],
    }
    plan = wire.planned(**{change: more[change]})
    with wire.inside(), pytest.raises(TargetRefused, match=f"map {name}"):
        wire.target.apply(plan)
    assert (wire.maps.epoch(), Record.read(wire.maps)) == before and status(wire).ready
    assert wire.ask(tcp(4, 7, "S"))[1][TCP].dport == BLUE and wire.ask(tcp(6, 7, "S"))[1][TCP].dport == BLUE
    for item in stuffed:
        table.delete(item)
    with wire.inside():
        assert wire.target.apply(plan)
    wire.plan = plan
    wire.program()


def test_more_vips_than_there_is_room_for_are_a_larger_generation(wire: Bench) -> None:
    wire.forget_flows()
    wire.push(tcp(6, 8, "A"))
    flows, sizes = wire.flows(), wire.generation.sizes
    vips = [{"service": "https", "address": f"192.0.2.{number}", "port": 443} for number in range(10, 60)]
    vips += [{"service": "quic", "address": "2001:db8:a::10", "protocol": "udp", "port": 443}]
    wire.program(vips=vips)
    assert wire.generation.sizes.max_vip_buckets > sizes.max_vip_buckets
    assert wire.flows() == flows and wire.flows()[key_of(6, 8)].port == BLUE and status(wire).ready
    assert wire.ask(tcp(4, 8, "S"))[0] == "none" and wire.ask(tcp(6, 8, "S"))[0] == "packet_not_vip"
