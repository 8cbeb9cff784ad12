#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rcptd_fuzz::greylist_import(data));
