//! The scripts. Each section makes its own topics, and nothing in it depends on what a broker answers, ids excepted.

mod administration;
mod alter_configs;
mod alter_configs_brokers;
mod api_versions;
mod cluster;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod fetch;
mod fetch_large;
mod fetch_sessions;
mod groups;
mod idempotence;
mod internal_topics;
mod list_offsets;
mod metadata;
mod produce;
mod produce_invalid;
mod repack;
mod restart;
mod wire;

use super::session::Session;

/// A section's steps.
pub(crate) type Script = fn(&mut Session);

/// The sections in their order.
pub(crate) const SECTIONS: &[(&str, Script)] = &[
    ("api-versions", api_versions::run),
    ("wire", wire::run),
    ("cluster", cluster::run),
    ("metadata", metadata::run),
    ("create-topics", create_topics::run),
    ("create-partitions", create_partitions::run),
    ("delete-topics", delete_topics::run),
    ("configs", configs::run),
    ("alter-configs", alter_configs::run),
    ("alter-configs-brokers", alter_configs_brokers::run),
    ("administration", administration::run),
    ("produce", produce::run),
    ("produce-invalid", produce_invalid::run),
    ("repack", repack::run),
    ("idempotence", idempotence::run),
    ("fetch", fetch::run),
    ("fetch-large", fetch_large::run),
    ("fetch-sessions", fetch_sessions::run),
    ("list-offsets", list_offsets::run),
    ("internal-topics", internal_topics::run),
    ("groups", groups::run),
    ("delete-records", delete_records::run),
    ("restart", restart::prepare),
];

/// What follows after a clean stop and start.
pub(crate) const AFTER_RESTART: &[(&str, Script)] = &[("restart", restart::run)];

/// Topics of scripts hold records of long ago.
const FOR_EVER: (&str, &str) = ("retention.ms", "-1");
