//! The topics that the broker keeps its own state in, and what each is made with where nobody says, whoever asks for it first
//! (Kafka's `DefaultAutoTopicCreationManager`). Pure, for any core.

use super::values::Values;

/// Groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";
/// Share groups.
pub const SHARES_TOPIC: &str = "__share_group_state";

/// What a topic of the broker's own is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    /// Its name.
    pub name: &'static str,
    /// Its partitions.
    pub partitions: i32,
    /// Its replicas; `None` when nobody set it: as many as Kafka's default where there are so many brokers.
    pub replication_factor: Option<i16>,
    /// Its configs.
    pub configs: Vec<(&'static str, String)>,
}

impl InternalTopic {
    /// All of them.
    pub(super) fn all(values: &Values) -> Vec<Self> {
        let text = |name: &str| values.integer(name).to_string();
        let factor =
            |name: &str| values.is_set(name).then(|| i16::try_from(values.int(name)).unwrap_or(i16::MAX));
        vec![
            Self {
                name: OFFSETS_TOPIC,
                partitions: values.int("offsets.topic.num.partitions"),
                replication_factor: factor("offsets.topic.replication.factor"),
                configs: vec![
                    ("cleanup.policy", "compact".to_owned()),
                    ("compression.type", "producer".to_owned()),
                    ("segment.bytes", text("offsets.topic.segment.bytes")),
                ],
            },
            Self {
                name: TRANSACTIONS_TOPIC,
                partitions: values.int("transaction.state.log.num.partitions"),
                replication_factor: factor("transaction.state.log.replication.factor"),
                configs: vec![
                    ("unclean.leader.election.enable", "false".to_owned()),
                    ("compression.type", "uncompressed".to_owned()),
                    ("cleanup.policy", "compact".to_owned()),
                    ("min.insync.replicas", text("transaction.state.log.min.isr")),
                    ("segment.bytes", text("transaction.state.log.segment.bytes")),
                ],
            },
            Self {
                name: SHARES_TOPIC,
                partitions: values.int("share.coordinator.state.topic.num.partitions"),
                replication_factor: factor("share.coordinator.state.topic.replication.factor"),
                configs: vec![
                    ("cleanup.policy", "delete".to_owned()),
                    ("compression.type", "producer".to_owned()),
                    ("segment.bytes", text("share.coordinator.state.topic.segment.bytes")),
                    ("min.insync.replicas", text("share.coordinator.state.topic.min.isr")),
                    ("retention.ms", "-1".to_owned()),
                ],
            },
        ]
    }
}
