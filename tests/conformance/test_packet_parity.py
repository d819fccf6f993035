"""The same packets, the same answers: the cases and random frames over every target that can be asked here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from pyroute2 import netns
from typer.testing import CliRunner

from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay import wire
from dpu_app.replay.__main__ import app
from dpu_app.replay.answer import Answer
from dpu_app.replay.native import NativeTarget, XdpProgram
from dpu_app.replay.oracle import Oracle
from dpu_app.replay.p4rt import P4Switch
from dpu_app.replay.wire import Wire
from dpu_app.targets.packet.rig import XdpRig
from tests.conformance.bmv2 import CONFIG, Bmv2, installed
from tests.packets.config import TEXT, plan, split_weights
from tests.packets.strategies import sequences
from tests.packets.tables import wrong_alone, wrong_together
from tests.privileges import packet_stage_missing
from tests.unit.dpu_app.samples import TEXT as HEAD

FRAME_BYTES_MAX = {"xdp": 3_520, "wire": wire.FRAME_BYTES_MAX}


def skip_without_packet_stage() -> None:
    """Skips for what the machine lacks only: a program that does not load is a failure."""
    missing = packet_stage_missing()
    if missing:
        pytest.skip(missing)


def answered(asked: NativeTarget | Wire, frame: bytes, answer: Answer | None, known: Answer) -> Answer:
    """The answer; the known one only for a frame of a length that the target cannot take."""
    if answer is None:
        assert not 14 <= len(frame) <= FRAME_BYTES_MAX[asked.name], f"{asked.name} does not answer {len(frame)} bytes"
        return known
    return answer


class Subject:
    """A target with the oracle's interface. What cannot be asked is answered by the oracle."""

    def __init__(self, rig: XdpRig, asked: NativeTarget | Wire, now: PlanPacket) -> None:
        self.rig = rig
        self.asked = asked
        self.oracle = Oracle(now)

    def judge(self, frame: bytes, clock_ns: int) -> Answer:
        expected = self.oracle.judge(frame, clock_ns)
        [answer] = self.asked.judge([(clock_ns, frame)])
        return answered(self.asked, frame, answer, expected)

    def program(self, packet: PlanPacket, epoch: int) -> None:
        self.oracle.program(packet, epoch)
        self.rig.program(packet, epoch)


class Kind:
    """How a target is made afresh. Programs stay loaded for plans with a flow table of the same size."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries_max = 0
        self.rig: XdpRig | None = None
        self.asked: NativeTarget | Wire | None = None

    def fresh(self, now: PlanPacket) -> Subject:
        """A target without flows. Skips where this machine has no privilege for it."""
        if self.rig is None or self.asked is None or self.entries_max != now.flows.entries_max:
            self.close()
            skip_without_packet_stage()
            self.rig = XdpRig((now,), capture_clock=True)
            self.asked = self.ask(self.rig)
            self.entries_max = now.flows.entries_max
        flow = self.rig.loaded.maps["flow"]
        for key in [key for key, _ in flow.items()]:
            flow.delete(key)
        self.rig.program(now, 1)
        return Subject(self.rig, self.asked, now)

    def ask(self, rig: XdpRig) -> NativeTarget | Wire:
        return (
            NativeTarget(XdpProgram(rig.program_fd, rig.io_fd)) if self.name == "xdp" else Wire(rig.program_fd, rig.io)
        )

    def close(self) -> None:
        for opened in (self.asked, self.rig):
            if opened is not None:
                opened.close()
        self.asked = self.rig = None


@pytest.fixture(scope="module", params=["xdp", "wire"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    made = Kind(request.param)
    yield made
    made.close()


@pytest.mark.parametrize(("length", "taken"), [(13, False), (14, True), (3_414, True), (3_520, True), (3_521, False)])
def test_every_length_that_a_target_takes_has_an_answer(kind: Kind, length: int, taken: bool) -> None:
    subject = kind.fresh(plan())
    taken = taken and length <= FRAME_BYTES_MAX[kind.name]
    frame = (bytes.fromhex("020000000001020000000002") + b"\x08\x06" + bytes(4_000))[:length]
    [answer] = subject.asked.judge([(1, frame)])
    assert (answer is not None) == taken
    assert answered(subject.asked, frame, answer, subject.oracle.judge(frame, 1)) == Oracle(plan()).judge(frame, 1)


def test_a_target_that_does_not_answer_is_not_taken_for_equal(kind: Kind) -> None:
    subject = kind.fresh(plan())
    with pytest.raises(AssertionError, match="does not answer 60 bytes"):
        answered(subject.asked, bytes(60), None, subject.oracle.judge(bytes(60), 1))


def test_cases_that_may_follow_each_other(kind: Kind) -> None:
    assert wrong_together(kind.fresh(plan())) == []


def test_cases_that_want_a_target_of_their_own(kind: Kind) -> None:
    assert wrong_alone(kind.fresh) == []


def test_random_frames(kind: Kind) -> None:
    kind.close()
    # One target for all examples: its state is the oracle's, as they have seen the same frames.
    subject = kind.fresh(plan())

    @settings(max_examples=200 if kind.name == "xdp" else 40)
    @given(sequences)
    def same(sequence: list[tuple[int, bytes]]) -> None:
        expected = [subject.oracle.judge(frame, clock_ns) for clock_ns, frame in sequence]
        answers = subject.asked.judge(sequence)
        triples = zip(sequence, answers, expected, strict=True)
        assert [answered(subject.asked, frame, answer, known) for (_, frame), answer, known in triples] == expected

    same()


# BMv2 refills in its own way: with nothing refilled, meters are the same everywhere.
NO_REFILL = TEXT.replace("per_s: 2,", "per_s: 0,")


@pytest.fixture
def bmv2() -> Iterator[Bmv2]:
    if not installed():
        pytest.skip("BMv2 is not here: simple_switch_grpc has to be on PATH")
    with Bmv2() as made:
        yield made


def test_random_frames_on_a_p4_switch(bmv2: Bmv2) -> None:
    bmv2.program(plan(NO_REFILL))
    asked = P4Switch("bmv2", bmv2.target.client)
    oracle = Oracle(plan(NO_REFILL), flow_table=False)

    @settings(max_examples=40)
    @given(sequences)
    def same(sequence: list[tuple[int, bytes]]) -> None:
        expected = [oracle.judge(frame, clock_ns)._replace(service=0) for clock_ns, frame in sequence]
        assert asked.judge(sequence) == expected

    same()


def test_command_line_programs_and_asks_a_p4_switch(bmv2: Bmv2, tmp_path: Path) -> None:
    config = configuration(tmp_path / "a.yaml", NO_REFILL)
    # The command line is the only controller.
    bmv2.target.close()
    name = f"p4rt://{bmv2.options.address}"
    switch = ("--p4rt-plaintext", "--p4rt-device-config", CONFIG)
    status, summary = replayed("run", "--config", config, *MIX, "--targets", f"model,{name}", *switch)
    assert (status, summary["differing"]) == (0, 0)
    assert summary["targets"][name]["reasons"] == summary["targets"]["model"]["reasons"]
    assert summary["targets"][name]["groups"] == summary["targets"]["model"]["groups"]


@pytest.fixture(scope="module")
def loadable() -> None:
    """Skips where the machine has not what the packet programs need."""
    skip_without_packet_stage()


def replayed(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit status and summary of a run of `dpu-replay`."""
    done = CliRunner().invoke(app, [str(argument) for argument in (*arguments, "--clock", "-o", "json")])
    return done.exit_code, json.loads(done.stdout)["summary"]


MIX = ("--generate", "mix", "--count", 5_000, "--seed", 7)


def configuration(path: Path, text: str) -> Path:
    path.write_text(HEAD + text, encoding="utf-8")
    return path


def test_command_line_proves_two_targets_equal(loadable: None, tmp_path: Path) -> None:
    config = configuration(tmp_path / "a.yaml", TEXT)
    status, summary = replayed("run", "--config", config, *MIX, "--targets", "xdp,model")
    assert (status, summary["differing"]) == (0, 0)
    assert summary["targets"]["xdp"] == summary["targets"]["model"]
    assert summary["targets"]["xdp"]["frames"] == 5_000
    # The native loop alone sums up the same.
    _, alone = replayed("run", "--config", config, *MIX, "--targets", "xdp")
    assert alone["targets"]["xdp"] == summary["targets"]["xdp"]


def test_native_diff_is_that_of_the_model(loadable: None, tmp_path: Path) -> None:
    a = configuration(tmp_path / "a.yaml", TEXT)
    b = configuration(tmp_path / "b.yaml", split_weights(10).replace("action: permit", "action: deny"))
    runs = [
        replayed("diff", "--a", a, "--b", b, *MIX, "--targets", target, "--no-frames") for target in ("xdp", "model")
    ]
    assert runs[0] == runs[1] and runs[0][0] == 1 and runs[0][1]["changed"] > 20


def test_frames_that_the_test_run_does_not_take_are_said_not_judged(loadable: None, tmp_path: Path) -> None:
    config = configuration(tmp_path / "a.yaml", TEXT)
    sizes = "[Ether(bytes(ETHER)[:12] + b'\\x08\\x06' + bytes(n)) for n in (46, 3506, 3507)]"
    expression = sizes.replace("ETHER", "Ether(src='02:00:00:00:00:02', dst='02:00:00:00:00:01')")
    status, summary = replayed("run", "--config", config, "--scapy", expression)
    assert (status, summary["targets"]["xdp"]["frames"], summary["targets"]["xdp"]["not_asked"]) == (0, 2, 1)
    assert "1 frames beyond 3,520 bytes" in summary["notes"][0]


def test_wire_leaves_no_namespace_behind() -> None:
    before, kind = set(netns.listnetns()), Kind("wire")
    kind.fresh(plan())
    assert len(set(netns.listnetns()) - before) == 2
    kind.close()
    assert set(netns.listnetns()) <= before
