//! libFuzzer over the target `h2_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dpu_fuzz::target("h2_frames").map_or((), |target| (target.run)(data)));
