//! libFuzzer over the target `body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("body").map_or((), |target| (target.run)(data)));
