"""Live followers: filtered, bounded, told what they missed; and the command that follows."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from dpu_app.telemetry.flows import follow, live
from dpu_app.telemetry.flows.follow import FollowError
from dpu_app.telemetry.flows.live import Filter, LiveFlows
from dpu_app.telemetry.flows.record import address_bytes
from tests.integration.processes import until
from tests.unit.dpu_app.telemetry.flows.samples import CLIENT6, flow
from tests.unit.dpu_app.telemetry.flows.test_ipfix import SIX

NOW_S = 1_700_000_000


@pytest.fixture
def flows(tmp_path: Path) -> Iterator[LiveFlows]:
    made = LiveFlows(tmp_path / "flows.sock")
    yield made
    made.close()


class Reader:
    """One connection to the socket, its filter sent."""

    def __init__(self, flows: LiveFlows, asked: bytes = b"{}\n") -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(str(flows.path))
        with contextlib.suppress(BrokenPipeError):
            # One that is turned away may be so before it has asked; what it was told is still to be read.
            self.socket.sendall(asked)
        self.file = self.socket.makefile("rb")
        self.greeting = self.next()

    def next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.readline())
        return found

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_follower_reads_every_record_from_when_it_came(flows: LiveFlows) -> None:
    flows.write([flow()], NOW_S)
    reader = Reader(flows)
    assert reader.greeting == {"following": True}
    sent = [flow(), flow(**SIX)]
    flows.write(sent, NOW_S)
    assert [reader.next(), reader.next()] == [one.as_json() for one in sent]
    assert flows.lost == 0


@pytest.mark.parametrize(
    ("asked", "ports"),
    [
        ({}, [1, 2, 3, 4]),
        ({"service": "chat"}, [1, 3, 4]),
        ({"reason": "acl_denied"}, [3]),
        ({"client": "198.51.100.7"}, [1, 2, 3]),
        ({"client": "198.51.100.99/24", "service": "chat"}, [1, 3]),
        ({"client": "::/0"}, [1, 2, 3, 4]),
        ({"client": "2001:db8::/32"}, [4]),
        ({"client": "0.0.0.0/0"}, [1, 2, 3]),
    ],
)
def test_filter_takes_only_what_was_asked_for(asked: dict[str, str], ports: list[int]) -> None:
    given = [
        flow(client_port=1), flow(client_port=2, service="other"), flow(client_port=3, reason=40),
        flow(client_port=4, client=address_bytes(CLIENT6)),
    ]  # fmt: skip
    wanted = Filter(asked)
    assert [one.seen.client_port for one in given if wanted.takes(one)] == ports


def test_follower_reads_only_what_its_filter_takes(flows: LiveFlows) -> None:
    reader = Reader(flows, b'{"service": "chat"}\n')
    flows.write([flow(service="other"), flow(client_port=2)], NOW_S)
    flows.write([flow(service="other"), flow(client_port=4)], NOW_S)
    assert [reader.next()["client_port"] for _ in range(2)] == [2, 4]


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (b"[]\n", "JSON object"), (b"{\n", "Expecting"), (b'{"tenant": "a"}\n', "nothing else"),
        (b'{"client": 5}\n', "texts"), (b'{"client": "nowhere"}\n', "not an address"),
        (b"[" * 4_000 + b"\n", "JSON"), (b"x" * 5_000, "one line"), (b"\xff\n", "decode"),
    ],
)  # fmt: skip
def test_filter_that_is_none_is_answered_with_why(flows: LiveFlows, asked: bytes, what: str) -> None:
    assert what in Reader(flows, asked).greeting["error"]


def test_slow_follower_misses_records_hears_how_many_and_holds_nobody_up(
    flows: LiveFlows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUEUE_RECORDS_MAX", 4)
    slow = Reader(flows)
    sent = 0
    while flows.lost == 0 and sent < 100_000:
        flows.write([flow(client_port=sent % 65_536)] * 100, NOW_S)
        sent += 100
    assert flows.followers[0].records.qsize() <= 4
    seen = missed = 0
    while seen + missed < sent:
        record = slow.next()
        missed, seen = missed + record.get("lost", 0), seen + ("lost" not in record)
    assert (seen + missed, missed) == (sent, flows.lost)


def test_follower_that_waits_for_long_still_reads_the_next_record(
    flows: LiveFlows, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bool] = []
    gone = live.gone

    def noted(connection: socket.socket) -> bool:
        looked.append(gone(connection))
        return looked[-1]

    monkeypatch.setattr(live, "IDLE_CHECK_S", 0.001)
    monkeypatch.setattr(live, "gone", noted)
    reader = Reader(flows)
    until(lambda: len(looked) >= 5, "it was looked at while idle", 5)
    flows.write([flow()], NOW_S)
    assert reader.next() == flow().as_json()
    assert not any(looked)
    reader.close()
    until(lambda: looked[-1], "it is seen to be gone", 5)


def test_followers_beyond_the_bound_are_told_so_and_one_that_leaves_makes_room(flows: LiveFlows) -> None:
    readers = [Reader(flows) for _ in range(live.FOLLOWERS_MAX)]
    late = Reader(flows)
    assert "end one of them" in late.greeting["error"]
    assert flows.refused == 1
    readers[0].close()
    until(lambda: any(follower.ended.is_set() for follower in flows.followers), "its place is free", 10)
    assert Reader(flows).greeting == {"following": True}


def test_socket_is_for_its_owner_replaces_that_of_a_dead_agent_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "flows.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    made = LiveFlows(path)
    assert path.stat().st_mode & 0o777 == 0o600
    reader = Reader(made)
    made.close()
    assert (reader.file.readline(), path.exists()) == (b"", False)


@pytest.mark.parametrize("name", ["x" * 108, "missing/flows.sock"])
def test_path_that_cannot_be_bound_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError):
        LiveFlows(tmp_path / name)


def test_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "flows.sock").write_text("mine")
    with pytest.raises(OSError):
        LiveFlows(tmp_path / "flows.sock")
    assert (tmp_path / "flows.sock").read_text() == "mine"


app = typer.Typer()
app.command()(follow.flows)


def test_command_prints_records_as_they_come_and_ends_after_so_many(tmp_path: Path) -> None:
    made = LiveFlows(tmp_path / follow.SOCKET_NAME)
    results = []
    for form in ("json", "table"):
        asked = ["--state-dir", str(tmp_path), "-o", form, "--count", "2", "--client", "198.51.100.0/24"]
        runner = threading.Thread(target=lambda asked=asked: results.append(CliRunner().invoke(app, asked)))
        runner.start()
        until(lambda: any(follower.wanted and not follower.ended.is_set() for follower in made.followers), "it follows")
        made.write([flow(), flow(**SIX), flow(reason=40, service="x")], NOW_S)
        runner.join()
        until(lambda: all(follower.ended.is_set() for follower in made.followers), "it has left")
    made.close()
    as_json, as_table = results
    assert [json.loads(line)["reason"] for line in as_json.stdout.splitlines()] == ["none", "acl_denied"]
    titles, first, second = as_table.stdout.splitlines()
    assert titles.split()[:3] == ["LAST", "CLIENT", "SERVER"]
    assert first == follow.row(
        ["22:13:23.000", "198.51.100.7:40000", "192.0.2.10:443", "chat", "blue", "ended", "none", "10/8", "2000/9000",
         "alpha", "chat", "stable", "w0", "1", "12/30", "21.5", "answered"]
    )  # fmt: skip
    assert "acl_denied" in second
    assert [result.exit_code for result in results] == [0, 0]


def test_table_in_the_guide_is_what_is_printed() -> None:
    page = (Path(__file__).resolve().parents[5] / "docs/guide/flows.md").read_text()
    assert follow.row([title for title, _, _ in follow.COLUMNS]) in page
    assert follow.row([cell(flow().as_json()) or "-" for _, _, cell in follow.COLUMNS]) in page


def test_records_that_came_too_fast_are_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    follow.show(iter([{"lost": 7}, flow().as_json()]), follow.Format.JSON)
    said = capsys.readouterr()
    assert said.err == "7 records came too fast and are not shown\n"
    assert len(said.out.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [([], "--state-dir DIR"), (["--state-dir", "nowhere"], "does dpu-agent run there"),
     (["--flows-socket", "nowhere"], "does dpu-agent run there")],
)  # fmt: skip
def test_command_without_an_agent_says_the_fix(arguments: list[str], what: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert what in result.stderr


def test_agent_that_refuses_or_ends_is_said(tmp_path: Path) -> None:
    made = LiveFlows(tmp_path / "flows.sock")
    with pytest.raises(FollowError, match="not an address"):
        list(follow.follow(made.path, {"client": "nowhere"}, 0))
    records = follow.follow(made.path, {}, 0)

    def end_when_it_follows() -> None:
        until(lambda: any(follower.wanted for follower in made.followers), "it follows")
        made.close()

    closer = threading.Thread(target=end_when_it_follows)
    closer.start()
    with pytest.raises(FollowError, match="has ended"):
        next(records)
    closer.join()


def test_half_a_line_when_the_agent_closes_is_its_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'{"lost": 1}\n{"first": "20')
        theirs.shutdown(socket.SHUT_WR)
        assert list(follow.lines(ours)) == [b'{"lost": 1}\n']
