//! libFuzzer over the target `trace`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("trace").map_or((), |target| (target.run)(data)));
