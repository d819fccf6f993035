"""The whole path on a real kernel: SDK, XDP on the wire, TLS, workers; floods, moves, crashes and growth beside it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certs import dev_ca
from deploy.local import netns
from deploy.local.namespaces import DENIED_IPV4, DENIED_IPV6, Names, Network
from tests.integration.packet_lab import Flood, Lab, flow_key, needs_packet, sdk
from tests.integration.processes import ROOT, total, until
from tests.packets.flood_pkts import VIP4, VIP6, broken_checksum

pytest.importorskip("dpu_fastpath", reason="the Rust module is not built (make setup)")
pytestmark = needs_packet
FLOOD_EACH = 1_000
DROPS = {"packet_fragment": 2 * FLOOD_EACH, "acl_denied": 2 * FLOOD_EACH}
"""By reason: what a flood of FLOOD_EACH frames of every kind comes to, whatever its speed."""
METERED = {"meter_source_connections": (100, 200), "meter_source_packets": (100, 200)}
"""Rate and burst of each of two senders (one a family) in deploy/config/packet.yaml."""
LOAD = ("--load", "4")
CONNECT_S = 1.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A stack behind the packet stage; tests leave it running, with all weight on one group."""
    made = Lab(tmp_path_factory.mktemp("packet"))
    try:
        made.stack.start()
        yield made
    finally:
        made.stack.stop()
    assert not any(netns.exists(name) for name in made.names) and not made.place.network.pins.exists()


def steer(document: Any, green: int) -> None:
    """Moves this share to the second group."""
    blue_group, green_group = document["packet"]["steer"][0]["groups"]
    blue_group["weight_percent"], green_group["weight_percent"] = 100 - green, green


def open_on(lab: Lab) -> dict[str, float]:
    """Connections that are open on each listener, by the fast path's own word."""
    samples = lab.metrics(lab.stack.fastpath)
    names = ("blue-0", "green-0", "blue-1", "green-1")
    return {name: total(samples, "dpu_connections_open", listener=name) for name in names}


def test_sdk_is_answered_while_a_flood_is_dropped_under_its_reasons(lab: Lab) -> None:
    before, flood = lab.seen(), Flood(lab, FLOOD_EACH)
    sent_before, full_before = lab.wire()
    with sdk(lab, *LOAD) as client:
        with flood.running():
            pass
        told = client.finish()
    assert told["failures"] == [] and told["answered"] > 20
    assert lab.wire()[1] == full_before, "the flood was faster than the wire"
    moved = lab.seen().since(before)
    assert {name: moved[name] for name in DROPS} == DROPS
    for name, (per_s, burst) in METERED.items():
        passed = 2 * FLOOD_EACH - moved[name]
        assert 0 < passed <= 2 * (burst + per_s * (flood.took_s + 1))
    assert moved["none"] > told["answered"] * 5
    until(
        lambda: sum(lab.seen().since(before).values()) == lab.wire()[0] - sent_before, "frames in = sum of reasons", 5
    )


def test_flood_of_forged_syns_makes_no_flow_and_ends_none(lab: Lab) -> None:
    with sdk(lab, "--streams", "2", "--tokens", "200") as client:
        before = lab.seen()
        Flood(lab, 1_000, ("syn4", "syn6")).run()
        after = lab.seen()
        told = client.finish()
    assert len(after.alive_since(before)) == 2
    assert after.events["flows_opened"] == before.events["flows_opened"]
    assert (told["failures"], told["streams"]) == ([], [200, 200])


@pytest.mark.parametrize(
    ("family", "vip", "permitted", "denied"),
    [
        (socket.AF_INET, VIP4, "192.0.2.100", DENIED_IPV4),
        (socket.AF_INET6, VIP6, "2001:db8:a::100", DENIED_IPV6),
    ],
)
def test_denied_source_never_reaches_tls(
    lab: Lab, family: socket.AddressFamily, vip: str, permitted: str, denied: str
) -> None:
    def connect(source: str) -> bool:
        with lab.place.inside("client"), socket.socket(family) as caller:
            caller.settimeout(CONNECT_S)
            caller.bind((source, 0))
            return caller.connect_ex((vip, 443)) == 0

    def accepted() -> float:
        return total(lab.metrics(lab.stack.fastpath), "dpu_connections_total")

    before, connections = lab.seen(), accepted()
    assert not connect(denied)
    assert lab.seen().since(before)["acl_denied"] > 0 and accepted() == connections
    assert connect(permitted)
    until(lambda: accepted() == connections + 1, "the permitted one is accepted", 5)


def test_weights_move_under_live_streams_and_none_breaks(lab: Lab) -> None:
    epoch = lab.seen().epoch[0]
    with sdk(lab, *LOAD, "--streams", "4", "--tokens", "250", "--delay-ms", "20") as client:
        assert (open_on(lab)["green-0"], open_on(lab)["green-1"]) == (0, 0)
        before = lab.seen()
        lab.reload(lambda document: steer(document, 100))
        until(lambda: open_on(lab)["green-0"] > 0 and open_on(lab)["green-1"] > 0, "new flows go to green", 10)
        after = lab.seen()
        told = client.finish()
    kept = after.alive_since(before)
    assert len(kept) >= 4 and {after.flows[key].port for key in kept} == {8443}
    assert (told["failures"], told["streams"]) == ([], [250] * 4)
    fresh = [flow for flow in after.flows.values() if flow.epoch == epoch + 1]
    assert fresh and {flow.port for flow in fresh} == {8444}
    lab.reload(lambda document: steer(document, 0))


def test_agent_killed_and_started_again_under_flood_changes_nothing(lab: Lab) -> None:
    before, flood = lab.seen(), Flood(lab, 6_000, ("syn4", "denied4", "udp6", "fragment6"))
    agent = lab.stack.agent
    with sdk(lab, *LOAD, "--keep", "2") as client:
        seen = lab.seen()
        with flood.running():
            lab.kill_agent()
            alone = lab.seen()
            until(lambda: lab.seen().since(alone).get("acl_denied", 0) > 100, "XDP enforces without an agent", 5)
            agent.start()
            agent.wait_for("/readyz", 30)
        after = lab.seen()
        told = client.finish()
    assert (after.program_id, after.epoch, after.record) == (before.program_id, before.epoch, before.record)
    kept = after.alive_since(seen)
    assert len(kept) >= 2 and {after.flows[key].port for key in kept} == {8443}
    assert told["failures"] == []
    said = agent.log.read_text()
    assert "adopted" in said and "tables programmed" not in said and "generation in force" not in said


def test_flow_table_grows_under_traffic_and_carries_its_flows(lab: Lab) -> None:
    before = lab.seen()

    def grow(document: Any) -> None:
        document["packet"]["flows"]["entries_max"] = 2 * before.entries_max

    with sdk(lab, *LOAD, "--keep", "4") as client:
        seen = lab.seen()
        lab.reload(grow)
        after = lab.seen()
        time.sleep(0.5)
        later = lab.seen()
        told = client.finish()
    assert told["failures"] == []
    assert after.entries_max == 2 * before.entries_max and after.program_id != before.program_id
    assert len(later.alive_since(seen)) >= 4, "connections that were there before are used after"
    carried = [(seen.flows[key], after.flows[key]) for key in after.alive_since(seen)]
    for old, new in carried:
        assert (new.first_ns, new.port, new.epoch) == (old.first_ns, old.port, old.epoch)
        assert new.packets_in >= old.packets_in and new.bytes_out >= old.bytes_out
    assert set(after.since(seen)) <= {"none", "packet_icmp", "packet_not_ip", "packet_not_vip"}


def test_rewritten_checksums_are_good_to_a_kernel_that_checks_them(lab: Lab) -> None:
    before = {role: lab.tcp(role)["InCsumErrors"] for role in ("client", "dpu")}
    with sdk(lab, *LOAD) as client:
        time.sleep(0.5)
        families = {flow_key(key).destination[:12] for key, flow in lab.seen().flows.items() if flow.port}
        told = client.finish()
    assert told["failures"] == [] and before == {"client": 0, "dpu": 0}
    assert len(families) == 2
    assert {role: lab.tcp(role)["InCsumErrors"] for role in before} == before
    with lab.raw_socket() as sender:
        sender.send(broken_checksum(lab.uplink_mac, 40_000))
    until(lambda: lab.tcp("dpu")["InCsumErrors"] == 1, "a frame whose checksum is wrong is noticed", 5)


def test_flow_records_join_packets_and_requests(lab: Lab) -> None:
    with sdk(lab, *LOAD) as client:
        told = client.finish()
    asked = told["answered"]

    def joined() -> list[dict[str, Any]]:
        lines = lab.stack.flows.read_text().splitlines() if lab.stack.flows.exists() else []
        return [record for record in map(json.loads, lines) if record["requests"] and record["packets_in"]]

    until(lambda: sum(record["requests"] for record in joined()[-asked:]) >= asked > 0, "records have requests", 20)
    last = joined()[-1]
    assert (last["service"], last["tenant"], last["outcome"], last["server_port"]) == (
        "https",
        "alpha",
        "answered",
        443,
    )
    assert {record["server"] for record in joined()} == {VIP4, VIP6} and last["group"] in ("blue", "green")


def launch(folder: Path) -> subprocess.Popen[bytes]:
    """The launcher of `make run PACKET=1`."""
    command = [sys.executable, str(ROOT / "deploy/local/stack.py"), "--engine=echo", f"--run-dir={folder}", "--packet"]
    with (folder / "launcher.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie: nobody may be left to reap what a crash left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_launcher_cleans_up_after_ctrl_c_and_after_a_crash_before_it(tmp_path: Path) -> None:
    dev_ca.main([])
    network = Network(Names.of(tmp_path), [])
    crashed = launch(tmp_path)
    second = None
    try:
        until((tmp_path / "agent.pid").exists, "the stack is up to its agent", 60)
        left = [int((tmp_path / f"{name}.pid").read_text()) for name in ("w0", "w1", "fastpath", "agent")]
        until(network.pins.exists, "the agent pins", 60)
        crashed.kill()
        crashed.wait()
        (tmp_path / "w1.pid").unlink()
        second = launch(tmp_path)
        until((tmp_path / "w1.pid").exists, "the next run begins", 60)
        assert not any(runs(pid) for pid in left) and not network.pins.exists()
        os.killpg(second.pid, signal.SIGINT)
        assert second.wait(30) == 0
        assert not any(netns.exists(name) for name in network.names.all) and not network.pins.exists()
    finally:
        for process in (crashed, second):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        network.remove()
