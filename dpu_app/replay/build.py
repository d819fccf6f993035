"""Builds the targets that the command line names, programmed with a plan. With __main__ alone in importing targets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dpu_app.model.plan import Plan
from dpu_app.model.plan_packet import PlanPacket
from dpu_app.p4rt.errors import ClientError
from dpu_app.p4rt.options import Arbitration, ClientOptions, OptionsError, TlsFiles
from dpu_app.replay.inputs import InputError
from dpu_app.replay.native import NativeTarget, XdpProgram
from dpu_app.replay.p4rt import P4Switch
from dpu_app.replay.target import FrameTarget, Model, TargetFailed
from dpu_app.replay.wire import Wire
from dpu_app.targets.base import TargetError
from dpu_app.targets.p4runtime import P4RuntimeTarget
from dpu_app.targets.packet.rig import XdpRig

P4RT = "p4rt://"
UNKNOWN = "there is no target '{}': xdp, model, wire, or p4rt://HOST:PORT"


@dataclass(frozen=True)
class SwitchOptions:
    """How a P4Runtime switch is reached."""

    plaintext: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    device_id: int = 1
    device_config: Path | None = None
    election_id: int = 1
    arbitration: Arbitration = "required"


@dataclass(frozen=True)
class Setting:
    """What all targets of a run share. `flow_table` False where one of them is a P4 switch, which has none."""

    clock: bool
    flow_table: bool = True
    switch: SwitchOptions = SwitchOptions()


def split(targets: str) -> list[str]:
    """The names of targets, each once. Raises InputError."""
    names = [name for name in targets.split(",") if name]
    if not names or len(set(names)) != len(names):
        raise InputError("--targets takes names with commas between, each once: xdp,model")
    return names


@contextmanager
def target(name: str, plan: Plan, packet: PlanPacket, setting: Setting) -> Iterator[FrameTarget]:
    """A target programmed with the packet stage of a plan. Raises TargetFailed, TargetError."""
    if name == "model":
        yield Model(packet, capture_clock=setting.clock, flow_table=setting.flow_table)
    elif name in ("xdp", "wire"):
        with rig(packet, setting.clock) as made, on(name, made) as asked:
            yield asked
    elif name.startswith(P4RT):
        with switch(name, plan, setting.switch) as asked:
            yield asked
    else:
        raise TargetFailed(UNKNOWN.format(name))


@contextmanager
def rig(packet: PlanPacket, clock: bool) -> Iterator[XdpRig]:
    """The XDP programs, loaded for replay."""
    made = XdpRig((packet,), capture_clock=clock)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def on(name: str, made: XdpRig) -> Iterator[FrameTarget]:
    """XDP by the kernel's test run, or on a wire."""
    program = XdpProgram(made.program_fd, made.io_fd)
    asked: FrameTarget = NativeTarget(program) if name == "xdp" else Wire(program.program_fd, made.io)
    try:
        yield asked
    finally:
        asked.close()


@contextmanager
def switch(name: str, plan: Plan, options: SwitchOptions) -> Iterator[P4Switch]:
    """A P4 switch, programmed with the plan; its tables stay as they are then. Raises TargetFailed, TargetError."""
    tls = TlsFiles(ca=options.ca, certificate=options.certificate, private_key=options.private_key)
    try:
        client_options = ClientOptions(
            address=name.removeprefix(P4RT),
            plaintext=options.plaintext,
            tls=tls,
            device_id=options.device_id,
            device_config=options.device_config,
            election_id=options.election_id,
            arbitration=options.arbitration,
        )
        programmed = P4RuntimeTarget(client_options, name)
    except OptionsError as error:
        raise TargetFailed(str(error)) from error
    try:
        programmed.apply(plan)
        yield P4Switch(name, programmed.client)
    except ClientError as error:
        raise TargetFailed(f"{name}: {error}") from error
    finally:
        programmed.close()


__all__ = ["P4RT", "Setting", "SwitchOptions", "TargetError", "split", "target"]
