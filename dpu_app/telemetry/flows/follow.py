"""`dpu-agent flows`: follows flow records live, as a table for people or JSON for programs."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

SOCKET_NAME = "flows.sock"
"""In the agent's state directory."""


class Format(StrEnum):
    """How records are printed."""

    TABLE = "table"
    JSON = "json"


# Column, width, and what stands in it. IPv6 addresses are longer than their column and push the rest of their line.
COLUMNS = (
    ("LAST", 12, lambda r: r["last"][11:23]),
    ("CLIENT", 22, lambda r: end(r["client"], r["client_port"])),
    ("SERVER", 22, lambda r: end(r["server"], r["server_port"])),
    ("SERVICE", 10, lambda r: r["service"]),
    ("GROUP", 8, lambda r: r["group"]),
    ("END", 13, lambda r: r["end"]),
    ("REASON", 12, lambda r: r["reason"]),
    ("PACKETS", 11, lambda r: f"{r['packets_in']}/{r['packets_out']}"),
    ("BYTES", 15, lambda r: f"{r['bytes_in']}/{r['bytes_out']}"),
    ("TENANT", 10, lambda r: r["tenant"]),
    ("MODEL", 10, lambda r: r["model"]),
    ("ARM", 8, lambda r: r["arm"]),
    ("WORKER", 7, lambda r: r["worker"]),
    ("REQ", 4, lambda r: str(r["requests"])),
    ("TOKENS", 11, lambda r: f"{r['tokens_in']}/{r['tokens_out']}"),
    ("TTFT", 8, lambda r: "" if r["ttft_ms"] is None else f"{r['ttft_ms']:.1f}"),
    ("OUTCOME", 0, lambda r: r["outcome"]),
)


class FollowError(Exception):
    """Flows cannot be followed; says the fix."""


def flows(
    state_dir: Annotated[Path | None, typer.Option(help="The agent's --state-dir: its socket is in there.")] = None,
    flows_socket: Annotated[Path | None, typer.Option(help="The agent's --flows-socket, where it has one.")] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="table or json.")] = Format.TABLE,
    service: Annotated[str | None, typer.Option(help="Only flows of this service.")] = None,
    client: Annotated[str | None, typer.Option(help="Only flows from this address or prefix.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only flows whose last frame had this reason (none: passed).")
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many records; 0: go on.")] = 0,
) -> None:
    """Follow flow records: one line for each flow that has ended or goes on, until interrupted.

    Packets, bytes and tokens are in/out as the client sees the service. Records that this command was too slow for are
    counted on standard error.
    """
    asked = {"service": service, "client": client, "reason": reason}
    wanted = {name: value for name, value in asked.items() if value is not None}
    try:
        show(follow(path_of(state_dir, flows_socket), wanted, count), output)
    except FollowError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except BrokenPipeError:
        # Whoever read has gone; what is left in the buffer must not fail a second time at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def path_of(state_dir: Path | None, flows_socket: Path | None) -> Path:
    """The socket. Raises FollowError."""
    if flows_socket is not None:
        return flows_socket
    if state_dir is None:
        raise FollowError("say where the agent is: --state-dir DIR, or --flows-socket PATH, as it was started with")
    return state_dir / SOCKET_NAME


def follow(path: Path, wanted: dict[str, str], count: int) -> Iterator[dict[str, Any]]:
    """Records, and `{"lost": N}` where some came too fast; `count` of them, 0 for all. Raises FollowError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(wanted).encode() + b"\n")
        except OSError as error:
            raise FollowError(
                f"nobody answers on {path}: {error}; does dpu-agent run there with a packet stage?"
            ) from error
        seen = 0
        for line in lines(connection):
            record = json.loads(line)
            if "error" in record:
                raise FollowError(record["error"])
            if "following" in record:
                continue
            yield record
            seen += "lost" not in record
            if count and seen >= count:
                return
    raise FollowError("the agent has ended")


def lines(connection: socket.socket) -> Iterator[bytes]:
    """Whole lines until the other side closes; it may do that in the middle of one."""
    with connection.makefile("rb") as file:
        try:
            yield from (line for line in file if line.endswith(b"\n"))
        except ConnectionResetError:
            return


def show(records: Iterator[dict[str, Any]], output: Format) -> None:
    """Prints each as it comes."""
    if output is Format.TABLE:
        print(row([title for title, _, _ in COLUMNS]), flush=True)
    for record in records:
        if "lost" in record:
            print(f"{record['lost']} records came too fast and are not shown", file=sys.stderr, flush=True)
        elif output is Format.JSON:
            print(json.dumps(record, separators=(",", ":")), flush=True)
        else:
            print(row([show_one(record) or "-" for _, _, show_one in COLUMNS]), flush=True)


def row(cells: list[str]) -> str:
    """One line of the table."""
    widths = [width for _, width, _ in COLUMNS]
    return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def end(address: str, port: int) -> str:
    """`IP:port`, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
