#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineartime_fuzz::requests(data));
