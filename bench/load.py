"""The load: h2load (nghttp2-client) on kept TLS 1.3 connections. Only 2xx answers count; any other ends it."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

from bench.work import CIPHER, KEY, PATH, Scenario, WrongAnswer

_GRACE_S = 15.0
_WARM_UP_REQUESTS = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """What the client saw in one run."""

    requests: int
    """Answers with a 2xx status."""
    seconds: float
    p50_us: float
    p99_us: float
    """Microseconds from the request's first byte to the answer's last, as the client sees it under full load."""

    @property
    def requests_per_s(self) -> float:
        """Answers a second over the whole run."""
        return self.requests / self.seconds


class Stuck(RuntimeError):
    """h2load did not end in time: the side hangs, or h2load does."""


def command_line(port: int, scenario: Scenario, bound: list[str], body: Path) -> list[str]:
    """The h2load call; its TLS offer is pinned so that all sides negotiate the same. `bound` says when it ends."""
    tls = [f"--tls13-ciphers={CIPHER}", "--groups=X25519"]
    headers = ["-H", f"authorization: Bearer {KEY}", "-H", "content-type: application/json"]
    protocol = ["--npn-list=h2"] if scenario.http2 else ["--h1"]
    size = [*protocol, "-t", "1", "-c", str(scenario.connections), "-m", str(scenario.streams), *bound]
    return ["h2load", *tls, *size, "-d", str(body), *headers, f"https://localhost:{port}{PATH}"]


def warm_up(port: int, scenario: Scenario, body: Path) -> None:
    """Some requests on every connection, so that memory, code and the connections behind the proxy are there."""
    requests = ["-n", str(_WARM_UP_REQUESTS * scenario.connections)]
    parse_summary(_h2load(command_line(port, scenario, requests, body), _GRACE_S))


def run(port: int, scenario: Scenario, seconds: float, body: Path, log: Path) -> Load:
    """Loads one side for `seconds`; raises WrongAnswer when one request failed, Stuck. `log` is written and removed."""
    log.unlink(missing_ok=True)
    bound = ["-D", f"{round(seconds * 1000)}ms", f"--log-file={log}"]
    requests = parse_summary(_h2load(command_line(port, scenario, bound, body), seconds + _GRACE_S))
    statuses, times = parse_log(log.read_text())
    log.unlink()
    if any(status // 100 != 2 for status in statuses):
        raise WrongAnswer(f"answers other than 2xx in h2load's log: {sorted(set(statuses))}")
    return Load(requests=requests, seconds=seconds, p50_us=quantile(times, 0.50), p99_us=quantile(times, 0.99))


def _h2load(arguments: list[str], timeout_s: float) -> str:
    """Its output; raises WrongAnswer when it ends with an error, Stuck when it does not end."""
    try:
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise Stuck(f"h2load did not end within {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise WrongAnswer(f"h2load ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.stdout


def parse_summary(text: str) -> int:
    """Count of 2xx answers in h2load's summary; raises WrongAnswer when it tells of anything else."""
    troubles = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", text)
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    if troubles is None or statuses is None:
        raise WrongAnswer(f"h2load printed no summary:\n{text[-2000:]}")
    good, *others = (int(count) for count in statuses.groups())
    if good == 0 or any(others) or any(int(count) for count in troubles.groups()):
        raise WrongAnswer(f"failed requests:\n{text[-2000:]}")
    return good


def parse_log(text: str) -> tuple[list[int], list[int]]:
    """Status codes (-1 for a failed request) and microseconds of h2load's per-request lines."""
    rows = [line.split("\t") for line in text.splitlines()]
    return [int(row[1]) for row in rows], [int(row[2]) for row in rows]


def quantile(values: list[int], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, max(0, -(-int(share * 10_000) * len(ordered) // 10_000) - 1))])
