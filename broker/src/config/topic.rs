//! A topic's configs: its own over the broker's over the defaults, as numbers the broker works with; and the check of
//! configs that somebody wants to set (Kafka's `LogConfig`, `ControllerConfigurationValidator`). Pure, for any core.

use std::collections::BTreeMap;

use slipring_protocol::batch::{BatchRules, Compression, StoredCodec, TimestampType};
use slipring_protocol::error_code::ErrorCode;

use super::key::{ConfigKey, ConfigType};
use super::table;
use super::value::{InvalidValue, Value};
use super::values::{Values, default_of};

/// A topic's own configs by key, as the metadata log holds them.
pub type TopicOverrides = BTreeMap<String, String>;

/// What is in force for a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSettings {
    /// Size in bytes at which the active segment is rolled.
    pub segment_bytes: u32,
    /// Age at which it is rolled.
    pub segment_ms: i64,
    /// Most time by which it is rolled earlier, at random.
    pub segment_jitter_ms: i64,
    /// Largest offset or time index in bytes.
    pub segment_index_bytes: u32,
    /// Bytes of records between two index entries.
    pub index_interval_bytes: u32,
    /// Largest batch in bytes, header included, compressed as it is.
    pub message_bytes_max: usize,
    /// Whose time the records carry.
    pub timestamp_type: TimestampType,
    /// How far a producer's timestamp may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// How far a producer's timestamp may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// What becomes of old records.
    pub cleanup: Cleanup,
    /// Age at which records are deleted; `None` for never.
    pub retention_ms: Option<i64>,
    /// Size above which the oldest segments are deleted; `None` for no limit.
    pub retention_bytes: Option<i64>,
    /// How long the files of deleted segments stay.
    pub file_delete_delay_ms: i64,
    /// How long a compacted log keeps tombstones.
    pub delete_retention_ms: i64,
    /// How long a record is safe from compaction.
    pub compaction_lag_min_ms: i64,
    /// How long a record may escape compaction.
    pub compaction_lag_max_ms: i64,
    /// Share of a log that must be dirty before it is compacted.
    pub cleanable_dirty_ratio_min: f64,
    /// Replicas that must be in sync for acks=all.
    pub insync_replicas_min: i32,
    /// Whether a replica that is not in sync may lead.
    pub unclean_leader_election: bool,
    /// Codec that batches are to be stored with; `None` for their producer's.
    pub compression: Option<StoredCodec>,
    /// Records after which to flush.
    pub flush_messages: i64,
    /// Time after which to flush.
    pub flush_ms: i64,
    /// Whether segments are allocated in full.
    pub preallocate: bool,
    /// When a produce is answered.
    pub durability: Durability,
}

/// `cleanup.policy`. With neither, records stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Old segments are deleted.
    pub delete: bool,
    /// The last value of each key is kept.
    pub compact: bool,
}

/// `slipring.durability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A produce is answered once its records are on stable storage.
    Flushed,
    /// Once they are written: they survive the process, and after 100 ms the machine.
    Written,
}

impl TopicSettings {
    /// What is in force for a topic with these overrides, and those of them that do not fit their keys; in their place
    /// the broker's values count. Only configs that never passed [`validate`] can fail so.
    #[must_use]
    pub fn resolve(broker: &Values, overrides: &TopicOverrides) -> (Self, Vec<InvalidValue>) {
        let (values, invalid) = resolve(broker, overrides);
        (Self::from_values(&values), invalid)
    }

    fn from_values(values: &TopicValues) -> Self {
        let policy = values.list("cleanup.policy");
        let has = |name: &str| policy.iter().any(|entry| entry == name);
        Self {
            segment_bytes: values
                .bytes("internal.segment.bytes")
                .unwrap_or_else(|| values.bytes("segment.bytes").expect("segment.bytes has a default")),
            segment_ms: values.integer("segment.ms"),
            segment_jitter_ms: values.integer("segment.jitter.ms"),
            segment_index_bytes: values.bytes("segment.index.bytes").expect("the key has a default"),
            index_interval_bytes: values.bytes("index.interval.bytes").expect("the key has a default"),
            message_bytes_max: values.bytes("max.message.bytes").expect("the key has a default") as usize,
            timestamp_type: match values.string("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: values.integer("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: values.integer("message.timestamp.after.max.ms"),
            cleanup: Cleanup { delete: has("delete"), compact: has("compact") },
            retention_ms: limit(values.integer("retention.ms")),
            retention_bytes: limit(values.integer("retention.bytes")),
            file_delete_delay_ms: values.integer("file.delete.delay.ms"),
            delete_retention_ms: values.integer("delete.retention.ms"),
            compaction_lag_min_ms: values.integer("min.compaction.lag.ms"),
            compaction_lag_max_ms: values.integer("max.compaction.lag.ms"),
            cleanable_dirty_ratio_min: values.fraction("min.cleanable.dirty.ratio"),
            insync_replicas_min: values.int("min.insync.replicas"),
            unclean_leader_election: values.boolean("unclean.leader.election.enable"),
            compression: stored_codec(values),
            flush_messages: values.integer("flush.messages"),
            flush_ms: values.integer("flush.ms"),
            preallocate: values.boolean("preallocate"),
            durability: match values.string("slipring.durability") {
                "written" => Durability::Written,
                _ => Durability::Flushed,
            },
        }
    }

    /// What the validation of produced batches needs to know.
    #[must_use]
    pub const fn batch_rules(&self) -> BatchRules {
        BatchRules {
            message_bytes_max: self.message_bytes_max,
            timestamp_type: self.timestamp_type,
            timestamp_before_max_ms: self.timestamp_before_max_ms,
            timestamp_after_max_ms: self.timestamp_after_max_ms,
            compacted: self.cleanup.compact,
            stored: self.compression,
        }
    }
}

/// Checks the configs that a new topic is to have, or that a topic has after a change. Values of `None` are what a
/// request may hold and Kafka refuses.
///
/// # Errors
/// `INVALID_CONFIG` and Kafka's words.
pub fn validate(
    broker: &Values,
    wanted: &BTreeMap<String, Option<String>>,
) -> Result<(), (ErrorCode, String)> {
    let invalid = |message: String| (ErrorCode::InvalidConfig, message);
    let nulls: Vec<&str> =
        wanted.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
    if !nulls.is_empty() {
        return Err(invalid(format!("Null value not supported for topic configs: {}", nulls.join(","))));
    }
    if let Some(name) = wanted.keys().find(|name| table::topic_key(name).is_none()) {
        return Err(invalid(format!("Unknown topic config name: {name}")));
    }
    let overrides = wanted.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    let (values, mut refused) = resolve(broker, &overrides);
    if !refused.is_empty() {
        return Err(invalid(refused.swap_remove(0).to_string()));
    }
    let (lag_min, lag_max) =
        (values.integer("min.compaction.lag.ms"), values.integer("max.compaction.lag.ms"));
    if lag_min > lag_max {
        return Err(invalid(format!(
            "conflict topic config setting min.compaction.lag.ms ({lag_min}) > max.compaction.lag.ms ({lag_max})"
        )));
    }
    if values.boolean("remote.storage.enable") {
        return Err(invalid(
            "Tiered Storage functionality is disabled in the broker. \
             Topic cannot be configured with remote log storage."
                .to_owned(),
        ));
    }
    Ok(())
}

/// Every topic key's value in force.
pub(super) struct TopicValues(BTreeMap<&'static str, Option<Value>>);

/// The values in force, and the overrides that do not fit.
pub(super) fn resolve(broker: &Values, overrides: &TopicOverrides) -> (TopicValues, Vec<InvalidValue>) {
    let mut invalid = Vec::new();
    let mut values = BTreeMap::new();
    for key in table::topic_keys() {
        let own = overrides.get(key.name).and_then(|text| match Value::parse(key, text) {
            Ok(value) => Some(value),
            Err(error) => {
                invalid.push(error);
                None
            }
        });
        values.insert(key.name, own.or_else(|| of_broker(key, broker)));
    }
    (TopicValues(values), invalid)
}

/// What the broker's keys give a topic that does not set `key`: the first of them with a value, in the topic's unit.
fn of_broker(key: &ConfigKey, broker: &Values) -> Option<Value> {
    for synonym in key.broker_synonyms() {
        let Some(value) = broker.value(synonym.name) else { continue };
        return Some(match key.kind {
            ConfigType::Long => {
                let number = broker.integer(synonym.name).saturating_mul(synonym.factor);
                // Any negative age means for ever (`KafkaConfig.logRetentionTimeMillis`).
                Value::Long(if key.name == "retention.ms" { number.max(-1) } else { number })
            }
            _ => value.clone(),
        });
    }
    default_of(key)
}

impl TopicValues {
    /// The value in force of a declared key; `None` where that is null.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).expect("the broker reads declared keys only").as_ref()
    }

    /// A number of bytes; `None` where that is null.
    fn bytes(&self, name: &str) -> Option<u32> {
        self.value(name)?;
        Some(u32::try_from(self.int(name)).expect("the table allows no negative size"))
    }

    fn int(&self, name: &str) -> i32 {
        match self.value(name) {
            Some(Value::Int(number)) => *number,
            other => panic!("{name} is read as INT and is {other:?}"),
        }
    }

    fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Long(number)) => *number,
            other => panic!("{name} is read as LONG and is {other:?}"),
        }
    }

    fn fraction(&self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Double(number)) => *number,
            other => panic!("{name} is read as DOUBLE and is {other:?}"),
        }
    }

    fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => *value,
            other => panic!("{name} is read as BOOLEAN and is {other:?}"),
        }
    }

    fn string(&self, name: &str) -> &str {
        match self.value(name) {
            Some(Value::String(text)) => text,
            other => panic!("{name} is read as STRING and is {other:?}"),
        }
    }

    fn list(&self, name: &str) -> &[String] {
        match self.value(name) {
            Some(Value::List(entries)) => entries,
            other => panic!("{name} is read as LIST and is {other:?}"),
        }
    }
}

fn limit(number: i64) -> Option<i64> {
    if number < 0 { None } else { Some(number) }
}

fn stored_codec(values: &TopicValues) -> Option<StoredCodec> {
    let level = |name: &str| Some(values.int(name));
    let (codec, level) = match values.string("compression.type") {
        "uncompressed" => (Compression::None, None),
        "gzip" => (Compression::Gzip, level("compression.gzip.level")),
        "snappy" => (Compression::Snappy, None),
        "lz4" => (Compression::Lz4, level("compression.lz4.level")),
        "zstd" => (Compression::Zstd, level("compression.zstd.level")),
        _ => return None,
    };
    Some(StoredCodec { codec, level })
}

#[cfg(test)]
mod tests;
