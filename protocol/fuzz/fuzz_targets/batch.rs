//! Produced record batches.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slipring_protocol::batch::fuzz_batch(data));
