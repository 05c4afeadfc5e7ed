//! The Slipring broker: shards, network, handlers, controller host, configuration. `main` is a thin door to it; tests and
//! the simulator use it as a library.

pub mod boot;
pub mod cli;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod handlers;
pub mod metrics;
pub mod net;
pub mod partition;
pub mod probe;
pub mod router;
pub mod runtime;
pub mod shard;
pub mod validation;
