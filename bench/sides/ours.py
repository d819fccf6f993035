"""dpu-app itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.processes import NotReady
from bench.sides.base import Running, Setup


@contextlib.contextmanager
def start(setup: Setup) -> Iterator[Running]:
    """Runs agent, fast path and one worker until the block ends."""
    raise NotReady("dpu-app")
