#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mail_address_fuzz::address(data));
