"""`dpu-fastpath`: the command line of the fast path process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import structlog
import typer

from dpu_app.fastpath.privileges import PrivilegeError, give_up
from dpu_app.fastpath.process import SIGNALS, Options, Process
from dpu_app.fastpath.protocol import Native
from dpu_app.fastpath.server import ServerError
from dpu_app.telemetry import log as logs
from dpu_app.telemetry.log import Level

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="fastpath")


class Transport(StrEnum):
    """What UCX may use to reach workers."""

    AUTO = "auto"
    SHM = "shm"
    TCP = "tcp"
    RC = "rc"


class Scheduling(StrEnum):
    """How the kernel treats a request thread that has been woken (sched(7))."""

    BATCH = "batch"
    OTHER = "other"


POLICIES = {Scheduling.BATCH: os.SCHED_BATCH, Scheduling.OTHER: os.SCHED_OTHER}


def run(
    socket: Annotated[str, typer.Option(help="Unix socket on which the agent programs this process.")],
    http: Annotated[str, typer.Option(help="IP:PORT of /livez, /readyz and /metrics.")] = "127.0.0.1:9464",
    threads: Annotated[int, typer.Option(min=0, max=1024, help="Request threads, one per core; 0: all cores.")] = 0,
    pinned: Annotated[
        bool, typer.Option("--pin/--no-pin", help="Keep each to its core; --no-pin where others use the cores too.")
    ] = True,
    journal: Annotated[str | None, typer.Option(help="File for one JSON line per request; -: standard output.")] = None,
    transport: Annotated[Transport, typer.Option(help="What UCX may use to reach workers.")] = Transport.AUTO,
    name: Annotated[str, typer.Option(help="Name of this process, in the workers' eyes.")] = "fastpath",
    user: Annotated[str | None, typer.Option(help="User to become before anything is opened.")] = None,
    scheduling: Annotated[
        Scheduling, typer.Option(help="batch: a woken request thread does not interrupt who runs on its core.")
    ] = Scheduling.BATCH,
    log_level: Annotated[Level, typer.Option(help="Least level that is logged.")] = Level.INFO,
) -> None:
    """End TLS, decide about every request and hand it to a worker.

    The process starts empty and serves nothing until dpu-agent has given it a plan over its socket; it keeps its
    plan and goes on serving when the agent is gone. SIGTERM: readiness goes false, running requests finish, exit 0.
    It gives up all privileges before it does anything.
    """
    logs.configure("dpu-fastpath", log_level)
    cores = threads or len(os.sched_getaffinity(0))
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        give_up(user)
        with scheduled(scheduling):
            native = start_native(name, cores, pinned, journal, transport)
        process = Process(native, Options(socket, http))
    except (PrivilegeError, ServerError, OSError, ValueError) as error:
        log.error("cannot start", why=str(error))
        raise typer.Exit(1) from error
    log.info("started", socket=socket, http=http, threads=cores, pinned=pinned, transport=str(transport))
    raise typer.Exit(process.run())


@contextlib.contextmanager
def scheduled(scheduling: Scheduling) -> Iterator[None]:
    """Threads that are started inside inherit the policy. Raises OSError where the kernel refuses it.

    With SCHED_BATCH frames and requests gather while somebody else has the core, and are then done in one go. Where
    cores are shared with client and worker (2 cores, 32 connections) a request costs a sixth less CPU and its mean time
    is a tenth shorter; where a core is the fast path's own there is nobody to interrupt.
    """
    os.sched_setscheduler(0, POLICIES[scheduling], os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def start_native(name: str, threads: int, pinned: bool, journal: str | None, transport: Transport) -> Native:
    """The native request path, one thread a core."""
    # Imported here: the native library starts its life after privileges are given up.
    from dpu_app.fastpath import native

    return native.start(name, threads, pinned, journal, str(transport))


def main() -> None:
    """Entry of the console script."""
    typer.run(run)


if __name__ == "__main__":
    main()
