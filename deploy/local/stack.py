"""`make run`: workers, fast path and agent on this machine, in the foreground until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.local import ports
from deploy.local.effective import Effective, derive
from deploy.local.packet import flows_file
from deploy.local.place import Place, Role, place_of
from deploy.local.processes import Child, StackError
from deploy.local.settings import ROOT, Settings, add_flags, settings_of

READY_TIMEOUT_S = 120.0
"""A cold page cache and busy cores: the model is 90 MB and warms up."""
WATCH_S = 0.5
LOOPBACK = "127.0.0.1"
Say = Callable[[str], None]


class Stack:
    """All processes of the product, on loopback or in three namespaces. `start` and `stop` in that order, once."""

    def __init__(self, settings: Settings, say: Say) -> None:
        """Raises StackError."""
        self.settings = settings
        self.say = say
        settings.run_dir.mkdir(parents=True, exist_ok=True)
        self.place: Place = place_of(settings, say)
        self.effective: Effective = derive(settings, self.place.uplink)
        self.workers = [self.worker(index) for index in range(len(self.effective.workers))]
        self.fastpath = self.child("fastpath", "fastpath", 0, "dpu_app.fastpath", self.fastpath_flags())
        self.agent = self.child("agent", "agent", 1, "dpu_app", self.agent_flags())
        self.reported: set[str] = set()

    @property
    def children(self) -> list[Child]:
        """In the order of their start."""
        return [*self.workers, self.fastpath, self.agent]

    @property
    def url(self) -> str:
        """Where clients go; the certificate names it."""
        host = self.effective.host
        return f"https://{f'[{host}]' if ':' in host else host}:{self.effective.port}"

    @property
    def ca(self) -> Path:
        """Whom clients have to trust."""
        return ROOT / "certs/dev/ca.pem"

    @property
    def journal(self) -> Path:
        """One JSON line a request."""
        return self.settings.run_dir / "requests.jsonl"

    @property
    def flows(self) -> Path:
        """One JSON line a flow, where there is a packet stage."""
        return flows_file(self.settings.run_dir)

    def start(self) -> None:
        """Starts everything and waits until requests can be served. Raises StackError."""
        if self.place.uplink:
            self.place.open(self.effective.vips)
        else:
            self.check_ports()
        if self.effective.changed:
            self.say(f"{', '.join(self.effective.changed)}: written to {self.effective.path}, derived from the file")
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            self.say(f"{worker.name}: ready after {worker.wait_for('/readyz', READY_TIMEOUT_S):.1f} s")
        self.fastpath.start()
        self.say(
            f"fastpath: up after {self.fastpath.wait_for('/livez', READY_TIMEOUT_S):.1f} s, nothing programmed yet"
        )
        self.agent.start()
        self.say(f"agent: ready after {self.agent.wait_for('/readyz', READY_TIMEOUT_S):.1f} s")
        self.say(f"fastpath: programmed, ready after {self.fastpath.wait_for('/readyz', READY_TIMEOUT_S):.1f} s")

    def check(self) -> None:
        """Says who has ended since the last time. Raises StackError when that is the fast path."""
        for child in self.children:
            status = child.ended()
            if status is None or child.name in self.reported:
                continue
            self.reported.add(child.name)
            if child is self.fastpath:
                raise StackError(f"the fast path ended with status {status}; the end of {child.log}:\n{child.tail()}")
            self.say(f"{child.name} (pid {child.pid}) ended with status {status}; the stack goes on without it")
            self.say(f"  to start it again: {shlex.join(child.command)}")

    def stop(self) -> None:
        """Stops everything, the last started first, and leaves no namespace and no pin."""
        for child in reversed(self.children):
            if not child.stop(self.settings.drain_s):
                self.say(f"{child.name}: killed, it did not stop within {self.settings.drain_s:.0f} s")
        self.place.close()

    def check_ports(self) -> None:
        """Raises StackError naming who has a port that we need."""
        needed = [("data", self.effective.host, self.effective.port, "--port or PORT")]
        for index, child in enumerate([self.fastpath, self.agent, *self.workers]):
            needed.append((f"{child.name}'s health", LOOPBACK, self.settings.health_port + index, "--health-port"))
        for name, address in self.effective.workers:
            host, _, port = address.rpartition(":")
            needed.append((f"{name}'s listener", host.strip("[]"), int(port), "--worker-port or WORKER_PORT"))
        for what, ip, number, flag in needed:
            if ports.taken(ip, number):
                raise StackError(f"port {number} ({what}) is taken by {ports.holder(number)}: stop it, or use {flag}")

    def child(self, name: str, role: Role, health_offset: int, module: str, flags: list[str]) -> Child:
        """A process of ours with its health server."""
        http = f"{LOOPBACK}:{self.settings.health_port + health_offset}"
        command = self.place.command(role, [sys.executable, "-m", module, *flags, "--http", http])
        return Child(name, command, f"http://{http}", self.settings.run_dir, lambda: self.place.inside(role))

    def worker(self, index: int) -> Child:
        """The worker at this place of the configuration."""
        settings = self.settings
        name, address = self.effective.workers[index]
        flags = ["--name", name, "--listen", address, "--engine", settings.engine]
        flags += ["--key-file", str(self.effective.worker_key), "--transport", self.transport]
        flags += ["--slots", str(settings.slots)] if settings.slots else []
        flags += ["--openai-url", settings.openai_url] if settings.engine == "openai" else []
        if settings.engine == "llama":
            # The threads of one model wait for each other by spinning: more of them than cores stand in their own way.
            flags += ["--threads", str(max(1, (os.cpu_count() or 1) // len(self.effective.workers)))]
        theirs = f"={settings.openai_model}" if settings.engine == "openai" and settings.openai_model else ""
        for model in self.effective.models:
            flags += ["--model", model + theirs]
        return self.child(name, "worker", 2 + index, "host_agent.worker", flags)

    def fastpath_flags(self) -> list[str]:
        """The command line of dpu-fastpath, without --http."""
        flags = ["--socket", str(self.settings.run_dir / "fastpath.sock"), "--journal", str(self.journal)]
        flags += ["--transport", self.transport]
        return flags + (["--threads", str(self.settings.threads)] if self.settings.threads else [])

    def agent_flags(self) -> list[str]:
        """The command line of dpu-agent, without --http."""
        run_dir = self.settings.run_dir
        flags = ["run", "--config", str(self.effective.path), "--fastpath-socket", str(run_dir / "fastpath.sock")]
        flags += ["--state-dir", str(run_dir / "state")]
        return [*flags, "--xdp", "--journal", str(self.journal)] if self.place.uplink else flags

    @property
    def transport(self) -> str:
        """What UCX may use; behind the packet stage workers are another machine, as far as one machine can be two."""
        return "tcp" if self.place.uplink and self.settings.transport == "auto" else self.settings.transport


def tour(stack: Stack) -> str:
    """Where everything is, and how to ask the first question."""
    run_dir = stack.settings.run_dir
    rows = [("API", f"{stack.url}/v1   (CA {stack.ca})")]
    rows += [
        (
            "keys",
            "sk-dev-alpha: no limits; sk-dev-beta: 60 requests/min, 2,000 tokens/min, 4 at once   (those of dev.yaml)",
        )
    ]
    rows += [("desired state", f"{stack.effective.path}   (kill -HUP {stack.agent.pid} after a change)")]
    rows += [("journal", str(stack.journal))]
    if stack.place.uplink:
        rows += [("flows", f"{stack.flows}; dpu-agent flows --state-dir {run_dir / 'state'}")]
        rows += [
            ("namespaces", "health and metrics too are asked from inside: " + entered(stack, "agent") + " curl ...")
        ]
    rows += [(c.name, f"pid {c.pid}, {c.health}/readyz /metrics, log {c.log.name}") for c in stack.children]
    rows += [("pids and logs", f"{run_dir}")]
    lines = [f"  {name:<14} {text}" for name, text in rows]
    body = '{"model":"chat","stream":true,"messages":[{"role":"user","content":"What is a DPU?"}]}'
    lines += ["", f"  {entered(stack, 'client')}curl -N --cacert {stack.ca} {stack.url}/v1/chat/completions \\"]
    lines += ["    -H 'authorization: Bearer sk-dev-alpha' -H 'content-type: application/json' \\", f"    -d '{body}'"]
    return "\n".join(lines)


def entered(stack: Stack, role: Role) -> str:
    """What a command begins with to run where they are; nothing on loopback."""
    return "".join(f"{shlex.quote(word)} " for word in stack.place.command(role, []))


def interruptible() -> None:
    """From here on SIGTERM and SIGHUP are what Ctrl-C is, wherever we are: children must not outlive us."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def uninterruptible() -> None:
    """From here on nothing keeps us from stopping the children; each has its time limit."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def watch(stack: Stack) -> None:
    """Until KeyboardInterrupt. Raises StackError when the fast path ends."""
    while True:
        time.sleep(WATCH_S)
        stack.check()


def say(text: str) -> None:
    """A progress line."""
    print(f"run: {text}", flush=True)


def main() -> int:
    """Entry point. 0 after Ctrl-C, 1 when the stack could not start or lost its fast path."""
    parser = argparse.ArgumentParser(description="Workers, fast path and agent on this machine, until Ctrl-C.")
    add_flags(parser)
    interruptible()
    stack = None
    try:
        stack = Stack(settings_of(parser.parse_args()), say)
        stack.start()
        say(f"everything runs; Ctrl-C stops it\n\n{tour(stack)}\n")
        watch(stack)
    except KeyboardInterrupt:
        say("stopping")
    except StackError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    finally:
        uninterruptible()
        if stack is not None:
            stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
