//! The controller's host and what it publishes. The decisions are `slipring_machine::controller`'s; here are its log, its
//! command queue and the views that every shard holds.

pub mod apply;
pub mod boot;
pub mod host;
pub mod metadata_log;
pub mod placement;
mod strays;
pub mod view;
