"""The worker's privileges are gone for good, and its own user may look at its open files."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import pathlib, resource, threading
from host_agent.worker.privileges import give_up
give_up()
def look():
    lines = pathlib.Path("/proc/thread-self/status").read_text().splitlines()
    print(*[line for line in lines if line.startswith(("CapEff", "CapPrm", "CapInh", "NoNewPrivs"))], sep="\\n")
thread = threading.Thread(target=look)
thread.start()
thread.join()
print("Core:", *resource.getrlimit(resource.RLIMIT_CORE), flush=True)
print("asleep", flush=True)
input()
"""
NEIGHBOUR = """
import sys
from host_agent.worker.privileges import give_up
give_up()
open(f"/proc/{sys.argv[1]}/fd/0").close()
print("seen")
"""


def test_nothing_is_left_and_a_process_without_privileges_may_look() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LOOK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        seen = {}
        while (line := worker.stdout.readline().strip()) not in ("asleep", ""):
            name, _, value = line.partition(":")
            seen[name] = value.strip()
        neighbour = subprocess.run(
            [sys.executable, "-c", NEIGHBOUR, str(worker.pid)], stdout=subprocess.PIPE, text=True, timeout=60
        )
        worker.communicate("\n", timeout=60)
    assert seen == dict.fromkeys(("CapInh", "CapPrm", "CapEff"), "0" * 16) | {"NoNewPrivs": "1", "Core": "0 0"}
    # UCX's shared memory meets there.
    assert neighbour.stdout == "seen\n"
