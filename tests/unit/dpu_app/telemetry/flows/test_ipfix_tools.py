"""IPFIX as others read it: tshark decodes every message, Debian's nfcapd stores it and nfdump shows it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from dpu_app.telemetry.flows.ipfix_udp import IpfixUdp
from dpu_app.telemetry.flows.settings import IpfixSettings
from tests.integration.processes import free_ports, until
from tests.unit.dpu_app.telemetry.flows.samples import CLIENT6, flow
from tests.unit.dpu_app.telemetry.flows.test_ipfix import NOW_S, SIX, encoder

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("tshark", "nfcapd", "nfdump")),
    reason="tshark or nfdump is not installed: deploy/setup/packages.sh tools",
)


def decoded(tmp_path: Path, messages: list[bytes]) -> list[dict[str, Any]]:
    """What tshark makes of each message."""
    capture = tmp_path / "ipfix.pcap"
    packets = [Ether() / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=50_000, dport=4739) / m for m in messages]
    wrpcap(str(capture), packets)
    command = ["tshark", "-r", str(capture), "-d", "udp.port==4739,cflow", "-T", "json", "--no-duplicate-keys"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def values(tree: Any, name: str) -> list[Any]:
    """Every value of a field, wherever it stands."""
    if isinstance(tree, list):
        return [found for item in tree for found in values(item, name)]
    if not isinstance(tree, dict):
        return []
    here = tree.get(name, [])
    below = [found for key, item in tree.items() if key != name for found in values(item, name)]
    return (here if isinstance(here, list) else [here]) + below


def test_tshark_decodes_templates_and_both_directions_and_finds_nothing_malformed(tmp_path: Path) -> None:
    made = encoder()
    messages = [made.template_message(NOW_S), *(m for m, _ in made.messages([flow(), flow(**SIX)], NOW_S))]
    found = decoded(tmp_path, messages)
    assert "_ws." not in json.dumps(found)
    assert sorted(values(found[0], "cflow.template_id")) == ["256", "257"]
    data = found[1]
    assert (values(data, "cflow.srcaddr"), values(data, "cflow.srcaddrv6")) == (["198.51.100.7"], [CLIENT6])
    assert (values(data, "cflow.srcport"), values(data, "cflow.dstport")) == (["40000"] * 2, ["443"] * 2)
    assert values(data, "cflow.packets") == ["10", "8"] * 2
    assert values(data, "cflow.octets") == ["1860", "8888"] * 2
    assert values(data, "cflow.layer2_octet_delta_count") == ["2000", "9000"] * 2
    assert values(data, "cflow.biflow_direction") == ["1"] * 2
    assert values(data, "cflow.appl_name") == ["chat"] * 2
    private = [bytes.fromhex(value.replace(":", "")) for value in values(data, "cflow.enterprise_private_entry")]
    assert private[12:19] == [b"blue", b"public", b"alpha", b"chat", b"stable", b"w0", b"answered"]


def unread(port: int) -> int:
    """Bytes that wait in the socket of a UDP port of 127.0.0.1; Linux lists it in hexadecimal."""
    rows = [row.split() for row in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1] == f"0100007F:{port:04X}")


@contextmanager
def nfcapd(folder: Path) -> Iterator[int]:
    """A real collector that writes into a folder; its port. It has read everything and its file is whole afterwards."""
    (port,) = free_ports(1)
    log = folder.parent / "nfcapd.log"
    command = ["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", str(folder), "-t", "3600"]
    with open(log, "w") as out:
        collector = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        until(lambda: "Startup" in log.read_text(), "nfcapd listens", 10)
        yield port
        until(lambda: "New ipfix exporter" in log.read_text() and unread(port) == 0, "nfcapd has read it", 10)
    finally:
        collector.send_signal(signal.SIGTERM)
        collector.wait(10)
    assert "Sequence Errors: 0, Bad Packets: 0" in log.read_text()


def test_nfcapd_takes_it_and_nfdump_shows_addresses_ports_and_both_directions(tmp_path: Path) -> None:
    folder = tmp_path / "flows"
    folder.mkdir()
    with nfcapd(folder) as port:
        output = IpfixUdp(IpfixSettings(("127.0.0.1", port), 60.0, 9, 32_473))
        output.write([flow(), flow(**SIX)], NOW_S)
        output.write([flow(client_port=1, packets_in=3, packets_out=0, bytes_out=0)], NOW_S + 1)
        output.close()
    (file,) = [path for path in folder.iterdir() if re.fullmatch(r"nfcapd\.\d{12}", path.name)]
    shown = subprocess.run(["nfdump", "-r", str(file), "-o", "json"], capture_output=True, text=True, check=True)
    found = json.loads(shown.stdout)
    columns = ("src4_addr", "src6_addr", "src_port", "dst_port", "in_packets", "in_bytes", "out_packets", "out_bytes")
    by_port = sorted((tuple(record.get(name) for name in columns) for record in found), key=str)
    assert by_port == [
        ("198.51.100.7", None, 1, 443, 3, 1958, 0, 0),
        ("198.51.100.7", None, 40_000, 443, 10, 1860, 8, 8888),
        (None, CLIENT6, 40_000, 443, 10, 1860, 8, 8888),
    ]
    assert {(record["first"], record["last"], record["proto"], record["tcp_flags"]) for record in found} == {
        ("2023-11-14T22:13:21.000", "2023-11-14T22:13:23.000", 6, "...AP.SF")
    }


def test_a_socket_of_nobody_waits_for_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        assert unread(port) == 0
        receiver.sendto(b"x", ("127.0.0.1", port))
        assert unread(port) > 0
