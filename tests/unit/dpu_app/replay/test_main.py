"""`dpu-replay` from its command line: what it prints, what it writes, and its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.utils import rdpcap, wrpcap
from typer.testing import CliRunner, Result

from dpu_app.model.plan import Plan
from dpu_app.model.plan_packet import PlanPacket
from dpu_app.p4rt.options import ClientOptions, OptionsError
from dpu_app.replay.__main__ import LISTED_MAX, app, clock_text
from dpu_app.replay.answer import Answer
from dpu_app.replay.build import Setting
from dpu_app.replay.ending import INTERRUPTED, READER_GONE
from dpu_app.replay.target import FrameTarget
from tests.packets.case import ETHERNET, IPV4, IPV6
from tests.packets.config import TEXT, split_weights
from tests.unit.dpu_app.samples import TEXT as HEAD

DENY_WEB = TEXT.replace("  acl:\n", "  acl:\n    - { service: web, source: 198.51.100.0/24, action: deny }\n")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return written(tmp_path / "a.yaml", TEXT)


def written(path: Path, packet: str) -> Path:
    path.write_text(HEAD + packet, encoding="utf-8")
    return path


def replay(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def captured(tmp_path: Path, frames: list[bytes]) -> Path:
    path = tmp_path / "in.pcap"
    wrpcap(str(path), [type(ETHERNET)(frame) for frame in frames])
    return path


FRAMES = [bytes(IPV4.tcp(10)), bytes(IPV4.tcp(10, port=444)), bytes(IPV4.tcp(10, flags="SF")), bytes(IPV6.tcp(13))]


def test_every_frame_of_a_capture_as_a_line_of_json(config: Path, tmp_path: Path) -> None:
    done = replay("run", "--config", config, "--pcap", captured(tmp_path, FRAMES), "--targets", "model", "-o", "jsonl")
    *rows, summary = [json.loads(line) for line in done.stdout.splitlines()]
    answers = [row["answers"]["model"] for row in rows]
    assert [answer["reason"] for answer in answers] == ["none", "packet_not_vip", "packet_tcp_flags", "none"]
    assert [answer["port"] for answer in answers] == [8443, 0, 0, 9443]
    assert [answer["group"] for answer in answers] == ["main", "", "", "canary"]
    assert bytes.fromhex(answers[1]["frame"]) == FRAMES[1] and answers[2]["frame"] == ""
    counts = summary["summary"]["targets"]["model"]
    assert (counts["frames"], counts["passed"], counts["dropped"]) == (4, 3, 1)
    # Names of groups are unique in their service only.
    assert counts["groups"] == {"none": 2, "web/main": 1, "split/canary": 1}
    assert done.exit_code == 0


def test_table_counts_by_reason_and_says_the_clock(config: Path, tmp_path: Path) -> None:
    done = replay("run", "--config", config, "--pcap", captured(tmp_path, FRAMES), "--targets", "model", "--frames")
    assert "4 frames, 3 pass, 1 drop" in done.stdout and "not repeatable" in done.stdout
    assert "#0 198.51.100.1 port 40000 > 192.0.2.10 port 443 tcp A 54 bytes: pass none web/main :8443" in done.stdout
    assert (
        "capture's own times"
        in replay("run", "--config", config, "--clock", "--targets", "model", "--generate", "scan", "--count", 5).stdout
    )


def test_passed_frames_are_written_as_rewritten(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    replay("run", "--config", config, "--pcap", captured(tmp_path, FRAMES), "--targets", "model", "--out", out)
    assert [packet["TCP"].dport for packet in rdpcap(str(out))] == [8443, 444, 9443]


@pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
def test_a_file_that_is_read_is_not_written_over(link: str | None, config: Path, tmp_path: Path) -> None:
    pcap = captured(tmp_path, FRAMES)
    for read in (pcap, config):
        out, before = read, read.read_bytes()
        if link:
            out = tmp_path / f"{read.name}.link"
            getattr(out, link)(read)
        done = replay("run", "--config", config, "--pcap", pcap, "--targets", "model", "--out", out)
        assert (done.exit_code, "give --out another name" in done.stderr) == (2, True)
        assert read.read_bytes() == before


def test_a_capture_on_standard_input_is_not_written_over(config: Path, tmp_path: Path) -> None:
    pcap = captured(tmp_path, FRAMES)
    before = pcap.read_bytes()
    arguments = ("run", "--config", config, "--pcap", "-", "--targets", "model", "--out", pcap)
    command = [sys.executable, "-m", "dpu_app.replay", *map(str, arguments)]
    with pcap.open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
    assert (done.returncode, "give --out another name" in done.stderr) == (2, True)
    assert pcap.read_bytes() == before


def test_meters_with_the_captures_clock_say_the_same_twice(config: Path) -> None:
    arguments = (
        "run",
        "--config",
        config,
        "--generate",
        "mix",
        "--count",
        3000,
        "--targets",
        "model",
        "--clock",
        "-o",
        "json",
    )
    first, second = replay(*arguments), replay(*arguments)
    assert first.stdout == second.stdout
    assert any(
        reason.startswith("meter_") for reason in json.loads(first.stdout)["summary"]["targets"]["model"]["reasons"]
    )


def test_several_targets_have_the_captures_clock_and_one_has_what_is_asked(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpu_app.replay import build

    made, clocks = build.target, list[bool]()

    @contextmanager
    def noted(name: str, plan: Plan, packet: PlanPacket, setting: Setting) -> Iterator[FrameTarget]:
        clocks.append(setting.clock)
        with made("model", plan, packet, setting) as asked:
            asked.name = name
            yield asked

    monkeypatch.setattr("dpu_app.replay.__main__.target", noted)
    mix = ("run", "--config", config, "--generate", "mix", "--count", 3000)
    alone, together = replay(*mix, "--targets", "model"), replay(*mix, "--targets", "model,again")
    assert clocks == [False, True, True]
    assert "not repeatable" in alone.stdout and "several targets imply --clock" in together.stdout
    assert "no frame differs" in together.stdout and "meter_source_packets" in together.stdout


# (--clock, targets, with a P4 switch, what is said of meters)
CLOCKS = [
    (False, 1, False, "as frames are replayed"),
    (True, 1, False, "exact and repeatable"),
    (False, 2, False, "several targets imply --clock"),
    (True, 1, True, "the switch's own"),
    (True, 2, True, "the switch has its own"),
]


@pytest.mark.parametrize(("clock", "targets", "with_switch", "said"), CLOCKS)
def test_the_clock_that_is_named_is_that_of_the_targets(
    clock: bool, targets: int, with_switch: bool, said: str
) -> None:
    text = clock_text(clock, targets, with_switch)
    assert said in text and ("exact" in text) <= (not with_switch)


def test_a_scapy_expression_is_replayed_with_all_that_its_sets_stand_for(config: Path) -> None:
    text = "IP(src='198.51.100.1', dst='192.0.2.10')/TCP(dport=[443, 444, 445], flags='A')"
    done = replay("run", "--config", config, "--scapy", text, "--targets", "model", "-o", "json")
    reasons = json.loads(done.stdout)["summary"]["targets"]["model"]["reasons"]
    assert {reason: item["frames"] for reason, item in reasons.items()} == {"none": 1, "packet_not_vip": 2}


# (what changes in B, frames, changed: effect -> rule)
DIFFS = [
    (DENY_WEB, [0, 1], {"pass :8443 -> drop acl_denied": "b: acl web 198.51.100.0/24 port any deny acl_denied"}),
    (split_weights(100), [3], {"pass :9443 -> pass :8443": "b: steer split -> stable port 8443"}),
    (
        TEXT.replace("- { service: web, address: '192.0.2.10', protocol: tcp, port: 443 }", "[]").replace(
            "    []\n", ""
        ),
        [0],
        {"pass :8443 -> pass packet_not_vip": "a: steer web -> main port 8443"},
    ),
    (TEXT, [0, 1, 2, 3], {}),
]


@pytest.mark.parametrize(("text", "used", "expected"), DIFFS)
def test_diff_says_what_changes_and_which_entry_is_behind_it(
    text: str, used: list[int], expected: dict[str, str], config: Path, tmp_path: Path
) -> None:
    frames = captured(tmp_path, [FRAMES[index] for index in used])
    after = written(tmp_path / "b.yaml", text)
    done = replay("diff", "--a", config, "--b", after, "--pcap", frames, "--targets", "model", "-o", "json")
    summary = json.loads(done.stdout)["summary"]
    assert {rule["effect"]: rule["rule"] for rule in summary["rules"]} == expected
    assert (summary["compared"], summary["changed"]) == (len(used), len(expected))
    assert done.exit_code == (1 if expected else 0)


def test_diff_lists_every_frame_that_changes_for_people(config: Path, tmp_path: Path) -> None:
    after = written(tmp_path / "b.yaml", DENY_WEB)
    frames = captured(tmp_path, FRAMES[:1] * 150)
    done = replay("diff", "--a", config, "--b", after, "--pcap", frames, "--targets", "model")
    assert sum(line.startswith("#") for line in done.stdout.splitlines()) == 150
    assert "150 of 150 frames change" in done.stdout


class Deaf:
    """Answers as the model does, but to no frame whose length it does not take."""

    blind: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, name: str, asked: FrameTarget) -> None:
        self.name = name
        self._asked = asked

    def judge(self, frames: Sequence[tuple[int, bytes]]) -> list[Answer | None]:
        answers = self._asked.judge(frames)
        return [one if 14 <= len(frame) <= 3_520 else None for one, (_, frame) in zip(answers, frames, strict=True)]

    def close(self) -> None:
        self._asked.close()


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every target is a model that takes frames of 14 to 3,520 bytes only."""
    from dpu_app.replay import build

    made = build.target

    @contextmanager
    def target(name: str, plan: Plan, packet: PlanPacket, setting: Setting) -> Iterator[FrameTarget]:
        with made("model", plan, packet, setting) as asked:
            yield Deaf(name, asked)

    monkeypatch.setattr("dpu_app.replay.__main__.target", target)


LONG = "Ether(src='02:00:00:00:00:02', dst='02:00:00:00:00:01', type=0x806)/bytes({})"
# (lengths behind the Ethernet header, status, compared, not compared, what is said)
COMPARED = [
    ((46, 3506, 3507), 0, 2, 1, "(2 compared, 1 not compared by every target)"),
    ((3507, 4000), 2, 0, 2, "nothing was compared: 2 frames"),
    ((46,), 0, 1, 0, "no frame differs (1 compared)"),
]


@pytest.mark.parametrize(("lengths", "status", "compared", "missing", "said"), COMPARED)
def test_frames_that_are_not_compared_are_counted_and_none_compared_is_status_2(
    lengths: tuple[int, ...], status: int, compared: int, missing: int, said: str, config: Path, deaf: None
) -> None:
    frames = ("--scapy", f"[{', '.join(LONG.format(length) for length in lengths)}]")
    runs = ("run", "--config", config, *frames, "--targets", "a,b")
    done = replay(*runs)
    assert (done.exit_code, said in done.stdout) == (status, True), done.output
    assert ("nothing was compared" in done.stderr) == (status == 2)
    diffs = ("diff", "--a", config, "--b", config, *frames, "--targets", "model")
    assert ("frames were not compared" in replay(*diffs).stdout) == bool(missing)
    for arguments in (runs, diffs):
        done = replay(*arguments, "-o", "json")
        summary = json.loads(done.stdout)["summary"]
        assert (done.exit_code, summary["compared"], summary["not_compared"]) == (status, compared, missing)


def test_tables_of_a_controller_cannot_be_replayed(config: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "p4.yaml", "packet:\n  interface: uplink\n  programmed_by: p4runtime\n")
    mix = ("--generate", "mix", "--targets", "model")
    for arguments in (("run", "--config", other), ("diff", "--a", config, "--b", other)):
        done = replay(*arguments, *mix)
        assert (done.exit_code, "p4.yaml: its tables come from a controller" in done.stderr) == (2, True), done.output


@pytest.mark.parametrize("option", ["--seed", "--count"])
def test_numbers_beyond_64_bits_are_status_2(option: str, config: Path) -> None:
    done = replay("run", "--config", config, "--generate", "mix", "--targets", "model", option, 2**64)
    assert (done.exit_code, option in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_the_greatest_seed_generates(config: Path) -> None:
    mix = ("--generate", "mix", "--count", 10, "--targets", "model")
    assert replay("run", "--config", config, *mix, "--seed", 2**64 - 1).exit_code == 0


# (what ends the work, status, whether a traceback is for a report)
ENDS = [(KeyboardInterrupt, INTERRUPTED, False), (ZeroDivisionError, 2, True)]


@pytest.mark.parametrize(("kind", "status", "traced"), ENDS)
def test_what_ends_the_work_is_not_taken_for_a_difference(
    kind: type[BaseException], status: int, traced: bool, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(self: object, frames: object) -> None:
        raise kind

    monkeypatch.setattr("dpu_app.replay.target.Model.judge", ended)
    mix = ("--generate", "mix", "--count", 10, "--targets", "model")
    for arguments in (("run", "--config", config), ("diff", "--a", config, "--b", config)):
        done = replay(*arguments, *mix)
        assert (done.exit_code, "Traceback" in done.stderr) == (status, traced)


# A line a frame fails while frames are judged; the one JSON object, when the buffer is flushed at the end.
@pytest.mark.parametrize(("output", "count"), [("jsonl", 2_000), ("json", 10)])
def test_a_reader_that_has_gone_ends_it_quietly(output: str, count: int, config: Path) -> None:
    mix = ("--generate", "mix", "--count", count, "--targets", "model", "-o", output)
    command = [sys.executable, "-m", "dpu_app.replay", *map(str, ("run", "--config", config, *mix))]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (READER_GONE, "")


# (arguments, what is said)
UNUSABLE: list[tuple[tuple[object, ...], str]] = [
    (("--targets", "model"), "one of --pcap, --scapy, --generate"),
    (("--targets", "model", "--generate", "mix", "--scapy", "IP()"), "one of --pcap, --scapy, --generate"),
    (("--targets", "oracle", "--generate", "mix"), "there is no target 'oracle'"),
    (("--targets", "model,model", "--generate", "mix"), "each once"),
    (("--targets", "", "--generate", "mix"), "with commas between"),
    (("--targets", "model", "--scapy", "IP("), "SyntaxError"),
    (("--targets", "model", "--scapy", "'x'"), "makes 'x', which is not a packet"),
    (("--targets", "model", "--scapy", "[IP(), 7]"), "makes 7, which is not a packet"),
    (("--targets", "model", "--scapy", "TCP"), "which is not a packet"),
    (
        ("--targets", "p4rt://127.0.0.1:1", "--p4rt-plaintext", "--generate", "mix", "--p4rt-election-id", 1 << 128),
        "128 bits",
    ),
    (("--targets", "model", "--pcap", "/nowhere/x.pcap"), "check the path"),
    (("--targets", "model", "--generate", "mix", "--frames", "-o", "json"), "take -o jsonl"),
    (("--targets", "p4rt://127.0.0.1:1", "--p4rt-plaintext", "--generate", "mix"), "p4rt://127.0.0.1:1"),
]


@pytest.mark.parametrize(("arguments", "said"), UNUSABLE)
def test_what_cannot_be_done_is_status_2_with_the_fix(arguments: tuple[object, ...], said: str, config: Path) -> None:
    done = replay("run", "--config", config, *arguments)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_switch_is_asked_with_the_election_id_and_arbitration_that_are_given(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[ClientOptions]()

    def refused(options: ClientOptions, name: str) -> None:
        asked.append(options)
        raise OptionsError("seen")

    monkeypatch.setattr("dpu_app.replay.build.P4RuntimeTarget", refused)
    switch = ("run", "--config", config, "--generate", "mix", "--targets", "p4rt://127.0.0.1:1", "--p4rt-plaintext")
    replay(*switch)
    replay(*switch, "--p4rt-election-id", 1 << 64, "--p4rt-arbitration", "off")
    assert [(one.election_id, one.arbitration) for one in asked] == [(1, "required"), (1 << 64, "off")]


def test_a_switch_that_is_not_there_is_one_line(config: Path) -> None:
    arguments = ("run", "--config", config, "--generate", "mix", "--targets", "p4rt://127.0.0.1:1", "--p4rt-plaintext")
    command = [sys.executable, "-m", "dpu_app.replay", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr.startswith("dpu-replay: p4rt://127.0.0.1:1")) == (2, True), done.stderr
    assert not re.search(r"^[EIW]\d{4} |All log messages before", done.stderr, re.MULTILINE), done.stderr


def test_diff_generates_traffic_to_the_vips_of_both_files(tmp_path: Path) -> None:
    text = "packet:\n  interface: uplink\n  vips:\n    - {{ service: web, address: {}, port: 443 }}\n"
    text += "  acl:\n    - {{ service: web, source: 0.0.0.0/0, action: deny }}\n"
    files = [written(tmp_path / f"{end}.yaml", text.format(f"192.0.2.{end}")) for end in (1, 2)]
    mix = ("--generate", "flood", "--count", 500, "--targets", "model", "-o", "json")
    summary = json.loads(replay("diff", "--a", files[0], "--b", files[1], *mix).stdout)["summary"]
    rules = {rule["rule"] for rule in summary["rules"]}
    assert any(rule.startswith("a: ") for rule in rules) and any(rule.startswith("b: ") for rule in rules), rules


def test_a_bad_configuration_is_status_2_with_its_line(tmp_path: Path) -> None:
    done = replay("run", "--config", written(tmp_path / "x.yaml", TEXT + "  nonsense: 1\n"), "--generate", "mix")
    assert done.exit_code == 2 and "x.yaml:" in done.stderr


def test_a_configuration_without_packet_stage_is_status_2(tmp_path: Path) -> None:
    done = replay("run", "--config", written(tmp_path / "x.yaml", ""), "--generate", "mix")
    assert done.exit_code == 2 and "x.yaml has no packet stage: add `packet:`" in done.stderr


def test_a_damaged_capture_is_status_2(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.pcap"
    path.write_bytes(captured(tmp_path, FRAMES).read_bytes()[:32].ljust(60, b"\xff"))
    done = replay("run", "--config", config, "--pcap", path, "--targets", "model")
    assert done.exit_code == 2 and "damaged at byte" in done.stderr


def test_a_capture_that_was_cut_is_replayed_padded_and_said(config: Path, tmp_path: Path) -> None:
    path = captured(tmp_path, [FRAMES[0] + b"x" * 100])
    data = bytearray(path.read_bytes())
    # The record's kept length: the capture holds 60 of 154 bytes.
    data[32:36] = (60).to_bytes(4, "little")
    path.write_bytes(bytes(data[: 40 + 60]))
    done = replay("run", "--config", config, "--pcap", path, "--targets", "model")
    assert "1 frames were cut" in done.stdout and "1 frames, 1 pass" in done.stdout


def test_differing_frames_are_listed_up_to_a_bound(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpu_app.replay.oracle import Oracle

    judge = Oracle.judge
    calls = iter(range(1 << 20))
    monkeypatch.setattr(
        Oracle, "judge", lambda self, frame, clock_ns: judge(self, frame, clock_ns)._replace(reason=next(calls) % 9)
    )
    monkeypatch.setattr("dpu_app.replay.target.Model.name", "model")
    from dpu_app.replay import build

    made = build.target
    monkeypatch.setattr("dpu_app.replay.__main__.target", lambda name, *rest: made("model", *rest))
    monkeypatch.setattr("dpu_app.replay.__main__.split", lambda names: ["a", "b"])
    done = replay("run", "--config", config, "--generate", "flood", "--count", 500, "--targets", "a,b")
    lines = [line for line in done.stdout.splitlines() if "DIFFERS" in line]
    assert (len(lines), done.exit_code) == (LISTED_MAX, 1)
