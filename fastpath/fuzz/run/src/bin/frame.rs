//! libFuzzer over the target `frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("frame").map_or((), |target| (target.run)(data)));
