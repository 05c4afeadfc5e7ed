//! The fetch request. Decoded on the connection's core.

use bytes::Bytes;
use uuid::Uuid;

use super::{FLEXIBLE_FROM, check_version, read_topic_key, topic_bytes_min, write_topic_key};
use crate::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};
use crate::wire::{Decoder, WireError, WireStr, Writer, uvarint_size};

/// A fetch request.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchRequest {
    /// Cluster that the sender believes to be in; a tagged field from version 12.
    pub cluster_id: Option<WireStr>,
    /// The follower; -1 for a consumer. From version 15 it travels in the tagged replica state.
    pub replica_id: BrokerId,
    /// Broker epoch of the follower, from version 15; -1 when there is none.
    pub replica_epoch: i64,
    /// Longest wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// Bytes to wait for.
    pub min_bytes: i32,
    /// Bytes to stop at, over all partitions; the first batch is sent even if it is larger (KIP-74).
    pub max_bytes: i32,
    /// 0: read uncommitted; 1: read committed. Anything else is for the handler to refuse.
    pub isolation_level: i8,
    /// Fetch session (KIP-227), from version 7; 0 for none.
    pub session_id: i32,
    /// Epoch in the session: 0 opens one, -1 ends it or asks for none.
    pub session_epoch: i32,
    /// Partitions to fetch, or to add to or change in the session.
    pub topics: Vec<FetchTopic>,
    /// Partitions to take out of the session.
    pub forgotten: Vec<ForgottenTopic>,
    /// Rack of the consumer, from version 11; empty for none.
    pub rack_id: WireStr,
}

/// One topic of a fetch request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchTopic {
    /// Name, up to version 12; empty after.
    pub name: WireStr,
    /// Id, from version 13; none before.
    pub topic_id: TopicId,
    /// Partitions of it.
    pub partitions: Vec<FetchPartition>,
}

/// One partition of a fetch request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// Partition of the topic.
    pub partition: PartitionIndex,
    /// Leader epoch that the sender knows, from version 9; -1 for none.
    pub current_leader_epoch: LeaderEpoch,
    /// Where to read.
    pub fetch_offset: Offset,
    /// Epoch of the last record that the sender has, from version 12; -1 for none.
    pub last_fetched_epoch: LeaderEpoch,
    /// Log start of the follower, from version 5; -1 for a consumer.
    pub log_start_offset: Offset,
    /// Bytes to stop at in this partition.
    pub max_bytes: i32,
    /// Directory of the follower's replica, from version 17; nil for none.
    pub replica_directory_id: Uuid,
    /// High watermark that the follower knows, from version 18: -1 for unknown, `i64::MAX` where it does not tell.
    pub high_watermark: Offset,
}

/// One topic to take out of the session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForgottenTopic {
    /// Name, up to version 12.
    pub name: WireStr,
    /// Id, from version 13.
    pub topic_id: TopicId,
    /// Partitions of it.
    pub partitions: Vec<PartitionIndex>,
}

impl Default for FetchRequest {
    /// A consumer's request without a session and without partitions.
    fn default() -> Self {
        Self {
            cluster_id: None,
            replica_id: BrokerId(-1),
            replica_epoch: -1,
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: i32::MAX,
            isolation_level: 0,
            session_id: 0,
            session_epoch: -1,
            topics: Vec::new(),
            forgotten: Vec::new(),
            rack_id: WireStr::new(),
        }
    }
}

impl FetchPartition {
    /// Highest `high_watermark`: "does not tell".
    pub const NO_HIGH_WATERMARK: Offset = Offset(i64::MAX);

    /// A consumer's fetch of a partition.
    #[must_use]
    pub const fn new(partition: PartitionIndex, fetch_offset: Offset, max_bytes: i32) -> Self {
        Self {
            partition,
            current_leader_epoch: LeaderEpoch::NONE,
            fetch_offset,
            last_fetched_epoch: LeaderEpoch::NONE,
            log_start_offset: Offset(-1),
            max_bytes,
            replica_directory_id: Uuid::nil(),
            high_watermark: Self::NO_HIGH_WATERMARK,
        }
    }
}

impl FetchRequest {
    /// Reads a body. Bytes after it are ignored, as in Kafka.
    ///
    /// # Errors
    /// When the bytes are no request of this version, or would take more memory than `wire::decoded_bytes_max`.
    pub fn decode(version: i16, body: Bytes) -> Result<Self, WireError> {
        check_version(version)?;
        let mut decoder = Decoder::new(&body, version >= FLEXIBLE_FROM);
        let decoder = &mut decoder;
        let mut request = Self::default();
        if version <= 14 {
            request.replica_id = BrokerId(decoder.i32()?);
        }
        request.max_wait_ms = decoder.i32()?;
        request.min_bytes = decoder.i32()?;
        request.max_bytes = decoder.i32()?;
        request.isolation_level = decoder.i8()?;
        if version >= 7 {
            request.session_id = decoder.i32()?;
            request.session_epoch = decoder.i32()?;
        }
        let count = decoder.count(topic_bytes_min(version), size_of::<FetchTopic>())?;
        request.topics.reserve_exact(count);
        for _ in 0..count {
            request.topics.push(FetchTopic::decode(version, decoder)?);
        }
        if version >= 7 {
            let count = decoder.count(topic_bytes_min(version), size_of::<ForgottenTopic>())?;
            request.forgotten.reserve_exact(count);
            for _ in 0..count {
                request.forgotten.push(ForgottenTopic::decode(version, decoder)?);
            }
        }
        if version >= 11 {
            request.rack_id = decoder.text()?;
        }
        request.decode_tags(version, decoder)?;
        Ok(request)
    }

    fn decode_tags(&mut self, version: i16, decoder: &mut Decoder<'_>) -> Result<(), WireError> {
        for _ in 0..decoder.tag_count()? {
            let (tag, size) = decoder.tag()?;
            match tag {
                0 => self.cluster_id = decoder.nullable_text()?,
                1 if version >= 15 => {
                    self.replica_id = BrokerId(decoder.i32()?);
                    self.replica_epoch = decoder.i64()?;
                    decoder.skip_tags()?;
                }
                1 => return Err(WireError::TagNotValid { tag, version }),
                _ => _ = decoder.take(size)?,
            }
        }
        Ok(())
    }

    /// Appends the body. Fields that the version does not have are left out.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn encode(&self, version: i16, out: &mut Vec<u8>) -> Result<(), WireError> {
        check_version(version)?;
        let mut writer = Writer::new(out, version >= FLEXIBLE_FROM);
        if version <= 14 {
            writer.i32(self.replica_id.0);
        }
        writer.i32(self.max_wait_ms);
        writer.i32(self.min_bytes);
        writer.i32(self.max_bytes);
        writer.i8(self.isolation_level);
        if version >= 7 {
            writer.i32(self.session_id);
            writer.i32(self.session_epoch);
        }
        writer.length(self.topics.len());
        for topic in &self.topics {
            write_topic_key(version, &topic.name, topic.topic_id, &mut writer);
            writer.length(topic.partitions.len());
            for partition in &topic.partitions {
                partition.encode(version, &mut writer);
            }
            writer.no_tags();
        }
        if version >= 7 {
            writer.length(self.forgotten.len());
            for topic in &self.forgotten {
                write_topic_key(version, &topic.name, topic.topic_id, &mut writer);
                writer.length(topic.partitions.len());
                for partition in &topic.partitions {
                    writer.i32(partition.0);
                }
                writer.no_tags();
            }
        }
        if version >= 11 {
            writer.text(&self.rack_id);
        }
        self.encode_tags(version, &mut writer);
        Ok(())
    }

    fn encode_tags(&self, version: i16, writer: &mut Writer<'_>) {
        if version < FLEXIBLE_FROM {
            return;
        }
        let replica_state = version >= 15 && (self.replica_id.0, self.replica_epoch) != (-1, -1);
        writer.tag_count(u32::from(self.cluster_id.is_some()) + u32::from(replica_state));
        if let Some(cluster_id) = &self.cluster_id {
            writer.tag(0, uvarint_size(cluster_id.len() + 1) + cluster_id.len());
            writer.text(cluster_id);
        }
        if replica_state {
            writer.tag(1, 4 + 8 + 1);
            writer.i32(self.replica_id.0);
            writer.i64(self.replica_epoch);
            writer.no_tags();
        }
    }
}

impl FetchTopic {
    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let (name, topic_id) = read_topic_key(version, decoder)?;
        let count = decoder.count(FetchPartition::wire_bytes_min(version), size_of::<FetchPartition>())?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            partitions.push(FetchPartition::decode(version, decoder)?);
        }
        decoder.skip_tags()?;
        Ok(Self { name, topic_id, partitions })
    }
}

impl FetchPartition {
    /// Partition, offset and byte limit; with the epochs and log start that the version adds.
    const fn wire_bytes_min(version: i16) -> usize {
        match version {
            12.. => 33,
            9.. => 28,
            5.. => 24,
            _ => 16,
        }
    }

    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let mut partition = Self::new(PartitionIndex(decoder.i32()?), Offset(-1), 0);
        if version >= 9 {
            partition.current_leader_epoch = LeaderEpoch(decoder.i32()?);
        }
        partition.fetch_offset = Offset(decoder.i64()?);
        if version >= 12 {
            partition.last_fetched_epoch = LeaderEpoch(decoder.i32()?);
        }
        if version >= 5 {
            partition.log_start_offset = Offset(decoder.i64()?);
        }
        partition.max_bytes = decoder.i32()?;
        for _ in 0..decoder.tag_count()? {
            let (tag, size) = decoder.tag()?;
            match tag {
                0 if version >= 17 => partition.replica_directory_id = decoder.uuid()?,
                1 if version >= 18 => partition.high_watermark = Offset(decoder.i64()?),
                0 | 1 => return Err(WireError::TagNotValid { tag, version }),
                _ => _ = decoder.take(size)?,
            }
        }
        Ok(partition)
    }

    fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.i32(self.partition.0);
        if version >= 9 {
            writer.i32(self.current_leader_epoch.0);
        }
        writer.i64(self.fetch_offset.0);
        if version >= 12 {
            writer.i32(self.last_fetched_epoch.0);
        }
        if version >= 5 {
            writer.i64(self.log_start_offset.0);
        }
        writer.i32(self.max_bytes);
        let directory = version >= 17 && !self.replica_directory_id.is_nil();
        let high_watermark = version >= 18 && self.high_watermark != Self::NO_HIGH_WATERMARK;
        writer.tag_count(u32::from(directory) + u32::from(high_watermark));
        if directory {
            writer.tag(0, 16);
            writer.uuid(self.replica_directory_id);
        }
        if high_watermark {
            writer.tag(1, 8);
            writer.i64(self.high_watermark.0);
        }
    }
}

impl ForgottenTopic {
    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let (name, topic_id) = read_topic_key(version, decoder)?;
        let count = decoder.count(4, size_of::<PartitionIndex>())?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            partitions.push(PartitionIndex(decoder.i32()?));
        }
        decoder.skip_tags()?;
        Ok(Self { name, topic_id, partitions })
    }
}
