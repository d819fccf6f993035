"""What the tests have p4runtime-shell do; runs under the shell's own interpreter: p4shell_steps.py ADDRESS STEP.

Each step prints JSON lines. It is the shell's Python interface, which its prompt offers too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import grpc
import p4runtime_sh.shell as sh
from p4runtime_sh.p4runtime import P4RuntimeWriteException


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def attempt(name: str, action: Callable[[], object]) -> None:
    """Does something and says how it ended: the codes of single entries, or that of the call."""
    try:
        action()
        say(step=name, ok=True)
    except P4RuntimeWriteException as failed:
        names = [(item.canonical_code, item.message) for _index, item in failed.errors]
        say(step=name, ok=False, errors=names)
    except grpc.RpcError as raised:
        error: Any = raised  # gRPC's own ones are calls too, which its types do not say
        say(step=name, ok=False, code=error.code().name, message=error.details())


def acl(source: str, priority: int, reason: str = "40", bank: str = "0") -> Any:
    entry = sh.TableEntry("acl")(action="deny")
    entry.match["bank"], entry.match["service"], entry.match["source"] = bank, "1", source
    entry.action["reason"] = reason
    entry.priority = priority
    return entry


NET = "::ffff:198.51.100.0&&&0xffffffffffffffffffffffffffffff00"


def write() -> None:
    say(step="api", version=sh.APIVersion())
    entry = acl(NET, 241)
    attempt("insert", entry.insert)
    attempt("insert again", entry.insert)
    attempt("wrong priority", acl(NET, 7).insert)
    attempt("no prefix", acl("::1&&&0x1", 3).insert)
    attempt("delete what is not there", acl(NET, 241, bank="1").delete)
    vip = sh.TableEntry("vip")(action="service")
    vip.match["bank"], vip.match["address"], vip.match["protocol"], vip.match["port"] = "0", "2001:db8::10", "6", "443"
    vip.action["id"] = "1"
    attempt("vip", vip.insert)
    vip.action["id"] = "2"
    attempt("modify", vip.modify)
    read = []
    sh.TableEntry("vip").read(lambda found: read.append(found.action["id"].value.hex()))
    say(step="read", ids=read)


def flip() -> None:
    entry = sh.TableEntry("set_epoch")(action="set_epoch", is_default=True)
    entry.action["bank"] = "1"
    attempt("flip", entry.modify)
    read = []
    sh.TableEntry("set_epoch")(is_default=True).read(lambda found: read.append(found.action["bank"].value.hex()))
    say(step="read", banks=read)


def meter() -> None:
    block = sh.TableEntry("meter_source")(action="meters")
    block.match["bank"], block.match["service"] = "0", "1"
    block.action["mask_ipv4"], block.action["mask_ipv6"] = "0xffffffff", "0xffffffffffffffff0000000000000000"
    block.action["cell_base"], block.action["cells"] = "16", "16"
    attempt("block", block.insert)
    for cell in (17, 16):
        entry = sh.MeterEntry("source_packets")
        entry.index, entry.cir, entry.cburst, entry.pir, entry.pburst = cell, 5, 6, 5, 6
        attempt(f"cell {cell}", entry.modify)
    read = []
    entry = sh.MeterEntry("source_packets")
    entry.index = 31
    entry.read(lambda found: read.append(found.cir))
    say(step="read", cirs=read)


def count() -> None:
    entry, read = sh.CounterEntry("reasons"), []
    entry.index = 40
    entry.read(lambda found: read.append([found.packet_count, found.byte_count]))
    say(step="count", found=read)


def main() -> None:
    sh.setup(device_id=1, grpc_addr=sys.argv[1], election_id=(0, 1), config=None, verbose=False)
    try:
        {"write": write, "flip": flip, "meter": meter, "count": count}[sys.argv[2]]()
    finally:
        sh.teardown()


main()
