"""All targets or none, read back and repaired, and nothing done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpu_app.model.plan import EMPTY_PLAN
from dpu_app.model.problem import Problem
from dpu_app.model.status import Status
from dpu_app.reconcile.backoff import Backoff
from dpu_app.reconcile.reconciler import Accepted, Reconciler
from dpu_app.store.disk import StoreError
from dpu_app.store.revisions import Store
from dpu_app.targets.chaos import ChaosTarget, Fault
from dpu_app.targets.stub import StubTarget
from tests.unit.dpu_app.samples import TEXT, desired, edited, plan

OTHER = edited(("weight_percent: 90", "weight_percent: 80"), ("weight_percent: 10", "weight_percent: 20"))


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.applies: list[tuple[str, str]] = []
        self.statuses: list[Status] = []
        self.reads: list[int] = []

    def applied(self, target: str, result: str, duration_s: float) -> None:
        assert duration_s >= 0
        self.applies.append((target, result))

    def status(self, status: Status) -> None:
        self.statuses.append(status)

    def config_read(self, problems: int) -> None:
        self.reads.append(problems)


class Bench:
    """A reconciler over a stub `a` and a chaos target `b`, in this order."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.a = StubTarget("a")
        self.inner = StubTarget("inner")
        self.b = ChaosTarget(self.inner, name="b")
        self.seen = Seen()
        self.reconciler = Reconciler(self.store, [self.a, self.b], self.seen)
        self.now = 0.0

    def submit(self, revision: int, text: str = TEXT) -> None:
        def locate(problem: Problem) -> Problem:
            return Problem(problem.what, problem.fix, problem.path, "test.yaml", 16, 3)

        self.reconciler.submit(Accepted(revision, desired(text), "/etc/dpu", locate))

    def steps(self, count: int = 1) -> Status:
        for _ in range(count):
            self.now += 60
            self.reconciler.step(self.now)
        return self.reconciler.status

    def epochs(self) -> tuple[int, int]:
        return self.a.plan.epoch, self.inner.plan.epoch


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_accepted_state_is_programmed_on_all_targets_and_remembered(bench: Bench) -> None:
    bench.submit(1)
    status = bench.steps()
    assert (status.accepted, status.programmed, status.epoch, status.in_sync) == (1, 1, 1, True)
    assert bench.a.plan == bench.inner.plan == bench.store.good


def test_nothing_is_applied_twice(bench: Bench) -> None:
    bench.submit(1)
    bench.steps(3)
    bench.submit(1)
    bench.steps(3)
    assert bench.seen.applies == [("a", "changed"), ("b", "changed")]


def test_same_content_under_a_new_revision_keeps_the_epoch(bench: Bench) -> None:
    bench.submit(1)
    bench.steps()
    bench.submit(2)
    status = bench.steps()
    assert (status.programmed, status.epoch) == (2, 1)


def test_refusal_of_one_target_is_rolled_back_on_all_and_says_where(bench: Bench) -> None:
    bench.submit(1)
    bench.steps()
    good = bench.store.good
    bench.b.applies.append(Fault.REFUSE)
    bench.submit(2, OTHER)
    status = bench.steps(3)
    assert bench.a.plan == bench.inner.plan == bench.store.good == good
    assert (status.accepted, status.programmed, status.in_sync) == (2, 1, True)
    assert [str(problem) for problem in status.problems] == [
        "test.yaml:16:3: models[0]: chaos refuses this (fix: take the fault away)"
    ]


def test_refused_state_is_not_tried_again_by_itself(bench: Bench) -> None:
    bench.submit(1)
    bench.steps()
    bench.b.applies.append(Fault.REFUSE)
    bench.submit(2, OTHER)
    bench.steps()
    before = len(bench.seen.applies)
    bench.steps(5)
    assert len(bench.seen.applies) == before


def test_first_state_that_is_refused_is_tried_again(bench: Bench) -> None:
    bench.b.applies.append(Fault.REFUSE)
    bench.submit(1)
    assert bench.steps().programmed == 0
    assert bench.a.plan == EMPTY_PLAN
    assert bench.steps().programmed == 1


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER, Fault.FORGET, Fault.DIE])
def test_target_that_fails_in_between_is_rolled_back_and_tried_again(bench: Bench, fault: Fault) -> None:
    bench.submit(1)
    bench.steps()
    bench.b.applies.append(fault)
    bench.submit(2, OTHER)
    bench.steps()
    assert bench.a.plan == bench.inner.plan == bench.store.good
    status = bench.steps(2)
    assert (status.programmed, status.in_sync, status.pending) == (2, True, "")
    assert bench.a.plan == bench.inner.plan


def test_epoch_of_a_rolled_back_plan_is_not_used_for_another(bench: Bench) -> None:
    bench.submit(1)
    bench.steps()
    bench.b.applies.append(Fault.REFUSE)
    bench.submit(2, OTHER)
    bench.steps()
    bench.submit(3, edited(("worker.key", "other.key")))
    assert bench.steps().epoch == 3


def test_target_that_cannot_be_asked_holds_the_change_back_everywhere(bench: Bench) -> None:
    bench.submit(1)
    bench.steps()
    bench.b.read_backs.extend([Fault.TIMEOUT_BEFORE] * 2)
    bench.submit(2, OTHER)
    status = bench.steps()
    assert bench.epochs() == (1, 1)
    assert status.pending == "b did not answer"
    assert bench.steps().programmed == 2


def test_restarted_target_gets_its_plan_again_and_the_other_is_left_alone(bench: Bench) -> None:
    bench.submit(1)
    bench.steps()
    bench.inner.plan = EMPTY_PLAN
    bench.steps()
    assert bench.inner.plan == bench.store.good
    assert bench.seen.applies == [("a", "changed"), ("b", "changed"), ("b", "changed")]


def test_lie_at_read_back_is_repaired(bench: Bench) -> None:
    bench.submit(1)
    bench.steps()
    bench.b.read_backs.append(Fault.FORGET)
    assert bench.steps(2).in_sync


def test_target_that_stays_silent_is_degraded_with_its_reason(bench: Bench) -> None:
    bench.submit(1)
    bench.steps()
    bench.b.read_backs.append(Fault.TIMEOUT_BEFORE)
    status = bench.steps()
    assert not status.in_sync
    assert status.reason == "b: b did not answer"
    assert bench.steps().in_sync


def test_silent_target_is_asked_less_and_less_often(bench: Bench) -> None:
    bench.b.read_backs.extend([Fault.TIMEOUT_BEFORE] * 100)
    for step in range(100):
        bench.reconciler.step(step * 0.1)
    assert 95 <= len(bench.b.read_backs) <= 97


def test_restarted_agent_finds_everything_in_place_and_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.submit(1)
    bench.steps()
    bench.store.close()
    again = Reconciler(Store(tmp_path), [bench.a, bench.b], seen := Seen())
    again.submit(Accepted(1, desired(), "/etc/dpu", lambda problem: problem))
    again.step(0.0)
    assert seen.applies == []
    assert again.status.in_sync


def test_agent_that_died_before_it_wrote_the_plan_down_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.submit(1)
    bench.steps()
    bench.submit(2, OTHER)
    bench.steps()
    store = Store(tmp_path / "other")
    store.set_good(plan())
    again = Reconciler(store, [bench.a, bench.b], seen := Seen())
    again.submit(Accepted(2, desired(OTHER), "/etc/dpu", lambda problem: problem))
    again.step(0.0)
    assert (seen.applies, again.status.epoch, bench.epochs()) == ([], 2, (2, 2))


def test_lost_state_goes_above_the_epoch_of_the_targets(bench: Bench, tmp_path: Path) -> None:
    bench.submit(1)
    bench.steps()
    empty = Reconciler(Store(tmp_path / "other"), [bench.a, bench.b], Seen())
    empty.submit(Accepted(1, desired(OTHER), "/etc/dpu", lambda problem: problem))
    empty.step(0.0)
    assert (empty.status.epoch, bench.epochs()) == (2, (2, 2))


def test_full_disk_does_not_stop_a_plan(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_plan: object) -> None:
        raise StoreError("no space")

    monkeypatch.setattr(bench.store, "set_good", full)
    bench.submit(1)
    assert bench.steps().in_sync


def test_newer_state_that_comes_during_an_attempt_is_not_lost(bench: Bench) -> None:
    bench.submit(1)
    apply = bench.a.apply

    def submit_meanwhile(plan: object) -> bool:
        bench.a.apply = apply  # type: ignore[method-assign] # the first call only
        bench.submit(2, OTHER)
        return apply(bench.reconciler.good) or True

    bench.a.apply = submit_meanwhile  # type: ignore[method-assign] # something happens during this call
    assert bench.steps(2).programmed == 2


def test_fault_of_ours_does_not_end_the_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_now: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.reconciler, "step", broken)
    bench.reconciler.step_safely()
    assert "ZeroDivisionError" in bench.reconciler.status.pending


def test_backoff_doubles_to_its_limit_and_starts_again() -> None:
    backoff = Backoff(first_s=1, last_s=4)
    waits = []
    for _ in range(4):
        backoff.failed(100)
        waits.append(backoff.due_at - 100)
    assert waits == [1, 2, 4, 4]
    assert not backoff.is_due(103) and backoff.is_due(104)
    backoff.reset()
    assert backoff.is_due(0)
