//! `dpu_fastpath.HostWorker` and `Job`: the worker's side of the transport, for the process on the GPU host.

use dpu_pipeline::host::{HostConfig, HostRuntime, Job};
use dpu_types::gen::worker_frame::{FLAG_REQUEST_COMPLETIONS, FLAG_REQUEST_EMBEDDINGS, FLAG_REQUEST_STREAM};
use dpu_types::Reason;
use dpu_ucx::{OwnedModel, Summary};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Requests that wait for a slot: a second of patience on small engines, refused and tried elsewhere beyond.
const QUEUE_MAX: usize = 256;

/// Name, SHA-256 of the file, quantisation, context tokens.
type ModelTuple = (String, Vec<u8>, String, u32);

/// Adds the classes of this file to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyHostWorker>()?;
    module.add_class::<PyJob>()
}

/// Listens for fast paths; its thread is Rust and never takes Python's lock.
#[pyclass(name = "HostWorker", module = "dpu_fastpath", frozen)]
pub struct PyHostWorker {
    inner: HostRuntime,
}

#[pymethods]
impl PyHostWorker {
    /// Listens on HOST:PORT (port 0: any). "echo" is answered inside; for every other engine take jobs with `next`.
    #[new]
    #[pyo3(signature = (*, name, listen, key, engine, slots, models, transport))]
    #[allow(clippy::too_many_arguments)] // keyword-only: the caller reads as a table
    fn new(
        py: Python<'_>,
        name: String,
        listen: &str,
        key: Vec<u8>,
        engine: String,
        slots: usize,
        models: Vec<ModelTuple>,
        transport: &str,
    ) -> PyResult<Self> {
        if slots == 0 {
            return Err(PyValueError::new_err("slots must be 1 or more"));
        }
        let kind = transport.parse().map_err(PyValueError::new_err)?;
        let models = models.into_iter().map(model).collect::<PyResult<_>>()?;
        let listen = resolve(listen)?;
        let config = HostConfig { name, listen, key, engine, slots, queue_max: QUEUE_MAX, models };
        let inner = py.detach(|| HostRuntime::start(config, kind)).map_err(PyOSError::new_err)?;
        Ok(Self { inner })
    }

    /// The address really bound.
    #[getter]
    fn listening(&self) -> String {
        self.inner.listening().to_string()
    }

    /// The next request that has a slot, or None after `timeout_ms`. Any number of threads may wait.
    fn next(&self, py: Python<'_>, timeout_ms: u64) -> Option<PyJob> {
        py.detach(|| self.inner.next(Duration::from_millis(timeout_ms))).map(|inner| PyJob { inner })
    }

    /// JSON: peers with the transport of each, running, queued, draining.
    fn status(&self, py: Python<'_>) -> String {
        py.detach(|| self.inner.status())
    }

    /// JSON list of metric families, names dpu_worker_*.
    fn metrics(&self, py: Python<'_>) -> String {
        py.detach(|| self.inner.metrics())
    }

    /// Takes no new work, waits up to `timeout_ms`, ends the thread. Returns how many requests were cut.
    fn drain(&self, py: Python<'_>, timeout_ms: u64) -> usize {
        py.detach(|| self.inner.drain(Duration::from_millis(timeout_ms)))
    }
}

/// One request. End it exactly once: `result`, `end`, `fail` or `stopped`; dropped without an end it fails.
#[pyclass(name = "Job", module = "dpu_fastpath", frozen)]
pub struct PyJob {
    inner: Job,
}

impl PyJob {
    fn has(&self, flag: u16) -> bool {
        self.inner.request().flags & flag != 0
    }
}

#[pymethods]
impl PyJob {
    /// 32 hex digits.
    #[getter]
    fn request_id(&self) -> String {
        self.inner.request().id.to_string()
    }

    /// The engine's name of the model.
    #[getter]
    fn model(&self) -> &str {
        &self.inner.request().model
    }

    /// The canary arm.
    #[getter]
    fn arm(&self) -> &str {
        &self.inner.request().arm
    }

    /// Canonical JSON.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.request().body)
    }

    /// Whether tokens are wanted as they come.
    #[getter]
    fn stream(&self) -> bool {
        self.has(FLAG_REQUEST_STREAM)
    }

    /// `/v1/completions`.
    #[getter]
    fn completions(&self) -> bool {
        self.has(FLAG_REQUEST_COMPLETIONS)
    }

    /// `/v1/embeddings`.
    #[getter]
    fn embeddings(&self) -> bool {
        self.has(FLAG_REQUEST_EMBEDDINGS)
    }

    /// Completion tokens at most; 0 leaves it to the engine.
    #[getter]
    fn token_budget(&self) -> u32 {
        self.inner.request().token_budget
    }

    /// Milliseconds from arrival until the fast path gives up.
    #[getter]
    fn deadline_ms(&self) -> u32 {
        self.inner.request().deadline_ms
    }

    /// Microseconds from arrival to a free slot.
    #[getter]
    fn queue_us(&self) -> u64 {
        self.inner.queue_us()
    }

    /// `traceparent` for the engine: the fast path's span. Empty without one.
    #[getter]
    fn traceparent(&self) -> String {
        let trace = &self.inner.request().trace;
        if trace.is_some() {
            trace.text()
        } else {
            String::new()
        }
    }

    /// `tracestate` as the caller sent it; empty without one.
    #[getter]
    fn tracestate(&self) -> &str {
        self.inner.request().trace.state.as_deref().unwrap_or_default()
    }

    /// Whether the fast path has sent CANCEL or is gone.
    #[getter]
    fn cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }

    /// Sends a fragment: a JSON array on one line. Waits while too many are unsent. False: stop generating.
    #[pyo3(signature = (count, choices, finish = false))]
    fn tokens(&self, py: Python<'_>, count: u32, choices: Vec<u8>, finish: bool) -> bool {
        py.detach(|| self.inner.tokens(count, choices, finish))
    }

    /// Ends a request that was not streamed.
    #[pyo3(signature = (*, finish, prompt_tokens, cached_tokens, completion_tokens, queue_us, prefill_us, decode_us, choices))]
    #[allow(clippy::too_many_arguments)] // the fields of RESULT, keyword-only
    fn result(
        &self,
        finish: String,
        prompt_tokens: u32,
        cached_tokens: u32,
        completion_tokens: u32,
        queue_us: u64,
        prefill_us: u64,
        decode_us: u64,
        choices: Vec<u8>,
    ) {
        let summary = Summary {
            finish,
            prompt_tokens,
            cached_tokens,
            completion_tokens,
            queue_us,
            prefill_us,
            decode_us,
        };
        self.inner.result(summary, choices);
    }

    /// Ends a stream.
    #[pyo3(signature = (*, finish, prompt_tokens, cached_tokens, completion_tokens, queue_us, prefill_us, decode_us))]
    #[allow(clippy::too_many_arguments)] // the fields of END, keyword-only
    fn end(
        &self,
        finish: String,
        prompt_tokens: u32,
        cached_tokens: u32,
        completion_tokens: u32,
        queue_us: u64,
        prefill_us: u64,
        decode_us: u64,
    ) {
        let summary = Summary {
            finish,
            prompt_tokens,
            cached_tokens,
            completion_tokens,
            queue_us,
            prefill_us,
            decode_us,
        };
        self.inner.end(summary);
    }

    /// Ends a request without its answer. An unknown reason is sent as `internal`.
    #[pyo3(signature = (*, reason, detail, retry))]
    fn fail(&self, reason: u16, detail: String, retry: bool) {
        self.inner.fail(Reason::from_number(reason).unwrap_or(Reason::Internal), detail, retry);
    }

    /// Says that a cancelled generation has stopped and its memory is free.
    #[pyo3(signature = (*, tokens_wasted))]
    fn stopped(&self, tokens_wasted: u32) {
        self.inner.stopped(tokens_wasted);
    }
}

fn model((name, digest, quantisation, context_tokens): ModelTuple) -> PyResult<OwnedModel> {
    let digest = digest.try_into().map_err(|_| PyValueError::new_err("a model's digest has 32 bytes"))?;
    Ok(OwnedModel { name, digest, quantisation, context_tokens })
}

fn resolve(listen: &str) -> PyResult<SocketAddr> {
    let mut found =
        listen.to_socket_addrs().map_err(|error| PyOSError::new_err(format!("{listen}: {error}")))?;
    found.next().ok_or_else(|| PyOSError::new_err(format!("{listen}: no such address")))
}
