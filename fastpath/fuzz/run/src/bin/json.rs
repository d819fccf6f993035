//! libFuzzer over the target `json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("json").map_or((), |target| (target.run)(data)));
