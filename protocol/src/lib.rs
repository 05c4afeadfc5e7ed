//! Kafka's wire and record formats. Bytes in, values out: no I/O, no clock, no runtime. The one exception is the small
//! blocking client, which tests, tools and load generators share.
#![forbid(unsafe_code)]

pub mod api;
pub mod batch;
pub mod bounds;
pub mod client;
pub mod error_code;
pub mod fetch;
pub mod frame;
pub mod header;
pub mod ids;
pub mod produce;
pub mod schema;
pub mod wire;
