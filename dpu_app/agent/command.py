"""`dpu-agent run` and `dpu-agent status`: flags to options, a running agent's own word as a table."""

from __future__ import annotations

import http.client
import json
import resource
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console
from rich.table import Table

from dpu_app.agent.agent import SIGNALS, Agent, AgentOptions
from dpu_app.p4rt.options import Arbitration, ClientOptions, OptionsError, ServerOptions, TlsFiles
from dpu_app.store.disk import StoreError
from dpu_app.targets.base import TargetError
from dpu_app.telemetry import log as logs
from dpu_app.telemetry.log import Level

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="agent")
HTTP = "127.0.0.1:9465"
STATUS_TIMEOUT_S = 5.0
PACKET = "Packet stage"
P4RUNTIME = "P4Runtime"


class Ask(StrEnum):
    """How a P4Runtime device is asked to take us for its controller."""

    REQUIRED = "required"
    TRY = "try"
    OFF = "off"


class Output(StrEnum):
    """How `status` prints."""

    TABLE = "table"
    JSON = "json"


def run(
    config: Annotated[Path, typer.Option(help="The desired-state file; SIGHUP reads it again.")],
    fastpath_socket: Annotated[str, typer.Option(help="Unix socket of dpu-fastpath.")],
    state_dir: Annotated[Path, typer.Option(help="Folder of the revisions; one agent at a time.")],
    http: Annotated[str, typer.Option(help="IP:PORT of /livez, /readyz and /metrics.")] = HTTP,
    xdp: Annotated[
        bool, typer.Option("--xdp", help="Program the file's packet section by XDP.", rich_help_panel=PACKET)
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Take the interface from somebody else's XDP program.", rich_help_panel=PACKET),
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(help="The journal of dpu-fastpath: flow records tell of requests.", rich_help_panel=PACKET),
    ] = None,
    flows_socket: Annotated[
        Path | None,
        typer.Option(help="Where `dpu-agent flows` connects; in STATE_DIR when left out.", rich_help_panel=PACKET),
    ] = None,
    p4runtime: Annotated[
        str, typer.Option(help="HOST:PORT of a P4 target to program.", rich_help_panel=P4RUNTIME)
    ] = "",
    p4runtime_arbitration: Annotated[
        Ask,
        typer.Option(
            help="required: be the primary; try: go on without an answer (DPL); off.", rich_help_panel=P4RUNTIME
        ),
    ] = Ask.REQUIRED,
    p4runtime_device_id: Annotated[int, typer.Option(help="The target's device id.", rich_help_panel=P4RUNTIME)] = 1,
    p4runtime_election_id: Annotated[int, typer.Option(help="Ours; the highest wins.", rich_help_panel=P4RUNTIME)] = 1,
    p4runtime_config: Annotated[
        Path | None,
        typer.Option(help="What the P4 compiler made for the target; pushed.", rich_help_panel=P4RUNTIME),
    ] = None,
    p4runtime_listen: Annotated[
        str, typer.Option(help="IP:PORT to serve P4Runtime on, in front of XDP.", rich_help_panel=P4RUNTIME)
    ] = "",
    p4runtime_plaintext: Annotated[
        bool, typer.Option(help="Without TLS: loopback and tests.", rich_help_panel=P4RUNTIME)
    ] = False,
    p4runtime_ca: Annotated[
        Path | None, typer.Option(help="Who the other side has to be signed by.", rich_help_panel=P4RUNTIME)
    ] = None,
    p4runtime_certificate: Annotated[
        Path | None, typer.Option(help="Our certificate chain.", rich_help_panel=P4RUNTIME)
    ] = None,
    p4runtime_key: Annotated[Path | None, typer.Option(help="Its private key.", rich_help_panel=P4RUNTIME)] = None,
    log_level: Annotated[Level, typer.Option(help="Least level that is logged.")] = Level.INFO,
) -> None:
    """Keep everything programmed with what the file says, until SIGTERM. What is programmed lives on after it.

    A file that is bad, or refused by a target, keeps the last good state; logs, /readyz and metrics say why.
    """
    logs.configure("dpu-agent", log_level)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tls = TlsFiles(ca=p4runtime_ca, certificate=p4runtime_certificate, private_key=p4runtime_key)
    try:
        options = AgentOptions(
            config=config,
            fastpath_socket=fastpath_socket,
            state_dir=state_dir,
            http=http,
            xdp=xdp,
            force=force,
            journal=journal,
            flows_socket=flows_socket,
            p4runtime=client_options(
                p4runtime,
                p4runtime_plaintext,
                tls,
                device_id=p4runtime_device_id,
                election_id=p4runtime_election_id,
                arbitration=p4runtime_arbitration.value,
                device_config=p4runtime_config,
            ),
            p4runtime_server=server_options(p4runtime_listen, p4runtime_plaintext, tls, p4runtime_device_id),
        )
        agent = Agent(options)
    except (StoreError, TargetError, OptionsError, OSError, ValueError) as error:
        log.error("cannot start", why=str(error))
        raise typer.Exit(1) from error
    raise typer.Exit(agent.run())


def client_options(
    address: str,
    plaintext: bool,
    tls: TlsFiles,
    *,
    device_id: int,
    election_id: int,
    arbitration: Arbitration,
    device_config: Path | None,
) -> ClientOptions | None:
    """The device to program, None without an address. Raises OptionsError."""
    if not address:
        return None
    return ClientOptions(
        address=address,
        plaintext=plaintext,
        tls=tls,
        device_id=device_id,
        election_id=election_id,
        arbitration=arbitration,
        device_config=device_config,
    )


def server_options(address: str, plaintext: bool, tls: TlsFiles, device_id: int) -> ServerOptions | None:
    """The server in front of XDP, None without an address. Raises OptionsError."""
    return ServerOptions(address=address, plaintext=plaintext, tls=tls, device_id=device_id) if address else None


def status(
    http: Annotated[str, typer.Option(help="The agent's --http.")] = HTTP,
    output: Annotated[Output, typer.Option("--output", "-o", help="table or json.")] = Output.TABLE,
) -> None:
    """Say how far a running agent has got: revision, epoch, each target, mode and memory of the packet stage.

    The exit status is 0 where everything is as the file says, 1 where it is not, 2 where nobody answers.
    """
    try:
        answer = ask(http)
    except (OSError, http_errors(), ValueError) as error:
        print(f"no agent answers at {http}: {error}; give its --http")
        raise typer.Exit(2) from error
    if output is Output.JSON:
        print(json.dumps(answer, indent=2))
    else:
        show(answer)
    raise typer.Exit(0 if answer.get("ready") else 1)


def http_errors() -> type[Exception]:
    """What http.client raises for an answer that is none."""
    return http.client.HTTPException


def ask(address: str) -> dict[str, Any]:
    """The answer of /readyz. Raises OSError, HTTPException or ValueError."""
    connection = http.client.HTTPConnection(address, timeout=STATUS_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()


def show(answer: dict[str, Any]) -> None:
    """As a table."""
    told = answer.get("status", {})
    console = Console(soft_wrap=True)
    console.print(
        f"revision {told.get('programmed')} of {told.get('accepted')}, epoch {told.get('epoch')}", highlight=False
    )
    if answer.get("reason") or answer.get("config"):
        console.print(f"not as it should be: {answer.get('reason') or answer.get('config')}", highlight=False)
    table = Table("target", "in sync", "ready", "epoch", "detail", box=None, pad_edge=False)
    for target in told.get("targets", ()):
        flags = ("yes" if target[name] else "no" for name in ("in_sync", "ready"))
        table.add_row(target["name"], *flags, str(target["epoch"]), target["detail"])
    console.print(table)
