"""How the kernel treats the worker's transport thread when it is woken (sched(7))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def batch() -> Iterator[None]:
    """Threads started inside inherit SCHED_BATCH: woken, they do not interrupt who runs on their core.

    Frames gather meanwhile and are then done in one go, with one wake-up for all. Where cores are shared with the fast
    path (2 cores, 32 connections) a request costs both sides less; where a core is free there is nobody to interrupt.
    Raises OSError where the kernel refuses it.
    """
    before = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))
