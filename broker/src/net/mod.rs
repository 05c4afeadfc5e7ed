//! Bytes and frames: listening sockets, connections, the order of responses. No Kafka semantics.

pub mod budget;
pub mod connection;
pub mod listener;
pub mod response_queue;
pub mod steer;
