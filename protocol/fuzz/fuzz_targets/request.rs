//! One frame: the header and body of every key and version.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipring_protocol::fuzzing::fuzz_request(data));
