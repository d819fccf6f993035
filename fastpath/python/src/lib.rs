//! The Python edge: `dpu_fastpath.FastPath` for the DPU, `dpu_fastpath.HostWorker` for the GPU host,
//! `dpu_fastpath.Frames` and `XdpReplay` for the replay rig.

mod fast_path;
mod host_worker;
mod replay;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::borrow::Cow;

/// A request takes and gives back some twenty small pieces of memory, often on the same core: glibc's allocator costs
/// twice as much for that. Python's own memory is not touched.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The RFC 8785 form of a JSON document, as policy makes it of a body.
#[pyfunction]
fn canonical_json(document: &[u8]) -> PyResult<Cow<'static, [u8]>> {
    dpu_pipeline::canonical::json(document).map(Cow::Owned).map_err(PyValueError::new_err)
}

/// The native half of dpu-app.
#[pymodule]
fn dpu_fastpath(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<fast_path::PyFastPath>()?;
    module.add_function(wrap_pyfunction!(canonical_json, module)?)?;
    replay::register(module)?;
    host_worker::register(module)
}
