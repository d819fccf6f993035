"""`dpu-replay`: replays captures against a policy. Builds the objects; the work is in the files beside it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dpu_app.compile.plan import compile_plan
from dpu_app.model.plan import EMPTY_PLAN, Plan
from dpu_app.model.plan_packet import PlanPacket
from dpu_app.replay import inputs, report
from dpu_app.replay.build import P4RT, Setting, SwitchOptions, split, target
from dpu_app.replay.diff import Differ, batch_changes, native_changes
from dpu_app.replay.ending import UNUSABLE, orderly
from dpu_app.replay.inputs import InputError
from dpu_app.replay.names import Names
from dpu_app.replay.native import Frames, NativeTarget
from dpu_app.replay.pcap_out import PcapWriter, refuse_input
from dpu_app.replay.report import Output
from dpu_app.replay.run import Judged, Outcome, run_batches, run_native
from dpu_app.replay.target import TargetFailed
from dpu_app.store.load import LoadError, load_file
from dpu_app.targets.base import TargetError
from dpu_app.telemetry import log as logs

LISTED_MAX = 100
"""Differing frames that are listed for people; --frames lists all, and the summary counts all."""
DIFFERENT = 1
U64_MAX = 2**64 - 1
NOTHING_COMPARED = (
    "nothing was compared: give frames of 14 to 3,520 bytes (capture with receive offload off; --cut pad or keep)"
)
CLOCK_CAPTURE = "the capture's own times: meters are exact and repeatable"
CLOCK_IMPLIED = f"{CLOCK_CAPTURE} (several targets imply --clock)"
CLOCK_SWITCH = "the switch's own: what meters say is not repeatable (--clock does not reach it)"
CLOCK_BESIDE_SWITCH = "the capture's own times, but the switch has its own: compare meters at per_s: 0"
CLOCK_NOW = "now, as frames are replayed: what meters say is not repeatable (--clock takes the capture's times)"

app = typer.Typer(
    name="dpu-replay",
    help="Replays frames against a policy before it goes live. Nothing is sent, but to targets that you name.",
    epilog="Exit status: 0 fine or equal, 1 a difference, 2 cannot be done.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def prepared() -> None:
    """Logs go to standard error; standard output is for results."""
    # gRPC writes its own lines beside our one, which says the fix.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logs.configure("dpu-replay", logs.Level.WARNING)


class Traffic(StrEnum):
    """What is generated."""

    FLOOD = "flood"
    SCAN = "scan"
    MIX = "mix"


class Ask(StrEnum):
    """How a P4Runtime switch is asked to take us for its controller."""

    REQUIRED = "required"
    TRY = "try"
    OFF = "off"


class Cut(StrEnum):
    """What is done with frames of which the capture holds only the beginning."""

    PAD = "pad"
    KEEP = "keep"
    SKIP = "skip"


Pcap = Annotated[str | None, typer.Option("--pcap", help="A pcap or pcapng file; - is standard input.")]
Scapy = Annotated[
    str | None,
    typer.Option("--scapy", help="A Scapy expression. It is evaluated as Python: give only what you wrote yourself."),
]
Generate = Annotated[
    Traffic | None, typer.Option("--generate", help="Traffic to the VIPs of the configuration, or of both.")
]
Count = Annotated[int, typer.Option("--count", min=1, max=U64_MAX, help="Frames to generate.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=U64_MAX, help="The same seed generates the same frames.")]
CutOption = Annotated[Cut, typer.Option("--cut", help="Frames cut by the capture: pad with zeros, keep, or skip.")]
Targets = Annotated[str, typer.Option("--targets", help="Of xdp, model, wire, p4rt://HOST:PORT; with commas between.")]
Clock = Annotated[bool, typer.Option("--clock", help="Take the capture's own times: meters become repeatable.")]
Format = Annotated[Output, typer.Option("--output", "-o", help="table for people, json or jsonl for programs.")]


@app.command()
@orderly()
def run(
    config: Annotated[Path, typer.Option("--config", help="The desired-state file.")],
    pcap: Pcap = None,
    scapy: Scapy = None,
    generate: Generate = None,
    count: Count = 100_000,
    seed: Seed = 1,
    targets: Targets = "xdp",
    clock: Clock = False,
    cut: CutOption = Cut.PAD,
    output: Format = Output.TABLE,
    frames: Annotated[bool, typer.Option("--frames", help="Every frame, not only those that differ.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="A pcap of the frames that pass, as rewritten.")] = None,
    p4rt_plaintext: Annotated[bool, typer.Option(help="P4Runtime without TLS: on loopback only.")] = False,
    p4rt_ca: Annotated[Path | None, typer.Option(help="Who has to have signed the switch's certificate.")] = None,
    p4rt_certificate: Annotated[Path | None, typer.Option(help="Our chain for the switch.")] = None,
    p4rt_private_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    p4rt_device_id: Annotated[int, typer.Option(min=1, help="The device behind the server.")] = 1,
    p4rt_election_id: Annotated[int, typer.Option(min=0, help="Ours; the highest wins.")] = 1,
    p4rt_arbitration: Annotated[
        Ask, typer.Option(help="required: be the primary; try: go on without an answer (DPL); off.")
    ] = Ask.REQUIRED,
    p4rt_device_config: Annotated[Path | None, typer.Option(help="Pushed where the switch has none: dpu.json.")] = None,
) -> None:
    """Judge every frame; with several targets, prove that they say the same."""
    if frames and output is Output.JSON:
        unusable("--frames is not for -o json: take -o jsonl, a line a frame")
    files = (p4rt_ca, p4rt_certificate, p4rt_private_key)
    device = p4rt_device_id, p4rt_device_config
    switch = SwitchOptions(p4rt_plaintext, *files, *device, p4rt_election_id, p4rt_arbitration.value)
    with failures(), ExitStack() as opened:
        wanted = split(targets)
        with_switch = any(name.startswith(P4RT) for name in wanted)
        if out:
            refuse_input(out, config, pcap)
        plan = plan_of(config)
        packet = packet_stage(plan, config)
        source = source_of((packet,), pcap, scapy, generate, count, seed, cut)
        setting = Setting(clock or len(wanted) > 1, not with_switch, switch)
        asked = [opened.enter_context(target(name, plan, packet, setting)) for name in wanted]
        progress = opened.enter_context(shown(output))
        names = Names(packet)
        [first, *others] = asked
        if isinstance(first, NativeTarget) and not (others or frames or out or output is Output.JSONL):
            outcome = run_native(first.program, source, progress)
        else:
            writer = opened.enter_context(PcapWriter(out)) if out else None
            printed = printer([one.name for one in asked], names, output, frames or output is Output.JSONL)
            outcome = run_batches(asked, source, progress, to_each(printed, writer))
    finish(outcome, names, output, clock_text(clock, len(wanted), with_switch))


@app.command()
@orderly()
def diff(
    a: Annotated[Path, typer.Option("--a", help="The desired-state file of now.")],
    b: Annotated[Path, typer.Option("--b", help="The one that comes after.")],
    pcap: Pcap = None,
    scapy: Scapy = None,
    generate: Generate = None,
    count: Count = 100_000,
    seed: Seed = 1,
    targets: Annotated[str, typer.Option("--targets", help="xdp or model.")] = "xdp",
    clock: Clock = False,
    cut: CutOption = Cut.PAD,
    output: Format = Output.TABLE,
    frames: Annotated[bool, typer.Option("--frames/--no-frames", help="A line for every frame that changes.")] = True,
) -> None:
    """Every frame whose verdict or rewrite changes from A to B, by the entry that is behind it.

    Both sides begin with full meters and without flows, and see the same frames.
    """
    if targets not in ("xdp", "model"):
        unusable("diff asks one kind of target: --targets xdp or --targets model")
    with failures(), ExitStack() as opened:
        plan_a = plan_of(a)
        plans = plan_a, plan_of(b, plan_a)
        packets = packet_stage(plans[0], a), packet_stage(plans[1], b)
        source = source_of(packets, pcap, scapy, generate, count, seed, cut)
        setting = Setting(clock)
        first, second = (
            opened.enter_context(target(targets, plan, packet, setting))
            for plan, packet in zip(plans, packets, strict=True)
        )
        progress = opened.enter_context(shown(output))
        differ = Differ(*packets)
        if isinstance(first, NativeTarget) and isinstance(second, NativeTarget):
            changed = native_changes((first.program, second.program), source, progress, differ.changes)
        else:
            changed = batch_changes((first, second), source, progress, differ.changes)
        names = (differ.a.names, differ.b.names)
        for one in changed:
            rule, effect = differ.add(one)
            if frames and output is Output.TABLE:
                print(report.change_line(one, rule, effect))
            elif output is Output.JSONL:
                print(report.change_json(one, rule, effect, names))
    if output is Output.TABLE:
        report.changes_table(differ.changes, clock_text(clock))
    else:
        print_json({"summary": report.changes_json(differ.changes, clock_text(clock))}, output)
    if not differ.changes.compared:
        unusable(NOTHING_COMPARED)
    raise typer.Exit(DIFFERENT if differ.changes.frames else 0)


def unusable(why: str) -> None:
    """Ends with the status of what cannot be done. Raises typer.Exit."""
    print(f"dpu-replay: {why}", file=sys.stderr)
    raise typer.Exit(UNUSABLE)


@contextmanager
def failures() -> Iterator[None]:
    """Everything that can be wrong with files, frames and targets, as one line each and status 2."""
    try:
        yield
    except LoadError as error:
        unusable("\n".join(str(problem) for problem in error.problems))
    except BrokenPipeError:
        raise
    except (InputError, TargetFailed, TargetError, OSError) as error:
        unusable(str(error))


def plan_of(file: Path, previous: Plan = EMPTY_PLAN) -> Plan:
    """The compiled plan of a desired-state file, moving as little as it can from `previous`. Raises LoadError."""
    loaded = load_file(file)
    return compile_plan(loaded.desired, loaded.folder, previous.revision + 1, previous)


def packet_stage(plan: Plan, file: Path) -> PlanPacket:
    """The packet stage of a file's plan. Raises InputError."""
    if plan.packet is None:
        raise InputError(f"{file} has no packet stage: add `packet:` with an interface and VIPs")
    if plan.packet.programmed_by != "agent":
        raise InputError(
            f"{file}: its tables come from a controller (programmed_by: {plan.packet.programmed_by}), so there is no "
            "policy in it: replay a file with `programmed_by: agent` that has the controller's tables"
        )
    return plan.packet


def source_of(
    packets: Sequence[PlanPacket],
    pcap: str | None,
    scapy: str | None,
    generate: Traffic | None,
    count: int,
    seed: int,
    cut: Cut,
) -> Frames:
    """The frames that the options name. Raises InputError."""
    if sum(given is not None for given in (pcap, scapy, generate)) != 1:
        raise InputError("say what to replay: one of --pcap, --scapy, --generate")
    if pcap is not None:
        return inputs.capture(pcap, cut)
    return inputs.expression(scapy) if scapy is not None else inputs.generated(str(generate), count, seed, packets)


def clock_text(clock: bool, targets: int = 1, with_switch: bool = False) -> str:
    """Which clock it was, for people. Several targets have one clock, else their meters could not be compared."""
    if with_switch:
        return CLOCK_SWITCH if targets == 1 else CLOCK_BESIDE_SWITCH
    if clock:
        return CLOCK_CAPTURE
    return CLOCK_IMPLIED if targets > 1 else CLOCK_NOW


@contextmanager
def shown(output: Output) -> Iterator[Callable[[Frames], None]]:
    """A progress bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("replaying", total=None)

        def update(frames: Frames) -> None:
            done, total = frames.progress
            bar.update(task, completed=done, total=total or None, description=f"{frames.frames:,} frames")

        yield update


def printer(targets: list[str], names: Names, output: Output, every: bool) -> Callable[[Judged], None]:
    """Prints single frames: every one, or the first of those about which targets differ."""
    listed = 0

    def one(judged: Judged) -> None:
        nonlocal listed
        if output is Output.JSON or (not every and (judged.alike or listed == LISTED_MAX)):
            return
        listed += 1
        line = report.frame_json if output is Output.JSONL else report.frame_line
        print(line(judged, targets, names))

    return one


def to_each(printed: Callable[[Judged], None], writer: PcapWriter | None) -> Callable[[Judged], None]:
    """What is done with every frame."""
    if writer is None:
        return printed

    def one(judged: Judged) -> None:
        printed(judged)
        answer = judged.answers[0]
        if answer and answer.passed:
            writer.write(judged.clock_ns, answer.frame)

    return one


def finish(outcome: Outcome, names: Names, output: Output, clock: str) -> None:
    """The summary, and the exit status."""
    if output is Output.TABLE:
        report.outcome_table(outcome, names, clock)
    else:
        print_json({"summary": report.outcome_json(outcome, names, clock)}, output)
    if len(outcome.sums) > 1 and not outcome.compared:
        unusable(NOTHING_COMPARED)
    raise typer.Exit(DIFFERENT if outcome.differing else 0)


def print_json(value: object, output: Output) -> None:
    """Indented, or in one line where lines are what is read."""
    print(json.dumps(value, indent=2 if output is Output.JSON else None))


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
