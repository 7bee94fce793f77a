#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lineartime_fuzz::login(data));
