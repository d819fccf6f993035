"""The transport thread's policy: a help where it can be had, never a reason not to start."""

from __future__ import annotations

import os
import threading

import pytest

from host_agent.worker.scheduling import batch


def policy_of_a_new_thread() -> int:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
    thread.start()
    thread.join()
    return seen[0]


def test_threads_started_inside_have_it_and_the_caller_only_meanwhile() -> None:
    with batch():
        assert policy_of_a_new_thread() == os.SCHED_BATCH
    assert policy_of_a_new_thread() == os.sched_getscheduler(0) == os.SCHED_OTHER


def test_kernel_that_refuses_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with batch():
        assert policy_of_a_new_thread() == os.SCHED_OTHER


def test_policy_that_somebody_else_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_FIFO)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: pytest.fail("changed"))
    with batch():
        pass
