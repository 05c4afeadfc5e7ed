//! OffsetFetch: v2 all topics at once · v3 throttle time · v5 leader epoch · v6 flexible · v7 require-stable (KIP-447) · v8 many
//! groups (KIP-709) · v9 member epochs · v10 topic ids. Up to version 7 there is one group, which stands bare in the body.

use bytes::Bytes;

use super::{check_version, read_topic, topic_bytes_min, write_topic};
use crate::api::ApiKey;
use crate::error_code::ErrorCode;
use crate::group_records::CommittedOffset;
use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use crate::wire::{Decoder, WireError, WireStr, Writer};

/// A request for committed offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetFetchRequest {
    /// The groups; exactly one up to version 7.
    pub groups: Vec<OffsetFetchGroup>,
    /// Whether to wait for offsets of open transactions.
    pub require_stable: bool,
}

/// What is asked of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetFetchGroup {
    /// The group.
    pub group_id: WireStr,
    /// The member of the consumer protocol that asks, from version 9.
    pub member_id: Option<WireStr>,
    /// Its epoch, from version 9; -1 for none.
    pub member_epoch: i32,
    /// Topics; none for all that the group has offsets of.
    pub topics: Option<Vec<OffsetFetchTopic>>,
}

/// One topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetFetchTopic {
    /// Name, up to version 9; empty after.
    pub name: WireStr,
    /// Id, from version 10; none before.
    pub topic_id: TopicId,
    /// Partitions.
    pub partitions: Vec<PartitionIndex>,
}

impl OffsetFetchRequest {
    /// Reads a body. Bytes after it are ignored, as in Kafka.
    ///
    /// # Errors
    /// When the bytes are no request of this version, or would take more memory than `wire::decoded_bytes_max`.
    pub fn decode(version: i16, body: Bytes) -> Result<Self, WireError> {
        let flexible = check_version(ApiKey::OffsetFetch, version)?;
        let mut decoder = Decoder::new(&body, flexible);
        let mut groups;
        if version >= GROUPS_FROM {
            // Length of the name, length of the topics.
            let count = decoder.count(2, size_of::<OffsetFetchGroup>())?;
            groups = Vec::with_capacity(count);
            for _ in 0..count {
                groups.push(OffsetFetchGroup::decode(version, &mut decoder)?);
                decoder.skip_tags()?;
            }
        } else {
            let group_id = decoder.text()?;
            let topics = OffsetFetchTopic::decode_all(version, &mut decoder)?;
            groups = vec![OffsetFetchGroup { group_id, member_id: None, member_epoch: -1, topics }];
        }
        let require_stable = version >= 7 && decoder.i8()? != 0;
        decoder.skip_tags()?;
        Ok(Self { groups, require_stable })
    }

    /// Appends the body. Up to version 7 only the first group is written.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn encode(&self, version: i16, out: &mut Vec<u8>) -> Result<(), WireError> {
        let flexible = check_version(ApiKey::OffsetFetch, version)?;
        let mut writer = Writer::new(out, flexible);
        if version >= GROUPS_FROM {
            writer.length(self.groups.len());
        }
        let count = if version >= GROUPS_FROM { self.groups.len() } else { 1 };
        for group in self.groups.iter().take(count) {
            writer.text(&group.group_id);
            if version >= MEMBERS_FROM {
                writer.nullable_text(group.member_id.as_deref());
                writer.i32(group.member_epoch);
            }
            writer.nullable_length(group.topics.as_ref().map(Vec::len));
            for topic in group.topics.iter().flatten() {
                write_topic(version, &topic.name, topic.topic_id, &mut writer);
                writer.length(topic.partitions.len());
                for partition in &topic.partitions {
                    writer.i32(partition.0);
                }
                writer.no_tags();
            }
            if version >= GROUPS_FROM {
                writer.no_tags();
            }
        }
        if version >= 7 {
            writer.i8(i8::from(self.require_stable));
        }
        writer.no_tags();
        Ok(())
    }
}

impl OffsetFetchGroup {
    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let group_id = decoder.text()?;
        let (mut member_id, mut member_epoch) = (None, -1);
        if version >= MEMBERS_FROM {
            member_id = decoder.nullable_text()?;
            member_epoch = decoder.i32()?;
        }
        let topics = OffsetFetchTopic::decode_all(version, decoder)?;
        Ok(Self { group_id, member_id, member_epoch, topics })
    }
}

impl OffsetFetchTopic {
    fn decode_all(version: i16, decoder: &mut Decoder<'_>) -> Result<Option<Vec<Self>>, WireError> {
        let Some(count) = decoder.nullable_count(topic_bytes_min(version), size_of::<Self>())? else {
            return if version >= 2 { Ok(None) } else { Err(WireError::Null) };
        };
        let mut topics = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, topic_id) = read_topic(version, decoder)?;
            let count = decoder.count(4, size_of::<PartitionIndex>())?;
            let partitions: Result<_, WireError> =
                (0..count).map(|_| decoder.i32().map(PartitionIndex)).collect();
            decoder.skip_tags()?;
            topics.push(Self { name, topic_id, partitions: partitions? });
        }
        Ok(Some(topics))
    }
}

/// The response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetFetchResponse {
    /// How long a quota held the request back, in milliseconds; from version 3.
    pub throttle_ms: i32,
    /// Groups in the order of the request; exactly one up to version 7.
    pub groups: Vec<OffsetFetchGroupResponse>,
}

/// What one group answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchGroupResponse {
    /// The group.
    pub group_id: WireStr,
    /// What went wrong with the whole group, or `None`; version 1 cannot say it.
    pub error: ErrorCode,
    /// Its topics.
    pub topics: Vec<OffsetFetchTopicResponse>,
}

/// One topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetFetchTopicResponse {
    /// Name, up to version 9.
    pub name: WireStr,
    /// Id, from version 10.
    pub topic_id: TopicId,
    /// Its partitions.
    pub partitions: Vec<OffsetFetchPartition>,
}

/// The offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchPartition {
    /// Partition of the topic.
    pub index: PartitionIndex,
    /// The committed offset; -1 for none.
    pub offset: Offset,
    /// Epoch of the last record consumed, from version 5; -1 when not known.
    pub leader_epoch: LeaderEpoch,
    /// What was kept with it.
    pub metadata: Option<WireStr>,
    /// What went wrong, or `None`.
    pub error: ErrorCode,
}

impl OffsetFetchPartition {
    /// A partition with an offset.
    #[must_use]
    pub fn committed(index: PartitionIndex, committed: CommittedOffset) -> Self {
        Self {
            index,
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: Some(WireStr::from_string(committed.metadata.to_string())),
            error: ErrorCode::None,
        }
    }

    /// A partition without an offset.
    #[must_use]
    pub const fn without(index: PartitionIndex, error: ErrorCode) -> Self {
        let metadata = Some(WireStr::from_static_str(""));
        Self { index, offset: Offset(-1), leader_epoch: LeaderEpoch::NONE, metadata, error }
    }
}

impl OffsetFetchResponse {
    /// Appends the body. Up to version 7 only the first group is written.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn encode(&self, version: i16, out: &mut Vec<u8>) -> Result<(), WireError> {
        let flexible = check_version(ApiKey::OffsetFetch, version)?;
        let mut writer = Writer::new(out, flexible);
        if version >= 3 {
            writer.i32(self.throttle_ms);
        }
        if version >= GROUPS_FROM {
            writer.length(self.groups.len());
            for group in &self.groups {
                writer.text(&group.group_id);
                group.write_topics(version, &mut writer);
                writer.i16(group.error.code());
                writer.no_tags();
            }
        } else if let Some(group) = self.groups.first() {
            group.write_topics(version, &mut writer);
            if version >= 2 {
                writer.i16(group.error.code());
            }
        }
        writer.no_tags();
        Ok(())
    }

    /// Reads a body; a group up to version 7 has no name in it.
    ///
    /// # Errors
    /// When the bytes are no response of this version.
    pub fn decode(version: i16, body: Bytes) -> Result<Self, WireError> {
        let flexible = check_version(ApiKey::OffsetFetch, version)?;
        let mut decoder = Decoder::new(&body, flexible);
        let throttle_ms = if version >= 3 { decoder.i32()? } else { 0 };
        let bare = version < GROUPS_FROM;
        let count = if bare { 1 } else { decoder.count(4, size_of::<OffsetFetchGroupResponse>())? };
        let mut groups = Vec::new();
        for _ in 0..count {
            let group_id = if bare { WireStr::default() } else { decoder.text()? };
            let topics = OffsetFetchTopicResponse::decode_all(version, &mut decoder)?;
            let error = if version >= 2 { ErrorCode::from_code(decoder.i16()?) } else { ErrorCode::None };
            if !bare {
                decoder.skip_tags()?;
            }
            groups.push(OffsetFetchGroupResponse { group_id, error, topics });
        }
        decoder.skip_tags()?;
        Ok(Self { throttle_ms, groups })
    }
}

impl OffsetFetchGroupResponse {
    fn write_topics(&self, version: i16, writer: &mut Writer<'_>) {
        writer.length(self.topics.len());
        for topic in &self.topics {
            write_topic(version, &topic.name, topic.topic_id, writer);
            writer.length(topic.partitions.len());
            for partition in &topic.partitions {
                writer.i32(partition.index.0);
                writer.i64(partition.offset.0);
                if version >= 5 {
                    writer.i32(partition.leader_epoch.0);
                }
                writer.nullable_text(partition.metadata.as_deref());
                writer.i16(partition.error.code());
                writer.no_tags();
            }
            writer.no_tags();
        }
    }
}

impl OffsetFetchTopicResponse {
    fn decode_all(version: i16, decoder: &mut Decoder<'_>) -> Result<Vec<Self>, WireError> {
        let mut topics = Vec::new();
        for _ in 0..decoder.count(topic_bytes_min(version), size_of::<Self>())? {
            let (name, topic_id) = read_topic(version, decoder)?;
            let mut partitions = Vec::new();
            for _ in 0..decoder.count(15, size_of::<OffsetFetchPartition>())? {
                let index = PartitionIndex(decoder.i32()?);
                let offset = Offset(decoder.i64()?);
                let leader_epoch = if version >= 5 { LeaderEpoch(decoder.i32()?) } else { LeaderEpoch::NONE };
                let metadata = decoder.nullable_text()?;
                let error = ErrorCode::from_code(decoder.i16()?);
                decoder.skip_tags()?;
                partitions.push(OffsetFetchPartition { index, offset, leader_epoch, metadata, error });
            }
            decoder.skip_tags()?;
            topics.push(Self { name, topic_id, partitions });
        }
        Ok(topics)
    }
}

const GROUPS_FROM: i16 = 8;
const MEMBERS_FROM: i16 = 9;
