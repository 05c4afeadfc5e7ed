//! Produce (key 0), versions 3 to 13: request and response, both ways. Runs on the connection's core for every request, so
//! record bytes and names stay slices of the frame, and a request of one partition decodes without an allocation.
//! v7 zstd · v8 record errors · v9 flexible · v10 current leader (KIP-951) · v13 topic ids (KIP-516).

use bytes::Bytes;

use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::ids::{Offset, PartitionIndex, TimestampMs, TopicId};
use crate::wire::{Decoder, Few, WireError, WireStr, Writer, read_endpoints, write_endpoints};
pub use crate::wire::{LeaderIdAndEpoch, NodeEndpoint};

/// A produce request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProduceRequest {
    /// Set by transactional producers.
    pub transactional_id: Option<WireStr>,
    /// 0: no answer; 1: the leader has it; -1: all in-sync replicas have it. Anything else is for the handler to refuse.
    pub acks: i16,
    /// How long to wait for the replicas, in milliseconds.
    pub timeout_ms: i32,
    /// Topics, mostly one.
    pub topics: Few<ProduceTopic>,
}

/// One topic of a produce request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProduceTopic {
    /// Name, up to version 12; empty after.
    pub name: WireStr,
    /// Id, from version 13; none before.
    pub topic_id: TopicId,
    /// Partitions, mostly one.
    pub partitions: Few<ProducePartition>,
}

/// One partition of a produce request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducePartition {
    /// Partition of the topic.
    pub index: PartitionIndex,
    /// Batches as they came; not looked at.
    pub records: Option<Bytes>,
}

impl ProduceRequest {
    /// Reads a body. Bytes after it are ignored, as in Kafka.
    ///
    /// # Errors
    /// When the bytes are no request of this version, or would take more memory than `wire::decoded_bytes_max`.
    pub fn decode(version: i16, body: Bytes) -> Result<Self, WireError> {
        check_version(version)?;
        let mut decoder = Decoder::new(&body, version >= FLEXIBLE_FROM);
        let transactional_id = decoder.nullable_text()?;
        let acks = decoder.i16()?;
        let timeout_ms = decoder.i32()?;
        let count = decoder.count(topic_bytes_min(version), size_of::<ProduceTopic>())?;
        let mut topics = Few::with_capacity(count);
        for _ in 0..count {
            topics.push(ProduceTopic::decode(version, &mut decoder)?);
        }
        decoder.skip_tags()?;
        Ok(Self { transactional_id, acks, timeout_ms, topics })
    }

    /// Appends the body.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn encode(&self, version: i16, out: &mut Vec<u8>) -> Result<(), WireError> {
        check_version(version)?;
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        let records: usize =
            partitions.map(|partition| 16 + partition.records.as_ref().map_or(0, Bytes::len)).sum();
        out.reserve(64 + records + self.topics.iter().map(|topic| 32 + topic.name.len()).sum::<usize>());
        let mut writer = Writer::new(out, version >= FLEXIBLE_FROM);
        writer.nullable_text(self.transactional_id.as_deref());
        writer.i16(self.acks);
        writer.i32(self.timeout_ms);
        writer.length(self.topics.len());
        for topic in &self.topics {
            write_topic_key(version, &topic.name, topic.topic_id, &mut writer);
            writer.length(topic.partitions.len());
            for partition in &topic.partitions {
                writer.i32(partition.index.0);
                writer.nullable_length(partition.records.as_ref().map(Bytes::len));
                writer.bytes(partition.records.as_deref().unwrap_or_default());
                writer.no_tags();
            }
            writer.no_tags();
        }
        writer.no_tags();
        Ok(())
    }
}

impl ProduceTopic {
    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let (name, topic_id) = read_topic_key(version, decoder)?;
        // Index and length of the records.
        let wire_min = if version >= FLEXIBLE_FROM { 6 } else { 8 };
        let count = decoder.count(wire_min, size_of::<ProducePartition>())?;
        let mut partitions = Few::with_capacity(count);
        for _ in 0..count {
            let index = PartitionIndex(decoder.i32()?);
            let records = decoder.nullable_records()?;
            decoder.skip_tags()?;
            partitions.push(ProducePartition { index, records });
        }
        decoder.skip_tags()?;
        Ok(Self { name, topic_id, partitions })
    }
}

/// A produce response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProduceResponse {
    /// Topics in the order of the request.
    pub topics: Few<ProduceTopicResponse>,
    /// How long a quota held the request back, in milliseconds.
    pub throttle_ms: i32,
    /// Where the leaders named in the partitions are; from version 10.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One topic of a produce response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProduceTopicResponse {
    /// Name, up to version 12.
    pub name: WireStr,
    /// Id, from version 13.
    pub topic_id: TopicId,
    /// Partitions in the order of the request.
    pub partitions: Few<ProducePartitionResponse>,
}

/// One partition of a produce response.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducePartitionResponse {
    /// Partition of the topic.
    pub index: PartitionIndex,
    /// What went wrong, or `None`.
    pub error: ErrorCode,
    /// Offset of the first record; -1 with an error.
    pub base_offset: Offset,
    /// Time of the append where the topic uses LogAppendTime, else -1.
    pub log_append_time_ms: TimestampMs,
    /// Log start offset, from version 5; -1 with an error.
    pub log_start_offset: Offset,
    /// Records that failed validation, from version 8 (KIP-467).
    pub record_errors: Vec<RecordError>,
    /// Message to the error, from version 8.
    pub error_message: Option<WireStr>,
    /// Who leads instead, from version 10 (KIP-951).
    pub current_leader: Option<LeaderIdAndEpoch>,
}

/// A record that failed validation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordError {
    /// Index of the record in its batch.
    pub batch_index: i32,
    /// What is wrong with it.
    pub message: Option<WireStr>,
}

impl ProducePartitionResponse {
    /// The answer to a partition whose batch was not appended.
    #[must_use]
    pub const fn failed(index: PartitionIndex, error: ErrorCode) -> Self {
        Self {
            index,
            error,
            base_offset: Offset(-1),
            log_append_time_ms: TimestampMs(-1),
            log_start_offset: Offset(-1),
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }
}

impl ProduceResponse {
    /// Appends the body. Fields that the version does not have are left out.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn encode(&self, version: i16, out: &mut Vec<u8>) -> Result<(), WireError> {
        check_version(version)?;
        out.reserve(
            16 + self
                .topics
                .iter()
                .map(|topic| 32 + topic.name.len() + 48 * topic.partitions.len())
                .sum::<usize>(),
        );
        let mut writer = Writer::new(out, version >= FLEXIBLE_FROM);
        writer.length(self.topics.len());
        for topic in &self.topics {
            write_topic_key(version, &topic.name, topic.topic_id, &mut writer);
            writer.length(topic.partitions.len());
            for partition in &topic.partitions {
                partition.encode(version, &mut writer);
            }
            writer.no_tags();
        }
        writer.i32(self.throttle_ms);
        if version >= LEADERS_FROM {
            write_endpoints(&self.node_endpoints, &mut writer);
        } else {
            writer.no_tags();
        }
        Ok(())
    }

    /// Reads a body.
    ///
    /// # Errors
    /// When the bytes are no response of this version.
    pub fn decode(version: i16, body: Bytes) -> Result<Self, WireError> {
        check_version(version)?;
        let mut decoder = Decoder::new(&body, version >= FLEXIBLE_FROM);
        let count = decoder.count(topic_bytes_min(version), size_of::<ProduceTopicResponse>())?;
        let mut topics = Few::with_capacity(count);
        for _ in 0..count {
            let (name, topic_id) = read_topic_key(version, &mut decoder)?;
            let count = decoder.count(14, size_of::<ProducePartitionResponse>())?;
            let mut partitions = Few::with_capacity(count);
            for _ in 0..count {
                partitions.push(ProducePartitionResponse::decode(version, &mut decoder)?);
            }
            decoder.skip_tags()?;
            topics.push(ProduceTopicResponse { name, topic_id, partitions });
        }
        let throttle_ms = decoder.i32()?;
        let node_endpoints = read_endpoints(version >= LEADERS_FROM, &mut decoder)?;
        Ok(Self { topics, throttle_ms, node_endpoints })
    }
}

impl ProducePartitionResponse {
    fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.i32(self.index.0);
        writer.i16(self.error.code());
        writer.i64(self.base_offset.0);
        writer.i64(self.log_append_time_ms.0);
        if version >= 5 {
            writer.i64(self.log_start_offset.0);
        }
        if version >= 8 {
            writer.length(self.record_errors.len());
            for error in &self.record_errors {
                writer.i32(error.batch_index);
                writer.nullable_text(error.message.as_deref());
                writer.no_tags();
            }
            writer.nullable_text(self.error_message.as_deref());
        }
        match self.current_leader.filter(|_| version >= LEADERS_FROM) {
            Some(leader) => {
                writer.tag_count(1);
                writer.tag(0, LeaderIdAndEpoch::BYTES);
                leader.encode(writer);
            }
            None => writer.no_tags(),
        }
    }

    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let mut partition =
            Self::failed(PartitionIndex(decoder.i32()?), ErrorCode::from_code(decoder.i16()?));
        partition.base_offset = Offset(decoder.i64()?);
        partition.log_append_time_ms = TimestampMs(decoder.i64()?);
        if version >= 5 {
            partition.log_start_offset = Offset(decoder.i64()?);
        }
        if version >= 8 {
            for _ in 0..decoder.count(5, size_of::<RecordError>())? {
                let batch_index = decoder.i32()?;
                let message = decoder.nullable_text()?;
                decoder.skip_tags()?;
                partition.record_errors.push(RecordError { batch_index, message });
            }
            partition.error_message = decoder.nullable_text()?;
        }
        for _ in 0..decoder.tag_count()? {
            match decoder.tag()? {
                (0, _) if version >= LEADERS_FROM => {
                    partition.current_leader = Some(LeaderIdAndEpoch::decode(decoder)?);
                }
                (_, size) => _ = decoder.take(size)?,
            }
        }
        Ok(partition)
    }
}

fn read_topic_key(version: i16, decoder: &mut Decoder<'_>) -> Result<(WireStr, TopicId), WireError> {
    if version >= IDS_FROM {
        Ok((WireStr::new(), TopicId(decoder.uuid()?)))
    } else {
        Ok((decoder.text()?, TopicId::NONE))
    }
}

fn write_topic_key(version: i16, name: &str, topic_id: TopicId, writer: &mut Writer<'_>) {
    if version >= IDS_FROM {
        writer.uuid(topic_id.0);
    } else {
        writer.text(name);
    }
}

const fn check_version(version: i16) -> Result<(), WireError> {
    let api = ApiKey::Produce.info();
    if api.serves(version) {
        Ok(())
    } else {
        Err(WireError::UnsupportedVersion { key: api.key.code(), version })
    }
}

/// Key, partition count and tags of a topic take at least this much.
const fn topic_bytes_min(version: i16) -> usize {
    match version {
        IDS_FROM.. => 16 + 1 + 1,
        FLEXIBLE_FROM.. => 1 + 1 + 1,
        _ => 2 + 4,
    }
}

const FLEXIBLE_FROM: i16 = 9;
const LEADERS_FROM: i16 = 10;
const IDS_FROM: i16 = 13;
