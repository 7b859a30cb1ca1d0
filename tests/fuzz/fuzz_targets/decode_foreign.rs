#![no_main]

#[path = "../targets.rs"]
#[allow(dead_code, reason = "one of them is this program's")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::decode_foreign(data));
