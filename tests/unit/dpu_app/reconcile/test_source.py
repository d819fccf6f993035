"""The configuration file: read at start and at reload, and the store wins until its content changes."""

from __future__ import annotations

from pathlib import Path

from dpu_app.reconcile.reconciler import Reconciler
from dpu_app.reconcile.source import FileSource
from dpu_app.store.revisions import Store
from dpu_app.targets.stub import StubTarget
from tests.unit.dpu_app.reconcile.test_reconciler import OTHER, Seen
from tests.unit.dpu_app.samples import TEXT


class Agent:
    """Store, reconciler and file source over one stub; `restart` makes them anew."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.file = folder / "dpu.yaml"
        self.file.write_text(text)
        self.target = StubTarget()
        self.start()

    def restart(self) -> None:
        self.store.close()
        self.start()

    def start(self) -> None:
        self.seen = Seen()
        self.store = Store(self.folder / "state")
        self.reconciler = Reconciler(self.store, [self.target], self.seen)
        self.source = FileSource(self.file, self.store, self.reconciler, self.seen)
        self.source.start()
        self.reconciler.step(0.0)

    def reload(self, text: str) -> bool:
        self.file.write_text(text)
        good = self.source.reload()
        self.reconciler.step(0.0)
        return good


def canary(agent: Agent) -> int:
    return agent.target.plan.models[0].arms[1].weight


def test_file_is_programmed_at_start(tmp_path: Path) -> None:
    agent = Agent(tmp_path, TEXT)
    assert (agent.target.plan.revision, agent.reconciler.status.programmed) == (1, 1)
    assert agent.target.plan.worker_key_file == f"{tmp_path}/worker.key"


def test_changed_file_is_a_new_revision(tmp_path: Path) -> None:
    agent = Agent(tmp_path, TEXT)
    assert agent.reload(OTHER)
    assert (agent.target.plan.revision, canary(agent)) == (2, 2000)


def test_unchanged_file_makes_no_revision(tmp_path: Path) -> None:
    agent = Agent(tmp_path, TEXT)
    agent.reload(TEXT)
    agent.restart()
    assert (agent.target.plan.revision, agent.target.changes) == (1, 1)


def test_bad_file_keeps_the_last_good_state_and_says_why(tmp_path: Path) -> None:
    agent = Agent(tmp_path, TEXT)
    assert not agent.reload(TEXT.replace("models: [chat]", "models: [talk]"))
    assert agent.target.changes == 1
    problem = str(agent.source.problems[0])
    assert problem.startswith(f"{agent.file}:12:14: tenants[0].models[0]: there is no model 'talk'")
    assert agent.seen.reads == [0, 1]
    assert agent.reload(OTHER)
    assert agent.source.problems == []


def test_bad_file_at_start_takes_up_what_the_store_has(tmp_path: Path) -> None:
    agent = Agent(tmp_path, TEXT)
    agent.target = StubTarget()
    agent.file.write_text("nonsense")
    agent.restart()
    assert agent.target.plan.revision == 1
    assert agent.source.problems


def test_missing_file_at_start_takes_up_what_the_store_has(tmp_path: Path) -> None:
    agent = Agent(tmp_path, TEXT)
    agent.file.unlink()
    agent.target = StubTarget()
    agent.restart()
    assert agent.target.plan.revision == 1


def test_revision_from_elsewhere_wins_over_the_unchanged_file(tmp_path: Path) -> None:
    agent = Agent(tmp_path, TEXT)
    agent.store.commit(OTHER, str(tmp_path), "api")
    agent.restart()
    assert (agent.target.plan.revision, canary(agent)) == (2, 2000)
    agent.reload(TEXT)
    assert (agent.target.plan.revision, canary(agent)) == (2, 2000)
    agent.reload(TEXT + "# touched\n")
    assert (agent.target.plan.revision, canary(agent)) == (3, 1000)


def test_revision_that_this_build_refuses_leaves_the_good_plan(tmp_path: Path) -> None:
    agent = Agent(tmp_path, TEXT)
    agent.store.commit("apiVersion: dpu/v9\n", str(tmp_path), "api")
    agent.target = StubTarget()
    agent.restart()
    assert agent.target.plan.revision == 1
    assert "revision 2" in str(agent.source.problems[0])


def test_what_is_accepted_is_there_for_the_agent_s_own_parts_also_after_a_restart(tmp_path: Path) -> None:
    def entries_max(agent: Agent) -> int:
        assert agent.source.accepted is not None
        return agent.source.accepted.desired.telemetry.flows.entries_max

    agent = Agent(tmp_path, TEXT)
    assert entries_max(agent) == 65_536
    agent.reload(TEXT + "telemetry: { flows: { entries_max: 99 } }\n")
    agent.reload("nonsense")
    assert entries_max(agent) == 99
    agent.restart()
    assert entries_max(agent) == 99
