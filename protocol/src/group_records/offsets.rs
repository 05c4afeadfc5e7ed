//! Committed offsets.

use std::sync::Arc;

use super::{GroupRecordError, OFFSET_TYPE, ended, read_name, value_reader};
use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};
use crate::metadata_records::fields::{read_nullable_text, read_tags};
use crate::wire::{Reader, WireError, Writer};

/// Whose offset it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetKey {
    /// Group id.
    pub group: Arc<str>,
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition of it.
    pub partition: PartitionIndex,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset to go on from.
    pub offset: Offset,
    /// Epoch of the last record consumed; [`LeaderEpoch::NONE`] when not told.
    pub leader_epoch: LeaderEpoch,
    /// What the client keeps with it.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub committed_at: TimestampMs,
    /// When it expires, where the client said so (OffsetCommit up to version 4).
    pub expires_at: Option<TimestampMs>,
    /// Id of the topic at the time of the commit; [`TopicId::NONE`] when not known.
    pub topic_id: TopicId,
}

impl OffsetKey {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out, false);
        writer.i16(OFFSET_TYPE);
        writer.text(&self.group);
        writer.text(&self.topic);
        writer.i32(self.partition.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            group: read_name(reader)?,
            topic: read_name(reader)?,
            partition: PartitionIndex(reader.i32()?),
        })
    }
}

impl CommittedOffset {
    /// Version 1 alone has a time of expiry, and no leader epoch or topic id.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let version = if self.expires_at.is_some() { 1 } else { VERSION_MAX };
        let mut writer = Writer::new(out, version >= FLEXIBLE_FROM);
        writer.i16(version);
        writer.i64(self.offset.0);
        if version >= 3 {
            writer.i32(self.leader_epoch.0);
        }
        writer.text(&self.metadata);
        writer.i64(self.committed_at.0);
        if let Some(expires_at) = self.expires_at {
            writer.i64(expires_at.0);
        }
        if self.topic_id.is_none() {
            writer.no_tags();
        } else {
            writer.tag_count(1);
            writer.tag(TOPIC_ID_TAG, 16);
            writer.uuid(self.topic_id.0);
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, GroupRecordError> {
        let (version, mut reader) = value_reader(bytes, OFFSET_TYPE, VERSION_MAX, FLEXIBLE_FROM)?;
        let offset = Offset(reader.i64()?);
        let leader_epoch = if version >= 3 { LeaderEpoch(reader.i32()?) } else { LeaderEpoch::NONE };
        let metadata = read_nullable_text(&mut reader)?.unwrap_or_default().into();
        let committed_at = TimestampMs(reader.i64()?);
        let expires_at = if version == 1 { Some(reader.i64()?) } else { None };
        let mut topic_id = TopicId::NONE;
        read_tags(&mut reader, |tag, reader| {
            if tag == TOPIC_ID_TAG {
                topic_id = TopicId(reader.uuid()?);
            }
            Ok(tag == TOPIC_ID_TAG)
        })?;
        let expires_at = expires_at.filter(|&at| at != -1).map(TimestampMs);
        ended(&reader, Self { offset, leader_epoch, metadata, committed_at, expires_at, topic_id })
    }
}

const VERSION_MAX: i16 = 4;
const FLEXIBLE_FROM: i16 = 4;
const TOPIC_ID_TAG: u32 = 0;
