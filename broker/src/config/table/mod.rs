//! The declaration table of every config key: those of Kafka 4.3 and our own. Parsing, validation, DescribeConfigs, the
//! start-up warnings and `docs/config.md` are all read off these rows. Constants only, for any core.

mod cluster;
mod groups;
mod internal;
mod log;
mod network;
mod ours;
mod remote;
mod resources;
mod security;
mod topic;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::key::{ConfigKey, Scope};

/// A heading of the reference page and its rows.
pub struct Chapter {
    /// The heading.
    pub title: &'static str,
    /// The rows, in the order of the page.
    pub rows: &'static [ConfigKey],
}

/// Every key, by chapter.
pub static CHAPTERS: &[Chapter] = &[
    Chapter { title: "Slipring's own keys", rows: ours::ROWS },
    Chapter { title: "Node, listeners and requests", rows: network::ROWS },
    Chapter { title: "Topics and logs", rows: log::ROWS },
    Chapter { title: "Controller and replication", rows: cluster::ROWS },
    Chapter { title: "Groups, share groups and transactions", rows: groups::ROWS },
    Chapter { title: "Security", rows: security::ROWS },
    Chapter { title: "Tiered storage", rows: remote::ROWS },
    Chapter { title: "Undocumented in Kafka", rows: internal::ROWS },
    Chapter { title: "Topic configs", rows: topic::ROWS },
    Chapter { title: "Group configs", rows: resources::GROUP },
    Chapter { title: "Client metrics configs", rows: resources::CLIENT_METRICS },
];

type Index = BTreeMap<&'static str, &'static ConfigKey>;

static BROKER: LazyLock<Index> = LazyLock::new(|| index(|scope| matches!(scope, Scope::Broker)));
static TOPIC: LazyLock<Index> = LazyLock::new(|| index(|scope| matches!(scope, Scope::Topic(_))));
static GROUP: LazyLock<Index> = LazyLock::new(|| index(|scope| matches!(scope, Scope::Group(_))));
static CLIENT_METRICS: LazyLock<Index> =
    LazyLock::new(|| index(|scope| matches!(scope, Scope::ClientMetrics)));

fn index(wanted: fn(Scope) -> bool) -> Index {
    let rows = CHAPTERS.iter().flat_map(|chapter| chapter.rows);
    rows.filter(|row| wanted(row.scope)).map(|row| (row.name, row)).collect()
}

/// The broker's key of this name.
#[must_use]
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    BROKER.get(name).copied()
}

/// All keys of a broker by name, internal ones too.
pub fn broker_keys() -> impl Iterator<Item = &'static ConfigKey> {
    BROKER.values().copied()
}

/// The topic's key of this name.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC.get(name).copied()
}

/// All keys of a topic by name, internal ones too.
pub fn topic_keys() -> impl Iterator<Item = &'static ConfigKey> {
    TOPIC.values().copied()
}

/// The group's key of this name.
#[must_use]
pub fn group_key(name: &str) -> Option<&'static ConfigKey> {
    GROUP.get(name).copied()
}

/// The client metrics subscription's key of this name.
#[must_use]
pub fn client_metrics_key(name: &str) -> Option<&'static ConfigKey> {
    CLIENT_METRICS.get(name).copied()
}

/// All keys of a group by name.
pub fn group_keys() -> impl Iterator<Item = &'static ConfigKey> {
    GROUP.values().copied()
}

/// All keys of a client metrics subscription by name.
pub fn client_metrics_keys() -> impl Iterator<Item = &'static ConfigKey> {
    CLIENT_METRICS.values().copied()
}

/// The words of the rows' columns.
mod columns {
    pub(super) use crate::config::key::Check::{
        Any, AtLeast, Between, BetweenFractions, Entries, GzipLevel, NonEmpty, OneOf, OneOfAnyCase,
        ThrottledReplicas,
    };
    pub(super) use crate::config::key::ConfigType::{
        Boolean, Class, Double, Int, List, Long, Password, Short, String,
    };
    pub(super) use crate::config::key::DefaultValue::{Is, Null, Ours};
    pub(super) use crate::config::key::Effect::{Acts, NoEffect, Refused};
    pub(super) use crate::config::key::Update::{ClusterWide, PerBroker, ReadOnly};
    pub(super) use crate::config::key::{
        Check, ConfigKey, ConfigType, Scope, group, hours, internal, key, minutes, same, topic,
    };

    pub(super) const SOME_LIST: Check = Entries { of: &[], empty: false };
    pub(super) const ANY_LIST: Check = Entries { of: &[], empty: true };

    pub(super) const CHECKPOINTS: &str = "Checkpoints follow the journal, not the clock.";
    pub(super) const COMPACTION: &str = "Compaction is not built yet.";
    pub(super) const FLUSH: &str =
        "Records are flushed before they are acknowledged or, where written is enough, within 100 ms.";
    pub(super) const GROUPS: &str = "Not built yet.";
    pub(super) const JAVA: &str = "Java classes cannot be loaded.";
    pub(super) const METADATA_LOG: &str = "The metadata log has no snapshots yet and is kept whole.";
    pub(super) const METRICS: &str = "Metrics are served by slipring.metrics.listener.";
    pub(super) const PURGATORY: &str = "Waiting requests are woken one by one; there is nothing to sweep.";
    pub(super) const QUORUM: &str = "The controller is this process.";
    pub(super) const QUOTAS: &str = "Quotas are not built yet.";
    pub(super) const REPLICATION: &str = "Replication between brokers is not built yet.";
    pub(super) const SECURITY: &str = "Only PLAINTEXT is served yet.";
    pub(super) const SHARE: &str = "Share groups are not built yet.";
    pub(super) const STREAMS: &str = "Streams groups are not built yet.";
    pub(super) const TELEMETRY: &str = "Client telemetry is not built yet.";
    pub(super) const THREADS: &str = "There are no thread pools; see slipring.cores.";
    pub(super) const TIERED: &str = "Tiered storage is not built yet.";
    pub(super) const TOKENS: &str = "Delegation tokens are not built yet.";
    pub(super) const TRANSACTIONS: &str = "Transactions are not built yet.";
}

#[cfg(test)]
mod tests;
