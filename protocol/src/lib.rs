//! Kafka's wire and record formats. Bytes in, values out: no I/O, no clock, no runtime. The one exception is the small
//! blocking client, which tests, tools and load generators share.
#![forbid(unsafe_code)]

pub mod api;
pub mod batch;
pub mod bounds;
pub mod client;
pub mod consumer_protocol;
pub mod error_code;
pub mod fetch;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod group_records;
pub mod header;
pub mod ids;
pub mod log_dirs;
pub mod metadata_records;
pub mod offsets;
pub mod produce;
pub mod schema;
pub mod wire;
