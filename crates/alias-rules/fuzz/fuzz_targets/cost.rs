#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| alias_rules_fuzz::cost(data));
