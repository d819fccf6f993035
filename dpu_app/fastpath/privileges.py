"""Gives up what the process does not need, for good: capabilities(7), prctl(2), capset(2) by ctypes.

Call it while there is one thread: Linux has capabilities per thread, and later threads inherit them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import resource

PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CAPABILITY_VERSION_3 = 0x20080522
CAPABILITIES_MAX = 64

libc = ctypes.CDLL(None, use_errno=True)


class PrivilegeError(Exception):
    """Something could not be given up; the process must not go on."""


class CapHeader(ctypes.Structure):
    """struct __user_cap_header_struct."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapData(ctypes.Structure):
    """struct __user_cap_data_struct; version 3 takes two of them."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def give_up(user: str | None = None) -> None:
    """Core dumps off, another user where asked for, no capabilities, none to be had again. Raises PrivilegeError."""
    try:
        # Prompts and keys are in memory: they must not reach a disk.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        raise_locked_memory()
        drop_bounding_set()
        if user is not None:
            become(user)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
        drop_capabilities()
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    except (OSError, KeyError, ValueError) as error:
        raise PrivilegeError(f"cannot give up privileges: {error}") from error


def raise_locked_memory() -> None:
    """RDMA memory is locked; without CAP_IPC_LOCK the limit counts, so it is lifted while we still may."""
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        # Not allowed without CAP_SYS_RESOURCE: the service manager's limit stays (LimitMEMLOCK=).
        pass


def drop_bounding_set() -> None:
    """No capability can come back through an executable file. Raises OSError.

    Only who has CAP_SETPCAP may do this; who has no capabilities does not need it, no_new_privs is enough.
    """
    for capability in range(CAPABILITIES_MAX):
        if libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1:
            continue
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
            continue
        if ctypes.get_errno() == errno.EPERM:
            return
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "PR_CAPBSET_DROP")


def become(user: str) -> None:
    """Takes on a user and the groups of it. Raises KeyError, OSError."""
    entry = pwd.getpwnam(user)
    os.setgroups(os.getgrouplist(user, entry.pw_gid))
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def drop_capabilities() -> None:
    """Empties effective, permitted and inheritable of this thread. Raises OSError."""
    header = CapHeader(CAPABILITY_VERSION_3, 0)
    data = (CapData * 2)()
    if libc.capset(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "capset")


def prctl(option: int, value: int) -> None:
    """One prctl. Raises OSError."""
    if libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"prctl {option}")
