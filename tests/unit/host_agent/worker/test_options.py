"""The command line of host-worker: what it takes and what it refuses with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_agent.worker import model_file
from host_agent.worker.options import parse

BASE = ["--name", "w0", "--listen", "127.0.0.1:7101"]


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "worker.key"
    path.write_bytes(bytes(range(32)))
    return str(path)


def test_echo_announces_the_names_it_is_given(key_file: str) -> None:
    options = parse([*BASE, "--engine", "echo", "--key-file", key_file, "--model", "chat"])
    assert (list(options.models), options.slots, options.http) == (["chat"], 4096, ("127.0.0.1", 9466))
    assert options.key == bytes(range(32))


def test_llama_takes_a_file_by_name(key_file: str, tmp_path: Path) -> None:
    file = tmp_path / "m.Q8_0.gguf"
    file.touch()
    options = parse([*BASE, "--engine", "llama", "--key-file", key_file, "--model", f"chat={file}"])
    assert options.models == {"chat": str(file)}


def test_openai_may_have_another_name_for_a_model(key_file: str) -> None:
    base = [*BASE, "--engine", "openai", "--openai-url", "http://x/v1", "--key-file", key_file]
    options = parse([*base, "--model", "chat=meta/llama-3", "--model", "same"])
    assert options.models == {"chat": "meta/llama-3", "same": "same"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "openai"], "--openai-url"),
        (["--engine", "llama", "--model", "chat=/nowhere.gguf"], "no file /nowhere.gguf"),
        (["--engine", "echo", "--http", "9466"], "HOST:PORT"),
        (["--engine", "echo", "--slots", "0"], "above 0"),
        (["--engine", "other"], "invalid choice"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_fix(
    key_file: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([*BASE, "--key-file", key_file, *arguments])
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_short_key_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "k").write_bytes(b"short")
    with pytest.raises(SystemExit):
        parse([*BASE, "--engine", "echo", "--key-file", str(tmp_path / "k")])
    assert "at least 32" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"), ("x-IQ2_XS.gguf", "IQ2_XS"), ("x-f16.gguf", "F16"), ("x.gguf", "")],
)
def test_quantisation_is_read_from_the_name(name: str, expected: str) -> None:
    assert model_file.quantisation(Path(name)) == expected
