//! libFuzzer over the target `token`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("token").map_or((), |target| (target.run)(data)));
