//! Frames as a connection brings them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipring_protocol::fuzzing::fuzz_frame(data));
