"""The worker's side of the transport, from Rust. The only file of host_agent that imports `dpu_fastpath`."""

from __future__ import annotations

from dpu_fastpath import HostWorker, Job

__all__ = ["HostWorker", "Job"]
