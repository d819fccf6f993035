"""The worker needs no privileges: it gives up core dumps and capabilities before anything else, by ctypes.

Not only for safety. Shared memory of two processes of one user meets under /proc/<pid>/fd, and the kernel lets only
those look there who have every capability that the looked-at has (ptrace(2)): the fast path has none, so a worker that
kept root's would be out of its reach ("Shared memory error"). Threads inherit: call it while there is one.
"""

from __future__ import annotations

import ctypes
import os
import resource

PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_VERSION_3 = 0x20080522

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    """struct __user_cap_header_struct."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def give_up() -> None:
    """Core dumps off, no capabilities, none to be had again. Raises OSError."""
    # Prompts and keys are in memory: they must not reach a disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _raise_locked_memory()
    _check(_LIBC.prctl(PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(value) for value in (1, 0, 0, 0))), "prctl")
    # Effective, permitted and inheritable: two sets of three 32-bit words, all empty.
    _check(_LIBC.capset(ctypes.byref(_Header(CAPABILITY_VERSION_3, 0)), (ctypes.c_uint32 * 6)()), "capset")


def _raise_locked_memory() -> None:
    """RDMA memory is locked; without CAP_IPC_LOCK the limit counts, so it is lifted while we still may."""
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        # Not allowed without CAP_SYS_RESOURCE: the service manager's limit stays (LimitMEMLOCK=).
        pass


def _check(status: int, call: str) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), call)
