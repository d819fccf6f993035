//! libFuzzer over the target `request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("request").map_or((), |target| (target.run)(data)));
