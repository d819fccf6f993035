"""The desired state that the local stack runs: the file itself, or a derived one that says the same elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.local.effective import derive
from deploy.local.processes import StackError
from deploy.local.settings import ROOT, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(run_dir=tmp_path)


def loaded(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_file_that_fits_is_used_as_it_is(settings: Settings) -> None:
    effective = derive(settings)
    assert (effective.path, effective.changed) == (settings.config, [])
    assert (effective.host, effective.port) == ("127.0.0.1", 8443)
    assert effective.workers == [("w0", "127.0.0.1:7101"), ("w1", "127.0.0.1:7102")]
    assert effective.models == ["chat"]
    assert effective.worker_key == ROOT / "certs/dev/worker.key"


def test_other_ports_and_workers_are_written_to_a_file_of_their_own(settings: Settings) -> None:
    effective = derive(replace(settings, workers=3, port=9443, worker_port=7201))
    document = loaded(effective.path)
    assert effective.path == settings.run_dir / "effective.yaml" and len(effective.changed) == 2
    assert document["listeners"][0]["address"] == "127.0.0.1:9443"
    assert [worker["address"] for worker in document["workers"]] == [f"127.0.0.1:720{n}" for n in (1, 2, 3)]
    assert {worker["labels"]["zone"] for worker in document["workers"]} == {"dev"}


def test_only_what_was_asked_for_differs_and_files_are_absolute(settings: Settings) -> None:
    effective = derive(replace(settings, workers=1))
    before, after = loaded(settings.config), loaded(effective.path)
    certificate = after["listeners"][0]["certificates"][0]
    assert certificate["certificate_file"] == str(ROOT / "certs/dev/server.pem")
    assert after["worker_key_file"] == str(ROOT / "certs/dev/worker.key")
    assert before["tenants"][:2] == after["tenants"][:2] and before["models"] == after["models"]
    assert len(after["workers"]) == 1


@pytest.mark.parametrize("text", ["", "listeners: []", "listeners: [{address: x}]", "{"])
def test_file_that_says_too_little_is_an_error_that_names_it(settings: Settings, text: str) -> None:
    config = settings.run_dir / "broken.yaml"
    config.write_text(text)
    with pytest.raises(StackError, match=r"broken\.yaml"):
        derive(replace(settings, config=config))
