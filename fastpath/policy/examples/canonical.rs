//! Reads JSON from standard input, one document a line; writes each one's RFC 8785 form, or `!` and the reason's name.
//! For comparing this implementation with others.

use dpu_policy::json::{canonical, JsonLimits, Tree};
use std::io::{BufRead, BufWriter, Write};

const LIMITS: JsonLimits = JsonLimits { depth_max: 64, body_bytes_max: 1 << 24 };

fn main() -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().split(b'\n') {
        match Tree::parse(&line?, LIMITS) {
            Ok(tree) => out.write_all(&canonical::to_vec(&tree))?,
            Err(error) => write!(out, "!{}", error.reason.info().name)?,
        }
        out.write_all(b"\n")?;
    }
    out.flush()
}
