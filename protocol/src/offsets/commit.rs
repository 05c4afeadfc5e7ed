//! OffsetCommit: v3 throttle time · v5 no retention time · v6 leader epoch · v7 static members · v8 flexible · v9 the consumer
//! protocol's epochs · v10 topic ids.

use bytes::Bytes;

use super::{check_version, read_topic, topic_bytes_min, write_topic};
use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use crate::wire::{Decoder, WireError, WireStr, Writer};

/// A request to commit offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCommitRequest {
    /// The group.
    pub group_id: WireStr,
    /// Generation of a classic member, epoch of a member of the consumer protocol; negative for neither.
    pub generation_or_epoch: i32,
    /// The member; empty for none.
    pub member_id: WireStr,
    /// `group.instance.id` of a static member, from version 7.
    pub instance_id: Option<WireStr>,
    /// How long to keep the offsets in milliseconds, up to version 4; -1 for as long as the broker does.
    pub retention_ms: i64,
    /// Topics.
    pub topics: Vec<OffsetCommitTopic>,
}

/// Offsets of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCommitTopic {
    /// Name, up to version 9; empty after.
    pub name: WireStr,
    /// Id, from version 10; none before.
    pub topic_id: TopicId,
    /// Partitions.
    pub partitions: Vec<OffsetCommitPartition>,
}

/// The offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitPartition {
    /// Partition of the topic.
    pub index: PartitionIndex,
    /// The offset to go on from.
    pub offset: Offset,
    /// Epoch of the last record consumed, from version 6; -1 when not told.
    pub leader_epoch: LeaderEpoch,
    /// What to keep with it.
    pub metadata: Option<WireStr>,
}

impl OffsetCommitRequest {
    /// Reads a body. Bytes after it are ignored, as in Kafka.
    ///
    /// # Errors
    /// When the bytes are no request of this version, or would take more memory than `wire::decoded_bytes_max`.
    pub fn decode(version: i16, body: Bytes) -> Result<Self, WireError> {
        let flexible = check_version(ApiKey::OffsetCommit, version)?;
        let mut decoder = Decoder::new(&body, flexible);
        let group_id = decoder.text()?;
        let generation_or_epoch = decoder.i32()?;
        let member_id = decoder.text()?;
        let instance_id = if version >= 7 { decoder.nullable_text()? } else { None };
        let retention_ms = if version <= 4 { decoder.i64()? } else { -1 };
        let count = decoder.count(topic_bytes_min(version), size_of::<OffsetCommitTopic>())?;
        let mut topics = Vec::with_capacity(count);
        for _ in 0..count {
            topics.push(OffsetCommitTopic::decode(version, &mut decoder)?);
        }
        decoder.skip_tags()?;
        Ok(Self { group_id, generation_or_epoch, member_id, instance_id, retention_ms, topics })
    }

    /// Appends the body.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn encode(&self, version: i16, out: &mut Vec<u8>) -> Result<(), WireError> {
        let flexible = check_version(ApiKey::OffsetCommit, version)?;
        let mut writer = Writer::new(out, flexible);
        writer.text(&self.group_id);
        writer.i32(self.generation_or_epoch);
        writer.text(&self.member_id);
        if version >= 7 {
            writer.nullable_text(self.instance_id.as_deref());
        }
        if version <= 4 {
            writer.i64(self.retention_ms);
        }
        writer.length(self.topics.len());
        for topic in &self.topics {
            write_topic(version, &topic.name, topic.topic_id, &mut writer);
            writer.length(topic.partitions.len());
            for partition in &topic.partitions {
                writer.i32(partition.index.0);
                writer.i64(partition.offset.0);
                if version >= 6 {
                    writer.i32(partition.leader_epoch.0);
                }
                writer.nullable_text(partition.metadata.as_deref());
                writer.no_tags();
            }
            writer.no_tags();
        }
        writer.no_tags();
        Ok(())
    }
}

impl OffsetCommitTopic {
    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let (name, topic_id) = read_topic(version, decoder)?;
        // Index, offset and length of the metadata.
        let count = decoder.count(13, size_of::<OffsetCommitPartition>())?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            let index = PartitionIndex(decoder.i32()?);
            let offset = Offset(decoder.i64()?);
            let leader_epoch = if version >= 6 { LeaderEpoch(decoder.i32()?) } else { LeaderEpoch::NONE };
            let metadata = decoder.nullable_text()?;
            decoder.skip_tags()?;
            partitions.push(OffsetCommitPartition { index, offset, leader_epoch, metadata });
        }
        decoder.skip_tags()?;
        Ok(Self { name, topic_id, partitions })
    }
}

/// The response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCommitResponse {
    /// How long a quota held the request back, in milliseconds; from version 3.
    pub throttle_ms: i32,
    /// Topics in the order of the request.
    pub topics: Vec<OffsetCommitTopicResponse>,
}

/// One topic of the response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCommitTopicResponse {
    /// Name, up to version 9.
    pub name: WireStr,
    /// Id, from version 10.
    pub topic_id: TopicId,
    /// Partitions, and what became of each.
    pub partitions: Vec<(PartitionIndex, ErrorCode)>,
}

impl OffsetCommitResponse {
    /// Appends the body.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn encode(&self, version: i16, out: &mut Vec<u8>) -> Result<(), WireError> {
        let flexible = check_version(ApiKey::OffsetCommit, version)?;
        let mut writer = Writer::new(out, flexible);
        if version >= 3 {
            writer.i32(self.throttle_ms);
        }
        writer.length(self.topics.len());
        for topic in &self.topics {
            write_topic(version, &topic.name, topic.topic_id, &mut writer);
            writer.length(topic.partitions.len());
            for &(index, error) in &topic.partitions {
                writer.i32(index.0);
                writer.i16(error.code());
                writer.no_tags();
            }
            writer.no_tags();
        }
        writer.no_tags();
        Ok(())
    }

    /// Reads a body.
    ///
    /// # Errors
    /// When the bytes are no response of this version.
    pub fn decode(version: i16, body: Bytes) -> Result<Self, WireError> {
        let flexible = check_version(ApiKey::OffsetCommit, version)?;
        let mut decoder = Decoder::new(&body, flexible);
        let throttle_ms = if version >= 3 { decoder.i32()? } else { 0 };
        let mut topics = Vec::new();
        for _ in 0..decoder.count(topic_bytes_min(version), size_of::<OffsetCommitTopicResponse>())? {
            let (name, topic_id) = read_topic(version, &mut decoder)?;
            let mut partitions = Vec::new();
            for _ in 0..decoder.count(6, size_of::<(PartitionIndex, ErrorCode)>())? {
                partitions.push((PartitionIndex(decoder.i32()?), ErrorCode::from_code(decoder.i16()?)));
                decoder.skip_tags()?;
            }
            decoder.skip_tags()?;
            topics.push(OffsetCommitTopicResponse { name, topic_id, partitions });
        }
        decoder.skip_tags()?;
        Ok(Self { throttle_ms, topics })
    }
}
