"""Desired states and plans that tests start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dpu_app.compile.plan import compile_plan
from dpu_app.model.desired import Desired
from dpu_app.model.plan import EMPTY_PLAN, Plan
from dpu_app.model.problem import Problem
from dpu_app.store.load import LoadError, load

ROOT = Path(__file__).resolve().parents[3]
KEY = "sha256:" + "ab" * 32
OTHER_KEY = "sha256:" + "cd" * 32
TEXT = f"""\
apiVersion: dpu/v1
listeners:
  - name: public
    address: 127.0.0.1:8443
    certificates:
      - server_names: [localhost]
        certificate_file: server.pem
        private_key_file: keys/server.key
tenants:
  - name: alpha
    keys: [{KEY}]
    models: [chat]
    limits:
      request_rate: {{ requests: 60, per: 1m }}
      concurrency_max: 4
models:
  - name: chat
    aliases: [gpt-4o-mini]
    arms:
      - {{ name: stable, weight_percent: 90 }}
      - {{ name: canary, weight_percent: 10, worker_labels: {{ zone: a }} }}
workers:
  - {{ name: w0, address: "127.0.0.1:7101", labels: {{ zone: a }} }}
  - {{ name: w1, address: "127.0.0.1:7102" }}
worker_key_file: worker.key
"""


def edited(*changes: tuple[str, str]) -> str:
    """TEXT with each first part, which has to be there once, replaced by the second."""
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def desired(text: str = TEXT) -> Desired:
    """The valid desired state of a text."""
    return load(text, "test.yaml", "/etc/dpu").desired


def problems(text: str) -> list[Problem]:
    """What is wrong with a text; nothing where it is valid."""
    try:
        load(text, "test.yaml", "/etc/dpu")
    except LoadError as error:
        return error.problems
    return []


def plan(revision: int = 1, previous: Plan = EMPTY_PLAN, text: str = TEXT) -> Plan:
    """A compiled plan."""
    return compile_plan(desired(text), "/etc/dpu", revision, previous)


def other_plan(previous: Plan) -> Plan:
    """A plan with other content and the next epoch."""
    return replace(previous, revision=previous.revision + 1, epoch=previous.epoch + 1, worker_key_file="/other.key")
