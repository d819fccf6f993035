"""How the command ends where it cannot go on: status 1 is kept for a difference."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

UNUSABLE = 2
INTERRUPTED = 130
READER_GONE = 141
"""What a shell says of a program that SIGPIPE ended. Not 0: the rest was not judged."""


@contextmanager
def orderly() -> Iterator[None]:
    """Whatever ends the work inside ends it with a status of its own. Raises typer.Exit."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has gone; what is left in the buffer must not fail a second time at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(READER_GONE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception:
        # A mistake of ours: the traceback is for its report, and it is not a difference.
        traceback.print_exc()
        raise typer.Exit(UNUSABLE) from None
