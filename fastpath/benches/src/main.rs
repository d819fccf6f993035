//! `dpu-load MODE --name value ...`: see `dpu_benches::options` for the modes, `bench/client.py` for who calls it.

use dpu_benches::options::Options;
use dpu_benches::{backend, drive, Fault};

fn main() {
    if let Err(fault) = run() {
        drive::say(&serde_json::json!({ "fault": fault }));
        std::process::exit(1);
    }
}

fn run() -> Result<(), Fault> {
    let options = Options::parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(dpu_benches::fault("runtime"))?;
    let tasks = tokio::task::LocalSet::new();
    match options.mode.as_str() {
        "backend" => tasks.block_on(&runtime, backend::serve(&options)),
        _ => tasks.block_on(&runtime, drive::run(&options)),
    }
}
