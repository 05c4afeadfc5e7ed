//! One partition's log as plain state: what is staged, what is promised, what the files hold. Owner core only,
//! synchronous, no input or output: it says what to write, the store writes it and tells what became of it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use slipring_protocol::ids::{LeaderEpoch, Offset, TimestampMs, TopicIdPartition, TopicPartition};

use crate::epoch_cache::EpochCache;
use crate::error::StorageError;
use crate::journal::format::LogKey;
use crate::producer_state::ProducerState;
use crate::retention::RetentionConfig;

mod append;
mod blocks;
mod commit;
mod read;
mod retain;
mod roll;
pub(crate) mod segment;
pub(crate) mod tail;
mod write_back;

pub use append::{Append, Appended};
pub(crate) use commit::{Offer, PART_ESTIMATE, Part, Planned};
pub(crate) use read::Located;
pub(crate) use retain::Breach;
pub(crate) use segment::Segment;
pub(crate) use write_back::{BackLog, WriteBack};

/// What an acknowledgement of a log means (`slipring.durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogDurability {
    /// The data is on stable storage.
    #[default]
    Flushed,
    /// The write has completed; it is flushed within 100 ms. Survives the process, not the machine.
    Written,
}

/// Configuration of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: each segment rolls up to so much earlier.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: usize,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// What an acknowledgement means.
    pub durability: LogDurability,
    /// What becomes of old records.
    pub retention: RetentionConfig,
}

impl Default for LogConfig {
    /// Kafka's defaults, save that nothing is deleted.
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            durability: LogDurability::Flushed,
            retention: RetentionConfig::default(),
        }
    }
}

/// The offsets of a log that mean something to others; ends are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// First offset clients may read.
    pub log_start: Offset,
    /// The offset the next record gets.
    pub log_end: Offset,
    /// Everything below is on stable storage.
    pub durable_end: Offset,
    /// Everything below may be acknowledged: `durable_end`, or what is written for `written` logs.
    pub acknowledged_end: Offset,
    /// Everything below may be shown to consumers.
    pub high_watermark: Offset,
    /// Limit of read_committed.
    pub last_stable: Offset,
    /// Epoch of the latest leader known to the log, [`LeaderEpoch::NONE`] when there is none.
    pub leader_epoch: LeaderEpoch,
}

/// An offset and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: Offset,
    pub(crate) segment: Offset,
    pub(crate) position: u64,
}

/// A commit that must stay in the journal while it holds bytes of this log that no segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) sequence: u64,
    /// End of what that commit holds or says of this log.
    pub(crate) segment: Offset,
    pub(crate) position: u64,
}

/// One partition's log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) id: TopicIdPartition,
    pub(crate) topic: Arc<str>,
    pub(crate) directory: PathBuf,
    pub(crate) config: LogConfig,
    /// Ascending; the last is the active one.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) log_start: Offset,
    /// The log start that the directory's checkpoint, or the first file's name, tells.
    pub(crate) log_start_durable: Offset,
    pub(crate) log_end: Offset,
    /// Written, not necessarily durable.
    pub(crate) written: Mark,
    pub(crate) durable: Mark,
    /// What may be acknowledged; never goes back, also when the durability changes.
    acknowledged: Mark,
    high_watermark: HighWatermark,
    /// Everything below is durable in the segments, indexes and snapshots included.
    pub(crate) recovery_point: Offset,
    pub(crate) epochs: EpochCache,
    pub(crate) epochs_dirty: bool,
    pub(crate) producers: ProducerState,
    /// Commits that hold something of this log, oldest first. The newest always stays: it tells the durable end.
    pub(crate) pins: VecDeque<Pin>,
    /// Under which commit the store finds this log when the journal gets short: at or before the oldest pin.
    pub(crate) pin_key: Option<u64>,
    /// Descriptors of this log so far.
    pub(crate) order: u64,
    pub(crate) fence: Option<Arc<StorageError>>,
    /// Waits in the store's queue of logs with staged bytes.
    pub(crate) queued: bool,
    /// The commit being gathered takes it already.
    pub(crate) gathered: bool,
    /// Waits in the store's queue of logs to write back.
    pub(crate) write_back_queued: bool,
    /// Waits in the store's queue of logs to allocate blocks for.
    pub(crate) allocation_queued: bool,
    /// On its way out: takes nothing and gives nothing.
    pub(crate) deleting: bool,
    /// The next commit repeats everything that only the journal holds.
    pub(crate) carry: bool,
    /// Fenced, and the journal still promises what failed: before all else the next commit says where the log ends.
    pub(crate) end_due: bool,
    /// Appends since opening; tells the eviction who is active.
    pub(crate) appends: u64,
    /// Bytes appended since the last commit took some.
    pub(crate) uncommitted: usize,
    /// Something changed since the last clean state on disk.
    pub(crate) touched: bool,
}

/// Where the high watermark comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HighWatermark {
    /// A single replica: what is acknowledged.
    Acknowledged,
    /// Set by replication.
    Set(Offset),
}

/// A log's state as creation or recovery hands it over.
#[derive(Debug)]
pub(crate) struct LogParts {
    pub(crate) id: TopicIdPartition,
    pub(crate) topic: Arc<str>,
    pub(crate) directory: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) log_start: Offset,
    pub(crate) epochs: EpochCache,
    pub(crate) producers: ProducerState,
}

impl Log {
    /// A log whose segments are durable up to their ends.
    pub(crate) fn new(parts: LogParts) -> Log {
        let active = parts.segments.back().expect("a log has an active segment");
        let end = Mark { offset: active.next, segment: active.base, position: active.end };
        Log {
            id: parts.id,
            topic: parts.topic,
            directory: parts.directory,
            config: parts.config,
            log_start: parts.log_start,
            log_start_durable: parts.log_start,
            log_end: end.offset,
            written: end,
            durable: end,
            acknowledged: end,
            high_watermark: HighWatermark::Acknowledged,
            recovery_point: end.offset,
            segments: parts.segments,
            epochs: parts.epochs,
            epochs_dirty: false,
            producers: parts.producers,
            pins: VecDeque::new(),
            pin_key: None,
            order: 0,
            fence: None,
            queued: false,
            gathered: false,
            write_back_queued: false,
            allocation_queued: false,
            deleting: false,
            carry: false,
            end_due: false,
            appends: 0,
            uncommitted: 0,
            touched: false,
        }
    }

    /// Topic name and partition, as checkpoints name it.
    pub(crate) fn partition(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition: self.id.partition }
    }

    /// The key that journal descriptors name it by.
    pub(crate) fn key(&self) -> LogKey {
        LogKey { topic_id: *self.id.topic_id.0.as_bytes(), partition: self.id.partition.0 }
    }

    pub(crate) fn bounds(&self) -> LogBounds {
        let high_watermark = self.high_watermark();
        let unstable = self.producers.first_unstable_offset();
        LogBounds {
            log_start: self.log_start,
            log_end: self.log_end,
            durable_end: self.durable.offset,
            acknowledged_end: self.acknowledged().offset,
            high_watermark,
            last_stable: unstable.map_or(high_watermark, |offset| offset.min(high_watermark)),
            leader_epoch: self.epochs.latest().map_or(LeaderEpoch::NONE, |entry| entry.epoch),
        }
    }

    /// Where the acknowledged part ends.
    pub(crate) fn acknowledged(&self) -> Mark {
        self.acknowledged
    }

    /// Moves the acknowledged end after `written` or `durable` moved. Tells whether it did.
    pub(crate) fn acknowledge(&mut self) -> bool {
        let end = match self.config.durability {
            LogDurability::Flushed => self.durable,
            LogDurability::Written => self.written,
        };
        let moved = end.offset > self.acknowledged.offset;
        if moved {
            self.acknowledged = end;
            self.note_high_watermark();
        }
        moved
    }

    pub(crate) fn high_watermark(&self) -> Offset {
        match self.high_watermark {
            HighWatermark::Acknowledged => self.acknowledged().offset,
            HighWatermark::Set(offset) => offset.min(self.acknowledged().offset),
        }
    }

    /// Replication sets the high watermark from now on. It never shows what is not acknowledged here.
    pub(crate) fn set_high_watermark(&mut self, offset: Offset) {
        self.high_watermark = HighWatermark::Set(offset);
        self.note_high_watermark();
    }

    /// A single replica: the high watermark follows what is acknowledged.
    pub(crate) fn follow_acknowledged(&mut self) {
        self.high_watermark = HighWatermark::Acknowledged;
        self.note_high_watermark();
    }

    /// Settles transactions that the high watermark has passed.
    pub(crate) fn note_high_watermark(&mut self) {
        let high_watermark = self.high_watermark();
        self.producers.on_high_watermark(high_watermark);
    }

    pub(crate) fn active(&self) -> &Segment {
        self.segments.back().expect("a log has an active segment")
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log has an active segment")
    }

    /// Where the segment with this base stands, which must be there.
    pub(crate) fn index_of(&self, base: Offset) -> usize {
        self.segments.binary_search_by_key(&base, |segment| segment.base).expect("the segment is there")
    }

    pub(crate) fn segment(&self, base: Offset) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        self.segments.get(at)
    }

    pub(crate) fn segment_mut(&mut self, base: Offset) -> Option<&mut Segment> {
        let at = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        self.segments.get_mut(at)
    }

    /// The last segment that begins at or before `offset`.
    pub(crate) fn segment_for(&self, offset: Offset) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base <= offset).checked_sub(1)
    }

    /// Fences the log: the first failure stays.
    pub(crate) fn fence(&mut self, cause: StorageError) {
        if self.fence.is_none() {
            tracing::error!(topic = %self.topic, partition = self.id.partition.0, %cause, "log fenced");
            self.fence = Some(Arc::new(cause));
        }
    }

    pub(crate) fn check_fence(&self) -> Result<(), StorageError> {
        match &self.fence {
            Some(cause) => Err(StorageError::Fenced(Arc::clone(cause))),
            None => Ok(()),
        }
    }

    /// The first segment that the files do not hold for good; all after it are open too.
    pub(crate) fn first_open(&self) -> usize {
        let active = self.segments.len() - 1;
        (0..active).rev().take_while(|at| self.segments[*at].seal.is_some()).last().unwrap_or(active)
    }

    /// The leader's epoch rose: it begins at the log's end (`LeaderEpochFileCache.assign`). The file hears of it with the
    /// first record: before that the next epoch would take its place, and a start of 10,000 logs would write as many files.
    pub(crate) fn set_leader_epoch(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.log_end);
    }

    /// How much earlier than `segment.ms` this segment rolls, the same at every start.
    fn jitter_ms(&self, base: Offset) -> i64 {
        match self.config.segment_jitter_ms {
            jitter @ 1.. => {
                let seed = self.id.topic_id.0.as_u128() as u64 ^ base.0 as u64 ^ self.id.partition.0 as u64;
                (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1) as i64 % jitter
            }
            _ => 0,
        }
    }

    /// Makes a new active segment at `base`; the old one is sealed with the producer state as it stands.
    pub(crate) fn roll(&mut self, base: Offset, now: TimestampMs) {
        let snapshot = self
            .producers
            .needs_snapshot()
            .then(|| crate::producer_state::snapshot::encode(&self.producers.snapshot()));
        self.producers.snapshot_taken(base);
        let index_bytes = self.config.segment_index_bytes;
        self.active_mut().seal = Some(segment::Seal { snapshot });
        self.segments.push_back(Segment::new(base, Some(now), index_bytes));
    }
}
