"""Outputs: a collector that comes and goes, a file that is moved or full; what is lost is counted."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest

from dpu_app.telemetry.flows.ipfix_udp import IpfixUdp
from dpu_app.telemetry.flows.json_lines import JsonLines
from dpu_app.telemetry.flows.settings import IpfixSettings
from tests.unit.dpu_app.telemetry.flows.samples import CLIENT6, VIP6, flow
from tests.unit.dpu_app.telemetry.flows.test_ipfix import SIX

PAGE = Path(__file__).resolve().parents[5] / "docs/guide/flows.md"
NOW_S = 1_700_000_000


class Collector:
    """A UDP port, an exporter to it, and a clock that a test moves."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.now = 100.0
        self.open((host, 0))
        address = self.socket.getsockname()
        self.output = IpfixUdp(IpfixSettings(address[:2], 60.0, 1, 32_473), lambda: self.now)

    def open(self, address: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(5)

    def received(self, count: int) -> list[int]:
        """The first set's id of so many messages: 2 is templates, from 256 on it is data."""
        return [int.from_bytes(self.socket.recv(2048)[16:18], "big") for _ in range(count)]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_templates_go_first_and_again_when_they_are_due(host: str) -> None:
    collector = Collector(host)
    collector.output.write([flow()], NOW_S)
    assert collector.received(2) == [2, 256]
    collector.now += 59.9
    collector.output.write([flow(**SIX)], NOW_S)
    assert collector.received(1) == [257]
    collector.now += 0.1
    collector.output.write([], NOW_S)
    collector.output.write([flow()], NOW_S)
    assert collector.received(2) == [2, 256]
    assert collector.output.lost == 0


def test_records_to_a_collector_that_is_gone_are_counted_and_templates_go_to_the_one_that_comes_back() -> None:
    collector = Collector()
    collector.output.write([flow()], NOW_S)
    assert collector.received(2) == [2, 256]
    address = collector.socket.getsockname()
    collector.socket.close()
    for _ in range(20):
        collector.output.write([flow(), flow()], NOW_S)
    # Every other message is lost without a word: UDP says only once that nobody is there.
    assert collector.output.lost >= 10
    before = collector.output.lost
    collector.open(address)
    collector.output.write([], NOW_S)
    collector.output.write([flow()], NOW_S)
    assert collector.received(1) == [2]
    assert collector.output.lost <= before + 1
    assert collector.output.encoder.sequence == 1 + 40 + 1


def test_collector_without_a_way_to_it_loses_records_and_is_tried_again() -> None:
    output = IpfixUdp(IpfixSettings(("255.255.255.255", 9), 60.0, 1, 32_473))
    for lost in (1, 2):
        output.write([flow()], NOW_S)
        assert output.lost == lost
    output.close()


def test_record_is_one_line_with_the_documented_fields_in_their_order(tmp_path: Path) -> None:
    output = JsonLines(tmp_path / "flows.jsonl")
    output.write([flow(), flow(**SIX)], NOW_S)
    lines = (tmp_path / "flows.jsonl").read_text().splitlines()
    four, six = (json.loads(line) for line in lines)
    fields = PAGE.read_text().split("## Fields")[1].split("## IPFIX")[0]
    assert list(four) == re.findall(r"^\| `(\w+)` \|", fields, flags=re.MULTILINE)
    assert (six["client"], six["server"]) == (CLIENT6, VIP6)
    assert (four["client"], four["verdict"], four["reason"], four["end"]) == ("198.51.100.7", "pass", "none", "ended")
    assert (four["start"], four["last"]) == ("2023-11-14T22:13:21.000Z", "2023-11-14T22:13:23.000Z")
    assert lines[0] in PAGE.read_text()


def test_file_is_appended_to_not_for_others_and_opened_again_after_it_was_moved(tmp_path: Path) -> None:
    path = tmp_path / "flows.jsonl"
    path.write_text("before\n")
    path.chmod(0o600)
    output = JsonLines(path)
    output.write([flow()], NOW_S)
    path.rename(tmp_path / "moved")
    output.write([flow()], NOW_S)
    assert not path.exists()
    output.reopen()
    output.write([flow(), flow()], NOW_S)
    assert [len((tmp_path / name).read_text().splitlines()) for name in ("moved", "flows.jsonl")] == [3, 2]
    assert path.stat().st_mode & 0o137 == 0
    output.close()


@pytest.mark.parametrize("path", ["/dev/full", "/dev/null/below"])
def test_records_that_cannot_be_written_are_counted_and_the_next_are_tried(path: str) -> None:
    output = JsonLines(Path(path))
    for lost in (2, 4):
        output.write([flow(), flow()], NOW_S)
        assert output.lost == lost
    output.close()


def test_disk_that_is_full_in_the_middle_of_a_line_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flows.jsonl"
    output = JsonLines(path)
    output.write([flow()], NOW_S)
    whole = path.read_bytes()
    write = os.write
    room = [100]

    def until_full(file: int, data: bytes) -> int:
        if not room:
            raise OSError("no space left on device")
        return write(file, data[: room.pop()])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", until_full)
        output.write([flow()], NOW_S)
    assert (path.read_bytes(), output.lost) == (whole, 1)
    output.write([flow()], NOW_S)
    assert path.read_bytes() == whole * 2
