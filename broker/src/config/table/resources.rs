//! Rows of the table: the keys of a group and of a client metrics subscription. Constants only.

#[allow(clippy::wildcard_imports, reason = "a table reads better in the words of its columns")]
use super::columns::*;

#[rustfmt::skip]
pub(super) const GROUP: &[ConfigKey] = &[
    group("consumer.assignment.interval.ms", Int, "1000", Some("group.consumer.assignment.interval.ms"),
        NoEffect(GROUPS),
        "Least time between two assignments of the group."),
    group("consumer.heartbeat.interval.ms", Int, "5000", Some("group.consumer.heartbeat.interval.ms"),
        NoEffect(GROUPS),
        "Heartbeat interval of the group."),
    group("consumer.session.timeout.ms", Int, "45000", Some("group.consumer.session.timeout.ms"),
        NoEffect(GROUPS),
        "Session timeout of the group."),
    group("share.assignment.interval.ms", Int, "1000", Some("group.share.assignment.interval.ms"),
        NoEffect(SHARE),
        "Least time between two assignments of the group."),
    group("share.auto.offset.reset", String, "latest", None, NoEffect(SHARE),
        "Where the group starts in a partition: earliest, latest or by_duration."),
    group("share.delivery.count.limit", Int, "5", Some("group.share.delivery.count.limit"), NoEffect(SHARE),
        "How often a record is delivered before it is given up."),
    group("share.heartbeat.interval.ms", Int, "5000", Some("group.share.heartbeat.interval.ms"),
        NoEffect(SHARE),
        "Heartbeat interval of the group."),
    group("share.isolation.level", String, "read_uncommitted", None, NoEffect(SHARE),
        "Whether the group reads records of open transactions."),
    group("share.partition.max.record.locks", Int, "2000", Some("group.share.partition.max.record.locks"),
        NoEffect(SHARE),
        "Most locked records in one partition."),
    group("share.record.lock.duration.ms", Int, "30000", Some("group.share.record.lock.duration.ms"),
        NoEffect(SHARE),
        "How long a delivered record stays locked for its member."),
    group("share.renew.acknowledge.enable", Boolean, "true", None, NoEffect(SHARE),
        "Whether members may renew the lock of a record."),
    group("share.session.timeout.ms", Int, "45000", Some("group.share.session.timeout.ms"), NoEffect(SHARE),
        "Session timeout of the group."),
    group("streams.assignment.interval.ms", Int, "1000", Some("group.streams.assignment.interval.ms"),
        NoEffect(STREAMS),
        "Least time between two assignments of the group."),
    group("streams.heartbeat.interval.ms", Int, "5000", Some("group.streams.heartbeat.interval.ms"),
        NoEffect(STREAMS),
        "Heartbeat interval of the group."),
    group("streams.initial.rebalance.delay.ms", Int, "3000", Some("group.streams.initial.rebalance.delay.ms"),
        NoEffect(STREAMS),
        "How long the new group waits for more members."),
    group("streams.num.standby.replicas", Int, "0", Some("group.streams.num.standby.replicas"),
        NoEffect(STREAMS),
        "Standby replicas of each task."),
    group("streams.session.timeout.ms", Int, "45000", Some("group.streams.session.timeout.ms"),
        NoEffect(STREAMS),
        "Session timeout of the group."),
];

#[rustfmt::skip]
pub(super) const CLIENT_METRICS: &[ConfigKey] = &[
    client_metrics("interval.ms", Int, "300000", "How often matching clients push their metrics."),
    client_metrics("match", List, "", "Which clients push, as SELECTOR=PATTERN; empty for all."),
    client_metrics("metrics", List, "", "Prefixes of the metrics they push; empty for none, * for all."),
];

const fn client_metrics(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey { scope: Scope::ClientMetrics, ..group(name, kind, default, None, NoEffect(TELEMETRY), doc) }
}
