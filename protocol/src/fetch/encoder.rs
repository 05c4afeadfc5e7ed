//! Writes a fetch response in pieces, so that records go out as they lie in memory. On the connection's core.

use super::{
    EpochEndOffset, FLEXIBLE_FROM, FetchPartitionHead, FetchResponseHead, LeaderIdAndEpoch, NodeEndpoint,
    SnapshotId, check_version, write_topic_key,
};
use crate::api::ApiKey;
use crate::frame;
use crate::header::begin_response;
use crate::ids::TopicId;
use crate::wire::{WireError, Writer, write_endpoints};

/// A stretch of the response; `R` is the caller's handle on records, such as a slice of a tail chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<R> {
    /// Written here.
    Bytes(Vec<u8>),
    /// Records as the caller gave them.
    Records(R),
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPieces<R> {
    /// To be sent in this order.
    pub pieces: Vec<Piece<R>>,
    /// Bytes of all pieces together.
    pub len: usize,
}

/// Writes one fetch response: topics in order, each with its partitions, each with its records. How many come is told
/// beforehand, for that is how Kafka writes it; a call out of turn is a bug of the caller and panics.
#[derive(Debug)]
pub struct FetchResponseEncoder<R> {
    version: i16,
    pieces: Vec<Piece<R>>,
    records_bytes: usize,
    written: Vec<u8>,
    frame: bool,
    topics_left: usize,
    partitions_left: usize,
    records_left: usize,
    open: Open,
}

/// What has been begun and not ended.
#[derive(Debug)]
enum Open {
    Nothing,
    Topic,
    Partition(Tags),
}

/// Tagged fields of a partition: they follow its records.
#[derive(Debug)]
struct Tags {
    diverging_epoch: Option<EpochEndOffset>,
    current_leader: Option<LeaderIdAndEpoch>,
    snapshot_id: Option<SnapshotId>,
}

impl<R> FetchResponseEncoder<R> {
    /// Begins a body of `topics` topics.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn new(version: i16, head: FetchResponseHead, topics: usize) -> Result<Self, WireError> {
        Self::begin(version, head, topics, None)
    }

    /// Begins a whole frame: length and response header come first, and the length is right once it is finished.
    ///
    /// # Errors
    /// When there is no codec for this version.
    pub fn framed(
        version: i16,
        correlation_id: i32,
        head: FetchResponseHead,
        topics: usize,
    ) -> Result<Self, WireError> {
        Self::begin(version, head, topics, Some(correlation_id))
    }

    fn begin(
        version: i16,
        head: FetchResponseHead,
        topics: usize,
        correlation_id: Option<i32>,
    ) -> Result<Self, WireError> {
        check_version(version)?;
        let mut written = Vec::with_capacity(PIECE_BYTES);
        if let Some(correlation_id) = correlation_id {
            begin_response(ApiKey::Fetch, version, correlation_id, &mut written);
        }
        let mut writer = Writer::new(&mut written, version >= FLEXIBLE_FROM);
        writer.i32(head.throttle_ms);
        if version >= 7 {
            writer.i16(head.error.code());
            writer.i32(head.session_id);
        }
        writer.length(topics);
        Ok(Self {
            version,
            pieces: Vec::new(),
            records_bytes: 0,
            written,
            frame: correlation_id.is_some(),
            topics_left: topics,
            partitions_left: 0,
            records_left: 0,
            open: Open::Nothing,
        })
    }

    /// Begins a topic of `partitions` partitions; the version decides whether its name or its id is written.
    ///
    /// # Panics
    /// When more topics come than were told, or the last one misses partitions or records.
    pub fn begin_topic(&mut self, name: &str, topic_id: TopicId, partitions: usize) {
        self.end_topic();
        assert!(self.topics_left > 0, "a topic more than was told");
        self.topics_left -= 1;
        self.partitions_left = partitions;
        let mut writer = Writer::new(&mut self.written, self.version >= FLEXIBLE_FROM);
        write_topic_key(self.version, name, topic_id, &mut writer);
        writer.length(partitions);
        self.open = Open::Topic;
    }

    /// Begins a partition with `records_bytes` bytes of records, which [`Self::records`] brings next.
    ///
    /// # Panics
    /// When more partitions come than were told, or the last one misses records.
    pub fn partition(&mut self, head: &FetchPartitionHead, records_bytes: usize) {
        self.end_partition();
        assert!(self.partitions_left > 0, "a partition more than was told");
        self.partitions_left -= 1;
        self.records_left = records_bytes;
        let mut writer = Writer::new(&mut self.written, self.version >= FLEXIBLE_FROM);
        head.encode(self.version, &mut writer);
        writer.length(records_bytes);
        self.open = Open::Partition(Tags {
            diverging_epoch: head.diverging_epoch,
            current_leader: head.current_leader,
            snapshot_id: head.snapshot_id,
        });
    }

    /// Adds a slice of the open partition's records, of `bytes` bytes.
    ///
    /// # Panics
    /// When the partition has no room for that many.
    pub fn records(&mut self, records: R, bytes: usize) {
        assert!(bytes <= self.records_left, "more records than were told");
        if bytes == 0 {
            return;
        }
        self.records_left -= bytes;
        self.records_bytes += bytes;
        self.flush_written();
        self.pieces.push(Piece::Records(records));
    }

    /// Ends the response. `endpoints` are written from version 16 on.
    ///
    /// # Panics
    /// When topics, partitions or records are missing.
    #[must_use]
    pub fn finish(mut self, endpoints: &[NodeEndpoint]) -> FetchPieces<R> {
        self.end_topic();
        assert!(self.topics_left == 0, "a topic less than was told");
        let mut writer = Writer::new(&mut self.written, self.version >= FLEXIBLE_FROM);
        write_endpoints(if self.version >= 16 { endpoints } else { &[] }, &mut writer);
        self.flush_written();
        let bytes_of = |piece: &Piece<R>| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 0 };
        let len = self.records_bytes + self.pieces.iter().map(bytes_of).sum::<usize>();
        if let (true, Some(Piece::Bytes(first))) = (self.frame, self.pieces.first_mut()) {
            let beyond = len - first.len();
            frame::finish(first, 0, beyond);
        }
        FetchPieces { pieces: self.pieces, len }
    }

    fn end_topic(&mut self) {
        self.end_partition();
        assert!(self.partitions_left == 0, "a partition less than was told");
        if let Open::Topic = self.open {
            Writer::new(&mut self.written, self.version >= FLEXIBLE_FROM).no_tags();
        }
        self.open = Open::Nothing;
    }

    fn end_partition(&mut self) {
        assert!(self.records_left == 0, "records less than were told");
        if let Open::Partition(tags) = &self.open {
            tags.encode(&mut Writer::new(&mut self.written, self.version >= FLEXIBLE_FROM));
            self.open = Open::Topic;
        }
    }

    fn flush_written(&mut self) {
        if !self.written.is_empty() {
            let written = std::mem::replace(&mut self.written, Vec::with_capacity(PIECE_BYTES));
            self.pieces.push(Piece::Bytes(written));
        }
    }
}

impl Tags {
    fn encode(&self, writer: &mut Writer<'_>) {
        if !writer.is_flexible() {
            return;
        }
        let count =
            [self.diverging_epoch.is_some(), self.current_leader.is_some(), self.snapshot_id.is_some()];
        writer.tag_count(count.into_iter().map(u32::from).sum());
        if let Some(EpochEndOffset { epoch, end_offset }) = self.diverging_epoch {
            writer.tag(0, 4 + 8 + 1);
            writer.i32(epoch.0);
            writer.i64(end_offset.0);
            writer.no_tags();
        }
        if let Some(leader) = self.current_leader {
            writer.tag(1, LeaderIdAndEpoch::BYTES);
            leader.encode(writer);
        }
        if let Some(SnapshotId { end_offset, epoch }) = self.snapshot_id {
            writer.tag(2, 8 + 4 + 1);
            writer.i64(end_offset.0);
            writer.i32(epoch.0);
            writer.no_tags();
        }
    }
}

/// Room for what stands between two partitions' records.
const PIECE_BYTES: usize = 128;
