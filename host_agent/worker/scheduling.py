"""How the kernel treats the worker's transport thread when it is woken (sched(7))."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

log = logging.getLogger("host-worker")


@contextlib.contextmanager
def batch() -> Iterator[None]:
    """Threads started inside inherit SCHED_BATCH: woken, they do not interrupt who runs on their core.

    Frames gather meanwhile and are then done in one go, with one wake-up for all. Where cores are shared with the fast
    path (2 cores, 32 connections) a request costs both sides less; where a core is free there is nobody to interrupt.
    It is a help and no need: a policy that somebody else has set stays, and so does ours where the kernel refuses.
    """
    try:
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        log.info("the transport thread keeps its scheduling policy: %s", error)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) == os.SCHED_BATCH:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
