//! Topic configs in force, and refused ones.

use super::*;
use crate::config::{BrokerConfig, Overrides};

fn broker(sets: &[(&str, &str)]) -> BrokerConfig {
    let sets: Vec<_> = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    BrokerConfig::load(None, &sets, &Overrides::default()).unwrap().0
}

fn wanted(pairs: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
}

fn overrides(pairs: &[(&str, &str)]) -> TopicOverrides {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// What Kafka 4.3.0 answered to CreateTopics with these configs.
#[test]
fn configs_are_refused_in_kafkas_words() {
    let broker = broker(&[]);
    type Case<'a> = (&'a [(&'a str, Option<&'a str>)], &'a str);
    let cases: &[Case<'_>] = &[
        (&[("foo", Some("x"))], "Unknown topic config name: foo"),
        (&[("foo", Some("x")), ("segment.ms", Some("abc"))], "Unknown topic config name: foo"),
        (&[("message.format.version", Some("3.0"))], "Unknown topic config name: message.format.version"),
        (&[("retention.ms", None)], "Null value not supported for topic configs: retention.ms"),
        (
            &[("retention.ms", Some("-2"))],
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        ),
        (
            &[("segment.bytes", Some("1"))],
            "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            &[("min.compaction.lag.ms", Some("10")), ("max.compaction.lag.ms", Some("5"))],
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (
            &[("remote.storage.enable", Some("true"))],
            "Tiered Storage functionality is disabled in the broker. \
             Topic cannot be configured with remote log storage.",
        ),
        (
            &[("slipring.durability", Some("maybe"))],
            "Invalid value maybe for configuration slipring.durability: String must be one of: flushed, written",
        ),
    ];
    for (configs, message) in cases {
        let refused = validate(broker.values(), &wanted(configs)).unwrap_err();
        assert_eq!(refused, (ErrorCode::InvalidConfig, (*message).to_owned()));
    }
}

/// What Kafka 4.3.0 took.
#[test]
fn configs_are_taken_as_kafka_takes_them() {
    let broker = broker(&[]);
    for (key, value) in [
        ("cleanup.policy", ""),
        ("cleanup.policy", "delete,delete"),
        ("leader.replication.throttled.replicas", "*"),
        ("follower.replication.throttled.replicas", "0:1,1:2"),
        ("follower.replication.throttled.replicas", ""),
        ("retention.ms", " 500 "),
        ("segment.ms", "+7"),
        ("internal.segment.bytes", "2000"),
        ("min.cleanable.dirty.ratio", "0.5d"),
        ("preallocate", "TRUE"),
    ] {
        assert_eq!(validate(broker.values(), &wanted(&[(key, Some(value))])), Ok(()), "{key}={value}");
    }
    assert_eq!(validate(broker.values(), &wanted(&[])), Ok(()));
}

/// The lags of the broker count against those of the topic.
#[test]
fn a_conflict_with_the_broker_is_seen() {
    let broker = broker(&[("log.cleaner.max.compaction.lag.ms", "100")]);
    let refused = validate(broker.values(), &wanted(&[("min.compaction.lag.ms", Some("101"))])).unwrap_err();
    assert!(refused.1.contains("(101) > max.compaction.lag.ms (100)"), "{}", refused.1);
}

#[test]
fn defaults_are_kafkas() {
    let settings = broker(&[]).topic_defaults;
    assert_eq!(settings.batch_rules(), BatchRules::default());
    assert_eq!(settings.segment_bytes, 1 << 30);
    assert_eq!(settings.segment_ms, 7 * 24 * 3_600_000);
    assert_eq!(settings.retention_ms, Some(7 * 24 * 3_600_000));
    assert_eq!(settings.retention_bytes, None);
    assert_eq!(settings.cleanup, Cleanup { delete: true, compact: false });
    assert_eq!(settings.compression, None);
    assert_eq!(settings.durability, Durability::Flushed);
    assert_eq!(settings.flush_ms, i64::MAX);
    assert_eq!(settings.insync_replicas_min, 1);
}

#[test]
fn the_broker_stands_in_with_its_first_set_key() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<i64>);
    let cases: &[Case<'_>] = &[
        (&[("log.retention.hours", "1")], Some(3_600_000)),
        (&[("log.retention.hours", "1"), ("log.retention.minutes", "2")], Some(120_000)),
        (&[("log.retention.minutes", "2"), ("log.retention.ms", "3")], Some(3)),
        (&[("log.retention.minutes", "-1")], None),
        (&[("log.retention.ms", "-1"), ("log.retention.hours", "1")], None),
        (&[("log.retention.hours", "2147483647")], Some(2_147_483_647 * 3_600_000)),
    ];
    for (sets, retention) in cases {
        assert_eq!(broker(sets).topic_defaults.retention_ms, *retention, "{sets:?}");
    }
    assert_eq!(broker(&[("log.flush.scheduler.interval.ms", "9")]).topic_defaults.flush_ms, 9);
    assert_eq!(broker(&[("log.roll.jitter.hours", "1")]).topic_defaults.segment_jitter_ms, 3_600_000);
    assert_eq!(broker(&[("slipring.durability", "written")]).topic_defaults.durability, Durability::Written);
}

#[test]
fn a_topics_own_configs_outrank_the_brokers() {
    let broker = broker(&[("slipring.durability", "written"), ("message.max.bytes", "100")]);
    let settings = broker.topic(&overrides(&[
        ("slipring.durability", "flushed"),
        ("max.message.bytes", "200"),
        ("cleanup.policy", "compact,delete"),
        ("message.timestamp.type", "LogAppendTime"),
        ("internal.segment.bytes", "500"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "7"),
        ("retention.bytes", "10"),
    ]));
    assert_eq!(settings.durability, Durability::Flushed);
    assert_eq!(settings.message_bytes_max, 200);
    assert_eq!(settings.cleanup, Cleanup { delete: true, compact: true });
    assert_eq!(settings.timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(settings.segment_bytes, 500);
    assert_eq!(settings.compression, Some(StoredCodec { codec: Compression::Zstd, level: Some(7) }));
    assert_eq!(settings.retention_bytes, Some(10));
    assert!(settings.batch_rules().compacted);
}

/// Such values can only come from a metadata log that something else wrote.
#[test]
fn a_value_that_does_not_fit_leaves_the_brokers() {
    let broker = broker(&[("log.segment.bytes", "2097152")]);
    let own = overrides(&[("segment.bytes", "many"), ("not.a.key", "x"), ("segment.ms", "9")]);
    let (settings, invalid) = TopicSettings::resolve(broker.values(), &own);
    assert_eq!((settings.segment_bytes, settings.segment_ms), (2_097_152, 9));
    assert_eq!(invalid.len(), 1);
    assert_eq!(invalid[0].key, "segment.bytes");
}
