"""`dpu-agent`: the command line of the control agent. Builds the objects; the work is in the packages."""

from __future__ import annotations

import json
import resource
import signal
import threading
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import structlog
import typer
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from dpu_app.compile.plan import compile_plan
from dpu_app.compile.summary import tables
from dpu_app.model.desired import Desired
from dpu_app.model.plan import EMPTY_PLAN, Plan
from dpu_app.reconcile.reconciler import Reconciler
from dpu_app.reconcile.source import FileSource
from dpu_app.store.disk import StoreError
from dpu_app.store.load import LoadError, load_file
from dpu_app.store.revisions import Store
from dpu_app.targets.fastpath import FastPathTarget
from dpu_app.telemetry import log as logs
from dpu_app.telemetry.agent_metrics import AgentMetrics
from dpu_app.telemetry.flows import follow
from dpu_app.telemetry.health import HealthServer, Readiness
from dpu_app.telemetry.log import Level

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="agent")
# Waited for with sigwait, so they are blocked in every thread; no handler runs in the middle of something.
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

app = typer.Typer(
    name="dpu-agent",
    help="The control agent: reads one desired-state file, compiles it to a plan and programs the fast path with it.",
    epilog="Start with: dpu-agent check deploy/config/dev.yaml",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


class Output(StrEnum):
    """How `check` prints."""

    TABLE = "table"
    JSON = "json"


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A desired-state file (apiVersion: dpu/v1).")],
    output: Annotated[
        Output, typer.Option("--output", "-o", help="table for people, json for programs.")
    ] = Output.TABLE,
) -> None:
    """Say what is wrong with FILE, or what it would program. Touches nothing.

    Problems go to standard output, one per line as FILE:LINE:COLUMN: PATH: WHAT (fix: FIX); the exit status is then 1.
    """
    try:
        loaded = load_file(file)
    except LoadError as error:
        show_problems(error, output)
        raise typer.Exit(1) from error
    show_plan(compile_plan(loaded.desired, loaded.folder, 1, EMPTY_PLAN), output)


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="The desired-state file; SIGHUP reads it again.")],
    fastpath_socket: Annotated[str, typer.Option(help="Unix socket of dpu-fastpath.")],
    state_dir: Annotated[Path, typer.Option(help="Folder of the revisions; one agent at a time.")],
    http: Annotated[str, typer.Option(help="IP:PORT of /livez, /readyz and /metrics.")] = "127.0.0.1:9465",
    log_level: Annotated[Level, typer.Option(help="Least level that is logged.")] = Level.INFO,
) -> None:
    """Keep the fast path programmed with what the file says, until SIGTERM. The fast path lives on after it.

    A file that is bad, or refused by a target, keeps the last good state; logs, /readyz and metrics say why.
    """
    logs.configure("dpu-agent", log_level)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        agent = Agent(config, fastpath_socket, state_dir, http)
    except (StoreError, OSError, ValueError) as error:
        log.error("cannot start", why=str(error))
        raise typer.Exit(1) from error
    raise typer.Exit(agent.run())


@app.command()
def schema() -> None:
    """Print the JSON Schema of the desired state, for editors that complete and explain."""
    print(json.dumps(Desired.model_json_schema(), indent=2))


app.command()(follow.flows)


def show_problems(error: LoadError, output: Output) -> None:
    """Every problem, one per line or as one JSON object."""
    if output is Output.JSON:
        print(json.dumps({"valid": False, "problems": [asdict(problem) for problem in error.problems]}, indent=2))
        return
    for problem in error.problems:
        print(problem)


def show_plan(plan: Plan, output: Output) -> None:
    """What would be programmed."""
    if output is Output.JSON:
        parts = {
            table.title: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in tables(plan)
        }
        print(json.dumps({"valid": True, "problems": [], "plan": parts}, indent=2))
        return
    console = Console(soft_wrap=True)
    for part in tables(plan):
        table = Table(*part.columns, title=part.title, title_justify="left", box=None, pad_edge=False)
        for row in part.rows:
            table.add_row(*row)
        console.print(table)
        console.print()
    console.print("valid: this is what would be programmed", highlight=False)


class Agent:
    """The parts of a running agent, put together."""

    def __init__(self, config: Path, fastpath_socket: str, state_dir: Path, http: str) -> None:
        """Raises StoreError where another agent has the state directory, OSError where `http` is taken."""
        registry = CollectorRegistry()
        metrics = AgentMetrics(registry)
        self.store = Store(state_dir)
        for damage in self.store.damaged:
            log.error("passed over", why=damage)
        self.targets = (FastPathTarget(fastpath_socket),)
        self.reconciler = Reconciler(self.store, self.targets, metrics)
        self.source = FileSource(config, self.store, self.reconciler, metrics)
        try:
            self.health = HealthServer(http, registry, self.readiness)
        except OSError:
            self.store.close()
            raise

    def readiness(self) -> Readiness:
        """Everything accepted is programmed everywhere, and the file has no problems."""
        status = self.reconciler.status
        config = "; ".join(str(problem) for problem in self.source.problems)
        ready = status.in_sync and status.accepted == status.programmed
        return Readiness(ready, status.reason, {"status": asdict(status), "config": config})

    def run(self) -> int:
        """Until SIGTERM or SIGINT (blocked by the caller). Returns the exit status."""
        self.source.start()
        if self.store.latest is None and self.source.problems:
            return self.close(1)
        worker = threading.Thread(target=self.reconciler.run, name="reconcile")
        worker.start()
        while (received := signal.sigwait(SIGNALS)) == signal.SIGHUP:
            log.info("reloading")
            self.source.reload()
        log.info("stopping; the fast path lives on", signal=signal.Signals(received).name)
        self.reconciler.stop()
        worker.join()
        return self.close(0)

    def close(self, status: int) -> int:
        """Lets go of everything; what is programmed stays. Returns `status`."""
        self.health.close()
        for target in self.targets:
            target.close()
        self.store.close()
        return status


def main() -> None:
    """Entry of the console script."""
    app()


if __name__ == "__main__":
    main()
