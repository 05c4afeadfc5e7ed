//! Rows of the table: keys that Kafka does not document, and those that only a running broker can be given.
//! Constants only.

#[allow(clippy::wildcard_imports, reason = "a table reads better in the words of its columns")]
use super::columns::*;

#[rustfmt::skip]
pub(super) const ROWS: &[ConfigKey] = &[
    internal("controller.performance.always.log.threshold.ms", Long, Is("2000"), AtLeast(0),
        "Controller events that take longer are logged."),
    internal("controller.performance.sample.period.ms", Long, Is("60000"), AtLeast(100),
        "How often the controller logs its performance."),
    internal("group.consumer.regex.refresh.interval.ms", Int, Is("600000"), AtLeast(10_000),
        "How often regular-expression subscriptions are looked up again."),
    internal("group.share.initialize.retry.interval.ms", Int, Is("30000"), AtLeast(1),
        "Pause before share state is initialized again."),
    internal("group.share.persister.class.name", String,
        Is("org.apache.kafka.server.share.persister.DefaultStatePersister"), Any,
        "Java class that keeps share state."),
    internal("internal.metadata.delete.delay.millis", Long, Is("60000"), Any,
        "How long deleted metadata files stay."),
    internal("internal.metadata.log.segment.bytes", Int, Null, Any,
        "Segment size of the metadata log in tests."),
    internal("internal.metadata.max.batch.size.in.bytes", Int, Is("8388608"), Any,
        "Largest batch of the metadata log."),
    internal("log.initial.task.delay.ms", Long, Is("30000"), AtLeast(0),
        "How long background work on logs waits after the start."),
    internal("producer.id.expiration.check.interval.ms", Int, Is("600000"), AtLeast(1),
        "How often expired producer ids are looked for."),
    internal("remote.log.index.file.cache.ttl.ms", Long, Is("900000"), AtLeast(-1),
        "How long an unused remote index file is kept."),
    internal("remote.log.manager.task.retry.backoff.max.ms", Long, Is("30000"), AtLeast(1),
        "Longest pause before remote work is tried again."),
    internal("remote.log.manager.task.retry.backoff.ms", Long, Is("500"), AtLeast(1),
        "First pause before remote work is tried again."),
    internal("remote.log.manager.task.retry.jitter", Double, Is("0.2"), BetweenFractions(0.0, 0.5),
        "Random share of that pause."),
    internal("server.max.startup.time.ms", Long, Is("9223372036854775807"), AtLeast(0),
        "How long a start may take."),
    internal("share.coordinator.cold.partition.snapshot.interval.ms", Int, Is("300000"), AtLeast(1),
        "How often quiet share partitions get a snapshot."),
    internal("share.coordinator.state.topic.prune.interval.ms", Int, Is("300000"), AtLeast(1),
        "How often the share state topic is pruned."),
    internal("unclean.leader.election.interval.ms", Long, Is("300000"), AtLeast(1),
        "How often unclean elections are considered."),
    internal("unstable.api.versions.enable", Boolean, Is("false"), Any,
        "Whether unstable API versions are served."),
    internal("unstable.feature.versions.enable", Boolean, Is("false"), Any,
        "Whether unstable feature levels are allowed."),
    dynamic("leader.replication.throttled.rate",
        "Bytes that a leader sends to throttled followers in a second."),
    dynamic("follower.replication.throttled.rate",
        "Bytes that throttled followers fetch in a second."),
    dynamic("replica.alter.log.dirs.io.max.bytes.per.second",
        "Bytes moved between data directories in a second."),
];

/// Kafka defines these for running brokers only; a file may not set them.
const fn dynamic(name: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey {
        internal: true,
        ..key(name, Long, Is("9223372036854775807"), AtLeast(0), ClusterWide, NoEffect(REPLICATION), doc)
    }
}
