//! `dpu_fastpath.FastPath`: the request path, for the process that hosts it.

use dpu_pipeline::{metrics, Config, FastPath};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::time::Duration;

/// Applied, changed, epoch programmed, problems (entry, what, fix).
type Applied = (bool, bool, u64, Vec<(String, String, String)>);

/// The request path: TLS, HTTP, policy and RDMA on threads, one a core, that never take Python's lock.
#[pyclass(name = "FastPath", module = "dpu_fastpath", frozen)]
pub struct PyFastPath {
    inner: FastPath,
}

#[pymethods]
impl PyFastPath {
    /// Starts `threads` cores that serve nothing before the first plan, each kept to one processor where `pinned`.
    /// `journal` is a path, "-" or None; `transport` is auto, shm, tcp or rc.
    #[new]
    #[pyo3(signature = (*, name, threads, pinned, journal, transport))]
    fn new(
        name: String,
        threads: usize,
        pinned: bool,
        journal: Option<String>,
        transport: &str,
    ) -> PyResult<Self> {
        if threads == 0 {
            return Err(PyValueError::new_err("threads must be 1 or more"));
        }
        let transport = transport.parse().map_err(PyValueError::new_err)?;
        let config = Config { name, threads, pinned, journal, transport };
        let inner = FastPath::start(&config).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { inner })
    }

    /// Programs a serialised `dpu.fastpath.v1.Plan` on every core, or nothing.
    fn apply(&self, py: Python<'_>, plan: &[u8]) -> Applied {
        let applied = py.detach(|| self.inner.apply(plan));
        let problems = applied.problems.into_iter().map(|p| (p.entry, p.what, p.fix)).collect();
        (applied.applied, applied.changed, applied.epoch, problems)
    }

    /// JSON with the fields of `StatusReply`, and `not_ready` with the reason.
    fn status(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| serde_json::to_string(&self.inner.status())).map_err(json_error)
    }

    /// JSON list of metric families.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| serde_json::to_string(&metrics::families(&self.inner))).map_err(json_error)
    }

    /// Takes no new connection, waits up to `timeout_ms` for requests, ends the rest with an error event, and ends
    /// the cores. Returns how many requests were cut.
    fn drain(&self, py: Python<'_>, timeout_ms: u64) -> usize {
        py.detach(|| self.inner.drain(Duration::from_millis(timeout_ms)))
    }
}

fn json_error(error: serde_json::Error) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}
