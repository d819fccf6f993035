"""The one file of dpu_app that imports the native module."""

from __future__ import annotations

import dpu_fastpath
from dpu_app.fastpath.protocol import Native


def start(name: str, threads: int, pinned: bool, journal: str | None, transport: str) -> Native:
    """Starts the request path: its threads run, it listens nowhere until a plan is applied. Raises OSError, ValueError.

    `pinned`: each thread keeps to one processor. `journal` is a path, - for standard output, or None; `transport` is
    auto, shm, tcp or rc.
    """
    return dpu_fastpath.FastPath(name=name, threads=threads, pinned=pinned, journal=journal, transport=transport)
