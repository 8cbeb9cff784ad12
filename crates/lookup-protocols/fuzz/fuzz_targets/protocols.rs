#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lookup_protocols_fuzz::protocols(data));
