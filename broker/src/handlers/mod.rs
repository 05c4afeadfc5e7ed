//! One file per API: decode, split by owner core, ask, assemble. No locks, no files, no state of their own.

pub mod api_versions;
mod control;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod fetch;
pub mod init_producer_id;
pub mod list_offsets;
pub mod metadata;
pub mod offset_for_leader_epoch;
pub mod produce;
mod scatter;
