//! libFuzzer over the target `capture`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("capture").map_or((), |target| (target.run)(data)));
