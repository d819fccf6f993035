"""Whether what hangs on the interface is what was programmed: asked of the kernel, not remembered."""

from __future__ import annotations

from dpu_app.targets.packet import attach, bpf
from dpu_app.targets.packet.generation import Generation
from dpu_app.targets.packet.programmed import Record


def is_orphan(link_fd: int) -> bool:
    """Whether a link hangs nowhere: the interface went away, or somebody took it off."""
    return link_fd < 0 or bpf.link(link_fd).ifindex == 0


def has_other_program(link_fd: int, current: Generation) -> bool:
    """Whether a link holds the program of another generation: an agent died between swap and note."""
    return bpf.link(link_fd).program_id != bpf.object_id(current.program_fd("ingress"))


def what_hangs_wrong(link_fd: int, current: Generation, record: Record) -> str:
    """Why the interface does not do what the record says; empty where it does. Raises BpfError, TargetUnavailable."""
    if is_orphan(link_fd):
        return "the XDP program is attached to nothing"
    found = bpf.link(link_fd)
    if has_other_program(link_fd, current):
        return f"the interface has program {found.program_id}, which is not ours"
    if not attach.has_egress(found.ifindex):
        return "the tc egress filter is gone"
    if current.maps.epoch()[0] != record.epoch:
        return "the epoch in the table is not the one that was written"
    return ""
