"""The packet stage of one interface as a target: XDP on the wire, programmed by banks, adopted after a restart."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from abi.gen.packet import FlowRecord
from dpu_app.model.plan import EMPTY_PLAN, Plan, plan_to_json
from dpu_app.model.plan_packet import PlanFlows, PlanPacket, PlanTables
from dpu_app.model.problem import Problem
from dpu_app.targets.base import Programmed, TargetRefused, TargetUnavailable
from dpu_app.targets.packet import attach, bpf, generation
from dpu_app.targets.packet.acl import AclTables, acl_tables
from dpu_app.targets.packet.ageing import Aged, FlowAger
from dpu_app.targets.packet.carry import Carrier, take_flows
from dpu_app.targets.packet.generation import Generation
from dpu_app.targets.packet.layout import Sizes, memory_bytes, sizes_of
from dpu_app.targets.packet.leftovers import drop_ways_back, end_flows_of_removed_services
from dpu_app.targets.packet.looking import has_other_program, is_orphan, what_hangs_wrong
from dpu_app.targets.packet.maps import Maps
from dpu_app.targets.packet.programmed import Record
from dpu_app.targets.packet.records import RecordReader
from dpu_app.targets.packet.render import Contents, contents, ways_back

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="xdp")
FRAME_GRACE_S = 0.05
DEEP_INTERVAL_S = 30.0
"""The whole content of the tables is compared when the agent begins, after every change, and this often."""


@dataclass(frozen=True, kw_only=True)
class XdpOptions:
    """How the target is run."""

    bpffs: Path = generation.BPFFS
    """Where programs and maps are pinned."""
    force: bool = False
    """Take an interface from a program that somebody else attached to it."""


@dataclass(frozen=True)
class ControllerTables:
    """Both banks, and which of them frames see."""

    banks: tuple[PlanTables, PlanTables] = (PlanTables(), PlanTables())
    active: int = 0


class XdpTarget:
    """See Target. A plan without `packet` is one with nothing on any interface."""

    def __init__(self, options: XdpOptions | None = None, last: Plan = EMPTY_PLAN, name: str = "xdp") -> None:
        """`last` is what the agent before this one programmed, by its own notes. Raises TargetUnavailable."""
        self.options = options or XdpOptions()
        self._name = name
        self._lock = threading.RLock()
        self.generation: Generation | None = None
        self.link_fd = -1
        self.mode = ""
        self.packet: PlanPacket | None = None
        self.bare: Plan | None = None
        """The plan without a packet part that was applied last: there is no map to write it in."""
        self.records: RecordReader | None = None
        self.kept_records: list[FlowRecord] = []
        """Of rings that were replaced; as many as those held."""
        self.times: PlanFlows | None = last.packet.flows if last.packet else None
        """When flows are old: those of the plan in force, or of the one before while that is not known."""
        self.stranded: Path | None = None
        """Pins of an agent with other programs, on the interface of its plan."""
        self.controllers = ControllerTables()
        """What a P4Runtime controller wrote, from whoever keeps it: maps begin empty after a reboot."""
        self._deep_due = 0.0
        if last.packet is not None:
            with said():
                self._recall(last, last.packet)

    @property
    def name(self) -> str:
        """See Target."""
        return self._name

    def digest(self, plan: Plan) -> bytes:
        """See Target: of the whole plan, as every target's."""
        return hashlib.sha256(plan_to_json(plan)).digest() if plan.epoch else b""

    def apply(self, plan: Plan) -> bool:
        """See Target."""
        with self._lock, said():
            if plan.packet is None:
                return self._take_away(plan)
            self._move_to(plan.packet.interface)
            if self.read_back().digest == self.digest(plan) and self.packet is not None:
                return False
            self._program(plan, plan.packet)
            return True

    def read_back(self) -> Programmed:
        """See Target."""
        with self._lock, said():
            if self.generation is None:
                bare = self.bare or EMPTY_PLAN
                return Programmed(bare.revision, bare.epoch, self.digest(bare), ready=bare.epoch > 0)
            record = Record.read(self.generation.maps)
            if record.epoch == 0:
                return Programmed(0, 0, b"", False, "attached and not programmed")
            problem = self._what_is_wrong(record)
            digest = b"changed by somebody else" if problem else record.digest
            return Programmed(record.revision, record.epoch, digest, not problem, problem or self._detail())

    def close(self) -> None:
        """See Target: the programs go on."""
        with self._lock:
            self._let_go()

    # --- what flows and telemetry ask -----------------------------------------------------------------------

    @contextmanager
    def held(self) -> Iterator[Generation | None]:
        """The generation in force, which does not change meanwhile."""
        with self._lock, said():
            yield self.generation

    def age(self) -> Aged:
        """One round over the flow table; every second or so. Raises TargetUnavailable."""
        with self.held() as current:
            if current is None or self.times is None:
                return Aged(0, 0)
            return self._ager(current).round(self.times)

    def records_read(self) -> list[FlowRecord]:
        """Records of flows that ended since the last call, some thousands at most. Raises TargetUnavailable."""
        with self._lock, said():
            kept, self.kept_records = self.kept_records, []
            return kept or (self.records.read() if self.records is not None else [])

    # --- what a P4Runtime controller asks, where the tables are not the file's ----------------------------------

    @property
    def is_open_to_controllers(self) -> bool:
        """Whether the desired state leaves the tables to P4Runtime."""
        return self.packet is not None and self.packet.programmed_by == "p4runtime"

    def write_tables(self, bank: int, tables: PlanTables) -> None:
        """Makes a bank hold these tables, live or not. Raises TargetRefused (as before) or TargetUnavailable."""
        with self._lock, said():
            if self.packet is None or not self.is_open_to_controllers:
                raise TargetUnavailable("the tables are the desired state's: packet.programmed_by is agent")
            acl = acl_tables(tables)
            self._make_room(replace(self.packet, tables=tables), acl)
            current = self._generation()
            self._write_bank(bank, rendered(current.maps, tables, acl, bank))
            needed = {key for held in self.controllers.banks for key in ways_back(held)} | ways_back(tables).keys()
            drop_ways_back(current.maps, self._ager(current), needed)

    def select_bank(self, bank: int) -> None:
        """Frames see `bank` from now on; the epoch stays. Raises TargetUnavailable."""
        with self._lock, said():
            maps = self._generation().maps
            maps.flip(maps.epoch()[0], bank)

    def active_bank(self) -> int:
        """The bank that frames see. Raises TargetUnavailable."""
        with self._lock, said():
            return self._generation().maps.epoch()[1]

    def memory(self) -> dict[str, int]:
        """Bytes that each map takes."""
        with self._lock:
            return memory_bytes(self.generation.sizes, self.generation.maps.cpus) if self.generation else {}

    # --- programming ------------------------------------------------------------------------------------------

    def _program(self, plan: Plan, packet: PlanPacket) -> None:
        """Brings the plan into force: a generation that it fits in, the other bank, one flip."""
        acl = acl_tables(packet.tables)
        self._make_room(packet, acl)
        current = self._generation()
        self._mend_egress(current, packet.interface)
        maps = current.maps
        epoch, bank = maps.epoch()
        record = Record.read(maps)
        wanted = rendered(maps, packet.tables, acl, bank)
        is_elsewhere = packet.programmed_by == "p4runtime"
        if is_elsewhere:
            content = record.content
        elif record.epoch and maps.read(bank, wanted) == wanted:
            # Only what is not the packet stage's changed: the tables stay where they are.
            content = wanted.digest()
        else:
            bank = 1 - bank
            wanted = rendered(maps, packet.tables, acl, bank)
            content = self._write_bank(bank, wanted)
        maps.flip(plan.epoch, bank)
        # At once: an agent that dies in between leaves tables that its successor takes for somebody else's.
        Record(plan.revision, plan.epoch, self.digest(plan), content).write(maps)
        if not is_elsewhere:
            self._clear_bank(1 - bank)
        if not is_elsewhere:
            ended = end_flows_of_removed_services(self._ager(current), self.packet, packet)
            log.debug("what was left", flows=ended, ways=drop_ways_back(maps, self._ager(current), wanted.reverse))
        self.packet, self.bare, self.times = packet, None, packet.flows
        self._deep_due = time.monotonic() + DEEP_INTERVAL_S
        log.info("tables programmed", interface=packet.interface, epoch=plan.epoch, bank=bank, before=epoch)

    def _write_bank(self, bank: int, wanted: Contents) -> bytes:
        """Writes and reads back; the digest of what is there. Raises TargetRefused or TargetUnavailable."""
        maps = self._generation().maps
        try:
            maps.write(bank, wanted)
        except bpf.BpfError as error:
            what = f"the kernel does not take the tables: {error}"
            fix = "make the packet section smaller, or free memory"
            raise TargetRefused(self.name, (Problem(what, fix, "packet"),)) from error
        found = maps.read(bank, wanted)
        if found != wanted:
            raise TargetUnavailable("the tables read back differ from what was written: is somebody else writing them?")
        return found.digest()

    def _clear_bank(self, bank: int) -> None:
        """Empties a bank that no frame reads any more: one that began before the flip is done in microseconds."""
        time.sleep(FRAME_GRACE_S)
        maps = self._generation().maps
        maps.write(bank, rendered(maps, PlanTables(), acl_tables(PlanTables()), bank))

    def _make_room(self, packet: PlanPacket, acl: AclTables) -> None:
        """Has a generation that the plan fits in, in force. A flow table of another size is another generation too."""
        needed = sizes_of(packet, acl)
        if packet.programmed_by == "p4runtime":
            for tables in self.controllers.banks:
                needed = needed.at_least(sizes_of(replace(packet, tables=tables), acl_tables(tables)))
        current = self.generation
        if current is not None:
            held = current.sizes
            wanted = Sizes(
                **{name: max(getattr(held, name), getattr(needed, name)) for name in vars(held)}
                | {name: getattr(needed, name) for name in ("max_flows", "max_pending", "records_bytes")}
            )
            if wanted == held:
                if is_orphan(self.link_fd) or has_other_program(self.link_fd, current):
                    self._attach_again(current, packet)
                elif packet.mode not in ("auto", self.mode):
                    self._change_mode(current, packet)
                return
            needed = wanted
        self._replace(needed, packet)

    def _attach_again(self, current: Generation, packet: PlanPacket) -> None:
        """Hangs what is loaded on an interface that came back, or that somebody took it off: nothing to compile."""
        self._check_interface(current.folder, packet.interface)
        self._swap(None, current, packet)
        attach.attach_egress(current.program_fd("egress"), attach.interface_index(packet.interface))
        log.info("attached again", interface=packet.interface, mode=self.mode)

    def _change_mode(self, current: Generation, packet: PlanPacket) -> None:
        """Detaches and attaches in another mode: a link keeps the one that it has. Raises TargetRefused (as before)."""
        before = self.mode
        bpf.detach(self.link_fd)
        try:
            self._attach_again(current, packet)
        except TargetUnavailable as error:
            self._attach_again(current, replace(packet, mode=before))
            problem = Problem(str(error), "use mode: auto, or what the driver takes", "packet.mode")
            raise TargetRefused(self.name, (problem,)) from error

    def _replace(self, sizes: Sizes, packet: PlanPacket) -> None:
        """Makes a generation, carries over what frames wrote, and swaps the attached programs in one step each."""
        folder = generation.folder_of(packet.interface, self.options.bpffs)
        generation.mount_is_there(self.options.bpffs)
        self._check_interface(folder, packet.interface)
        old = self.generation
        fresh = generation.made(folder, sizes)
        try:
            carrier = Carrier(old.maps, fresh.maps, generation.unshared(old.sizes, sizes)) if old else None
            if carrier is not None:
                # Maps of the same size are the same maps: until the swap both generations read them.
                carrier.copy()
            else:
                self._begin_alone(fresh, packet)
            self._swap(old, fresh, packet)
        except BaseException:
            fresh.close()
            raise
        # From here on the new programs are in force, whatever fails: the next agent has to find them.
        self._drain()
        self.generation = fresh
        self.records = RecordReader(fresh.maps["records"].fd, sizes.records_bytes)
        generation.put_in_force(fresh)
        attach.attach_egress(fresh.program_fd("egress"), attach.interface_index(packet.interface))
        if carrier is not None:
            log.info("flows carried over", changed_meanwhile=carrier.catch_up())
        generation.sweep(fresh)
        if old is not None:
            old.close()
        memory = sum(self.memory().values())
        log.info("generation in force", interface=packet.interface, mode=self.mode, memory_bytes=memory)

    def _check_interface(self, folder: Path, interface: str) -> None:
        """Raises where it is not there or somebody else's: seconds of compiling sooner, with nothing half attached."""
        ifindex = attach.interface_index(interface)
        with attach.netlink() as route:
            attach.refuse_their_filter(route, ifindex)
        if generation.linked(folder) != ifindex:
            attach.refuse_theirs(ifindex, attach.attached(ifindex), self.options.force)

    def _begin_alone(self, fresh: Generation, packet: PlanPacket) -> None:
        """Tables before frames, and the flows of programs whose maps were laid out otherwise, if their shape fits."""
        epoch, bank = fresh.maps.epoch()
        if Record.read(fresh.maps).epoch:
            # The maps of programs with another text and the same layout: they are in force, and stay as they are.
            return
        if packet.programmed_by == "agent":
            fresh.maps.write(bank, rendered(fresh.maps, packet.tables, acl_tables(packet.tables), bank))
        else:
            for number, tables in enumerate(self.controllers.banks):
                fresh.maps.write(number, rendered(fresh.maps, tables, acl_tables(tables), number))
            fresh.maps.flip(epoch, self.controllers.active)
        for fd in generation.others(fresh, "flow"):
            log.info("flows taken over from other programs", flows=take_flows(fd, fresh.maps))

    def _swap(self, old: Generation | None, fresh: Generation, packet: PlanPacket) -> None:
        """The programs of `fresh` take the place of those that are attached."""
        ifindex = attach.interface_index(packet.interface)
        if old is not None and self.link_fd >= 0 and not is_orphan(self.link_fd):
            # The link is pinned by us and nobody else's: whatever program an agent left in it gives way.
            bpf.replace_any_program(self.link_fd, fresh.program_fd("ingress"))
        elif not self._take_over(fresh, ifindex):
            self._drop_link()
            attach.unpinned(fresh.folder / generation.LINK)
            self.link_fd, self.mode = attach.attach_xdp(
                fresh.program_fd("ingress"), ifindex, packet.mode, self.options.force
            )
            bpf.pin(self.link_fd, str(fresh.folder / generation.LINK))

    def _mend_egress(self, current: Generation, interface: str) -> None:
        """Puts our filter back where somebody took it off: the XDP link cannot be lost without us, the filter can."""
        ifindex = attach.interface_index(interface)
        if not attach.has_egress(ifindex):
            attach.attach_egress(current.program_fd("egress"), ifindex)

    def _take_over(self, fresh: Generation, ifindex: int) -> bool:
        """Puts our program into a link that an agent with other programs left here; False where there is none."""
        try:
            link_fd = bpf.opened(str(fresh.folder / generation.LINK))
        except bpf.BpfError:
            return False
        if bpf.link(link_fd).ifindex != ifindex:
            bpf.detach_quietly(link_fd)
            return False
        bpf.replace_any_program(link_fd, fresh.program_fd("ingress"))
        self._drop_link()
        self.link_fd, self.mode = link_fd, attach.attached(ifindex).mode
        return True

    # --- the interface ------------------------------------------------------------------------------------------

    def _recall(self, last: Plan, packet: PlanPacket) -> None:
        """Adopts what is pinned, and knows its tables where it is what `last` says."""
        found = generation.adopted(generation.folder_of(packet.interface, self.options.bpffs))
        if found is None:
            self.stranded = generation.folder_of(packet.interface, self.options.bpffs)
        else:
            self._take(found)
            self.packet = packet if Record.read(found.maps).digest == self.digest(last) else None

    def _take(self, found: Generation) -> None:
        """Makes an adopted generation ours."""
        self.generation = found
        self.records = RecordReader(found.maps["records"].fd, found.sizes.records_bytes)
        try:
            self.link_fd = bpf.opened(str(found.folder / generation.LINK))
            self.mode = attach.attached(bpf.link(self.link_fd).ifindex).mode
        except (bpf.BpfError, TargetUnavailable) as error:
            log.warning("pinned programs are attached to nothing", folder=found.folder.name, why=str(error))
        log.info("adopted", folder=found.folder.name, mode=self.mode, epoch=found.maps.epoch()[0])

    def _move_to(self, interface: str) -> None:
        """Leaves another interface, and adopts what is pinned for this one."""
        folder = generation.folder_of(interface, self.options.bpffs)
        if self.generation is not None and self.generation.folder != folder:
            self._remove()
        if self.stranded not in (None, folder):
            self._remove_stranded()
        if self.generation is None and (found := generation.adopted(folder)) is not None:
            self._take(found)

    def _take_away(self, plan: Plan) -> bool:
        """Nothing is on any interface when this returns."""
        had, wanted = self.generation is not None or self.bare, plan if plan.epoch else None
        if self.generation is not None:
            self._remove()
        self._remove_stranded()
        self.bare = wanted
        return had != wanted

    def _remove_stranded(self) -> None:
        """The same for programs of an agent before us that we could not adopt."""
        folder, self.stranded = self.stranded, None
        if folder is None or not folder.exists():
            return
        if ifindex := generation.linked(folder):
            attach.detach_egress(ifindex)
        generation.remove(folder)

    def _remove(self) -> None:
        """Ends the flows with their records, detaches, unpins and forgets."""
        current = self._generation()
        self._ager(current).keep_services(set())
        self._drain()
        if self.link_fd >= 0 and (ifindex := bpf.link(self.link_fd).ifindex):
            attach.detach_egress(ifindex)
            bpf.detach(self.link_fd)
        generation.remove(current.folder)
        self._let_go()

    def _let_go(self) -> None:
        """Closes descriptors."""
        if self.records is not None:
            self.records.close()
        if self.generation is not None:
            self.generation.close()
        self._drop_link()
        self.generation, self.records, self.packet, self.mode = None, None, None, ""

    def _drop_link(self) -> None:
        if self.link_fd >= 0:
            bpf.close(self.link_fd)
        self.link_fd = -1

    def _drain(self) -> None:
        """Keeps what the ring still holds, and lets go of it."""
        if self.records is not None:
            while records := self.records.read():
                self.kept_records += records
            self.records.close()
        self.records = None

    # --- looking --------------------------------------------------------------------------------------------------

    def _what_is_wrong(self, record: Record) -> str:
        """Why what is programmed is not what the record says; empty where all is well."""
        return what_hangs_wrong(self.link_fd, self._generation(), record) or self._compare_deeply(record)

    def _compare_deeply(self, record: Record) -> str:
        """Compares the whole content of the tables with what was read back when they were written, now and then."""
        if self.packet is None or self.packet.programmed_by == "p4runtime" or time.monotonic() < self._deep_due:
            return ""
        self._deep_due = time.monotonic() + DEEP_INTERVAL_S
        maps = self._generation().maps
        bank = maps.epoch()[1]
        wanted = rendered(maps, self.packet.tables, acl_tables(self.packet.tables), bank)
        if maps.read(bank, wanted) != wanted or wanted.digest() != record.content:
            self._deep_due = 0.0
            return "the tables do not hold what was written"
        return ""

    def _detail(self) -> str:
        """For status: how and where, and what it takes."""
        current = self._generation()
        return f"{self.mode} on {current.folder.name}, maps {sum(self.memory().values()) >> 10} KiB"

    def _ager(self, current: Generation) -> FlowAger:
        return FlowAger(current.maps, current.program_fd("age"))

    def _generation(self) -> Generation:
        if self.generation is None:
            raise TargetUnavailable("nothing is attached")
        return self.generation


def rendered(maps: Maps, tables: PlanTables, acl: AclTables, bank: int) -> Contents:
    """What `bank` of these maps has to hold. Raises TargetRefused."""
    try:
        return contents(tables, acl, bank, maps.sizes.max_vip_buckets)
    except ValueError as error:
        raise TargetRefused("xdp", (Problem(str(error), "name fewer VIPs", "packet.vips"),)) from error


@contextmanager
def said() -> Iterator[None]:
    """What the kernel says becomes TargetUnavailable."""
    try:
        yield
    except bpf.BpfError as error:
        raise TargetUnavailable(str(error)) from error


__all__ = ["Aged", "PlanFlows", "XdpOptions", "XdpTarget"]
