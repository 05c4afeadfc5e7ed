//! The fetch response: its parts, and the reader of a client. The broker writes it with `encoder`.

use bytes::Bytes;

use super::{FLEXIBLE_FROM, LeaderIdAndEpoch, NodeEndpoint, check_version, read_topic_key, topic_bytes_min};
use crate::error_code::ErrorCode;
use crate::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};
use crate::wire::{Decoder, WireError, WireStr, Writer, read_endpoints};

/// What stands before the topics of a fetch response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchResponseHead {
    /// How long a quota held the request back, in milliseconds.
    pub throttle_ms: i32,
    /// Error of the session or the whole request, from version 7.
    pub error: ErrorCode,
    /// Fetch session, from version 7; 0 for none.
    pub session_id: i32,
}

/// A fetch response as a client reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchResponse {
    /// What stands before the topics.
    pub head: FetchResponseHead,
    /// Topics; in a session only those with something to say.
    pub topics: Vec<FetchTopicResponse>,
    /// Where the leaders named in the partitions are, from version 16.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One topic of a fetch response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchTopicResponse {
    /// Name, up to version 12.
    pub name: WireStr,
    /// Id, from version 13.
    pub topic_id: TopicId,
    /// Partitions of it.
    pub partitions: Vec<FetchPartitionResponse>,
}

/// One partition of a fetch response.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchPartitionResponse {
    /// All but the records.
    pub head: FetchPartitionHead,
    /// Batches; the last may be cut off.
    pub records: Option<Bytes>,
}

/// One partition of a fetch response without its records.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchPartitionHead {
    /// Partition of the topic.
    pub partition: PartitionIndex,
    /// What went wrong, or `None`.
    pub error: ErrorCode,
    /// High watermark; -1 with an error.
    pub high_watermark: Offset,
    /// Last stable offset; -1 when unknown.
    pub last_stable_offset: Offset,
    /// Log start offset, from version 5; -1 when unknown.
    pub log_start_offset: Offset,
    /// Where the follower's log diverges, from version 12.
    pub diverging_epoch: Option<EpochEndOffset>,
    /// Who leads instead, from version 12.
    pub current_leader: Option<LeaderIdAndEpoch>,
    /// Snapshot to fetch first, from version 12; metadata log only.
    pub snapshot_id: Option<SnapshotId>,
    /// Aborted transactions in the range; none unless read committed.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// Replica to read from next time, from version 11; -1 for none.
    pub preferred_read_replica: BrokerId,
}

/// End of a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndOffset {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Its end, exclusive.
    pub end_offset: Offset,
}

/// A snapshot of the metadata log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotId {
    /// End of what it holds, exclusive.
    pub end_offset: Offset,
    /// Epoch of its last record.
    pub epoch: LeaderEpoch,
}

/// A transaction that a read-committed consumer must skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
}

impl FetchPartitionHead {
    /// The answer to a partition that was not even looked up: unknown topic or partition, not authorized (Kafka's
    /// `FetchResponse.partitionResponse`). It differs from [`Self::failed`] in naming no aborted transactions instead of null.
    #[must_use]
    pub fn refused(partition: PartitionIndex, error: ErrorCode) -> Self {
        Self { aborted_transactions: Some(Vec::new()), ..Self::failed(partition, error) }
    }

    /// The answer to a partition whose log could not be read: another leader, wrong epoch, offset out of range.
    #[must_use]
    pub const fn failed(partition: PartitionIndex, error: ErrorCode) -> Self {
        Self {
            partition,
            error,
            high_watermark: Offset(-1),
            last_stable_offset: Offset(-1),
            log_start_offset: Offset(-1),
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted_transactions: None,
            preferred_read_replica: BrokerId(-1),
        }
    }

    /// Bytes that a partition takes at least: index, error, two offsets, aborted count, records length.
    const fn wire_bytes_min(version: i16) -> usize {
        4 + 2 + 8 + 8 + if version >= FLEXIBLE_FROM { 2 } else { 8 }
    }

    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let mut head = Self::failed(PartitionIndex(decoder.i32()?), ErrorCode::from_code(decoder.i16()?));
        head.high_watermark = Offset(decoder.i64()?);
        head.last_stable_offset = Offset(decoder.i64()?);
        if version >= 5 {
            head.log_start_offset = Offset(decoder.i64()?);
        }
        if let Some(count) = decoder.nullable_count(16, size_of::<AbortedTransaction>())? {
            let mut aborted = Vec::with_capacity(count);
            for _ in 0..count {
                let producer_id = ProducerId(decoder.i64()?);
                let first_offset = Offset(decoder.i64()?);
                decoder.skip_tags()?;
                aborted.push(AbortedTransaction { producer_id, first_offset });
            }
            head.aborted_transactions = Some(aborted);
        }
        if version >= 11 {
            head.preferred_read_replica = BrokerId(decoder.i32()?);
        }
        Ok(head)
    }

    fn decode_tags(&mut self, decoder: &mut Decoder<'_>) -> Result<(), WireError> {
        for _ in 0..decoder.tag_count()? {
            match decoder.tag()? {
                (0, _) => {
                    let epoch = LeaderEpoch(decoder.i32()?);
                    self.diverging_epoch = Some(EpochEndOffset { epoch, end_offset: Offset(decoder.i64()?) });
                    decoder.skip_tags()?;
                }
                (1, _) => self.current_leader = Some(LeaderIdAndEpoch::decode(decoder)?),
                (2, _) => {
                    let end_offset = Offset(decoder.i64()?);
                    self.snapshot_id = Some(SnapshotId { end_offset, epoch: LeaderEpoch(decoder.i32()?) });
                    decoder.skip_tags()?;
                }
                (_, size) => _ = decoder.take(size)?,
            }
        }
        Ok(())
    }

    /// Writes all that stands before the length of the records.
    pub(super) fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.i32(self.partition.0);
        writer.i16(self.error.code());
        writer.i64(self.high_watermark.0);
        writer.i64(self.last_stable_offset.0);
        if version >= 5 {
            writer.i64(self.log_start_offset.0);
        }
        writer.nullable_length(self.aborted_transactions.as_ref().map(Vec::len));
        for aborted in self.aborted_transactions.iter().flatten() {
            writer.i64(aborted.producer_id.0);
            writer.i64(aborted.first_offset.0);
            writer.no_tags();
        }
        if version >= 11 {
            writer.i32(self.preferred_read_replica.0);
        }
    }
}

impl FetchResponse {
    /// Reads a body.
    ///
    /// # Errors
    /// When the bytes are no response of this version.
    pub fn decode(version: i16, body: Bytes) -> Result<Self, WireError> {
        check_version(version)?;
        let mut decoder = Decoder::new(&body, version >= FLEXIBLE_FROM);
        let mut head = FetchResponseHead { throttle_ms: decoder.i32()?, ..FetchResponseHead::default() };
        if version >= 7 {
            head.error = ErrorCode::from_code(decoder.i16()?);
            head.session_id = decoder.i32()?;
        }
        let count = decoder.count(topic_bytes_min(version), size_of::<FetchTopicResponse>())?;
        let mut topics = Vec::with_capacity(count);
        for _ in 0..count {
            topics.push(FetchTopicResponse::decode(version, &mut decoder)?);
        }
        let node_endpoints = read_endpoints(version >= 16, &mut decoder)?;
        Ok(Self { head, topics, node_endpoints })
    }
}

impl FetchTopicResponse {
    fn decode(version: i16, decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let (name, topic_id) = read_topic_key(version, decoder)?;
        let wire_min = FetchPartitionHead::wire_bytes_min(version);
        let count = decoder.count(wire_min, size_of::<FetchPartitionResponse>())?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            let mut head = FetchPartitionHead::decode(version, decoder)?;
            let records = decoder.nullable_records()?;
            head.decode_tags(decoder)?;
            partitions.push(FetchPartitionResponse { head, records });
        }
        decoder.skip_tags()?;
        Ok(Self { name, topic_id, partitions })
    }
}
