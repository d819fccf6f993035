"""`dpu-agent`: the command line of the control agent; `agent.py` builds the objects, the work is in the packages."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table

from dpu_app.agent import command
from dpu_app.compile.plan import compile_plan
from dpu_app.compile.summary import tables
from dpu_app.model.desired import Desired
from dpu_app.model.plan import EMPTY_PLAN, Plan
from dpu_app.store.load import LoadError, load_file
from dpu_app.telemetry.flows import follow

log: structlog.stdlib.BoundLogger = structlog.get_logger(part="agent")

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
def schema() -> None:
    """Print the JSON Schema of the desired state, for editors that complete and explain."""
    print(json.dumps(Desired.model_json_schema(), indent=2))


app.command()(command.run)
app.command()(command.status)
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


def main() -> None:
    """Entry of the console script."""
    app()


if __name__ == "__main__":
    main()
