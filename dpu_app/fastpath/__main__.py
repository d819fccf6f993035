"""`dpu-fastpath`: the command line of the fast path process."""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from typing import Annotated

import structlog
import typer

from dpu_app.fastpath.privileges import PrivilegeError, give_up
from dpu_app.fastpath.process import SIGNALS, Options, Process
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


def run(
    socket: Annotated[str, typer.Option(help="Unix socket on which the agent programs this process.")],
    http: Annotated[str, typer.Option(help="IP:PORT of /livez, /readyz and /metrics.")] = "127.0.0.1:9464",
    threads: Annotated[int, typer.Option(min=0, max=1024, help="Request threads, one per core; 0: all cores.")] = 0,
    journal: Annotated[str | None, typer.Option(help="File for one JSON line per request; -: standard output.")] = None,
    transport: Annotated[Transport, typer.Option(help="What UCX may use to reach workers.")] = Transport.AUTO,
    name: Annotated[str, typer.Option(help="Name of this process, in the workers' eyes.")] = "fastpath",
    user: Annotated[str | None, typer.Option(help="User to become before anything is opened.")] = None,
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
        process = start(cores, journal, transport, name, Options(socket, http))
    except (PrivilegeError, ServerError, OSError, ValueError) as error:
        log.error("cannot start", why=str(error))
        raise typer.Exit(1) from error
    log.info("started", socket=socket, http=http, threads=cores, transport=str(transport))
    raise typer.Exit(process.run())


def start(threads: int, journal: str | None, transport: Transport, name: str, options: Options) -> Process:
    """The native request path with everything around it."""
    # Imported here: the native library starts its life after privileges are given up.
    from dpu_app.fastpath import native

    return Process(native.start(name, threads, journal, str(transport)), options)


def main() -> None:
    """Entry of the console script."""
    typer.run(run)


if __name__ == "__main__":
    main()
