//! libFuzzer over the target `head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("head").map_or((), |target| (target.run)(data)));
