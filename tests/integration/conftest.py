"""A running stack with echo workers, and unmodified OpenAI clients for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.integration.clients import sync_client
from tests.integration.processes import Stack, build, make_certificates, running


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a development CA, a server certificate and the workers' key."""
    folder = tmp_path_factory.mktemp("certs")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Stack]:
    """The stack that tests share; they must leave it as they found it."""
    yield from running(build(tmp_path_factory.mktemp("stack"), certs))


@pytest.fixture
def own_stack(tmp_path: Path, certs: Path) -> Iterator[Stack]:
    """A stack for one test, which may kill parts of it."""
    yield from running(build(tmp_path, certs))


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    """Tenant alpha on the shared stack."""
    with sync_client(stack) as made:
        yield made
