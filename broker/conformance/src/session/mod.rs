//! Speaks the protocol as trees, to Slipring and Apache Kafka alike.

pub(crate) mod codec;
pub(crate) mod connection;
pub(crate) mod records;
pub(crate) mod schema;
