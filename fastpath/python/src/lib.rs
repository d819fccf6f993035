//! The Python edge: `dpu_fastpath.FastPath` for the DPU, `dpu_fastpath.HostWorker` for the GPU host.

mod fast_path;
mod host_worker;

use pyo3::prelude::*;

/// The native half of dpu-app.
#[pymodule]
fn dpu_fastpath(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<fast_path::PyFastPath>()?;
    host_worker::register(module)
}
