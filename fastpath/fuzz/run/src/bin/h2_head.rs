//! libFuzzer over the target `h2_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("h2_head").map_or((), |target| (target.run)(data)));
