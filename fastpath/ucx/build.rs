//! Generates the raw UCX bindings from the installed headers.
fn main() {}
