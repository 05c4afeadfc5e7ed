//! The front of a log goes: what retention may take, and what changes when it does. Owner core only, synchronous; the store
//! makes the new log start durable before any file goes.

use slipring_protocol::ids::{Offset, TimestampMs};

use super::{Log, Segment};
use crate::log::segment::FileState;
use crate::retention::{Candidate, Input, Verdict, deletable};

/// What retention can do for a log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    Nothing,
    /// The index of the segment with this base has to be loaded first.
    NeedsTimestamp(Offset),
    /// So many of the oldest segments go; with all of them the log has to roll first.
    Segments(usize),
}

impl Log {
    /// What may go by the log's configuration.
    pub(crate) fn breach(&self, now: TimestampMs) -> Breach {
        // A log that failed keeps everything for the operator; one whose disk is full needs the room.
        let fenced = self.fence.as_ref().is_some_and(|cause| !cause.is_disk_full());
        if self.deleting || fenced {
            return Breach::Nothing;
        }
        let segments: Vec<Candidate> = self
            .segments
            .iter()
            .map(|segment| Candidate {
                base: segment.base,
                size: segment.end,
                largest: segment.largest_timestamp(),
            })
            .collect();
        let verdict = deletable(&Input {
            config: self.config.retention,
            segments: &segments,
            log_start: self.log_start,
            log_end: self.log_end,
            high_watermark: self.high_watermark(),
            now,
        });
        match verdict {
            Verdict::NeedsTimestamp(base) => Breach::NeedsTimestamp(base),
            Verdict::Delete(count) => self.limit_breach(count),
        }
    }

    /// A segment whose file is just being made stays until the next look, and a fenced log does not roll.
    fn limit_breach(&self, count: usize) -> Breach {
        let there = |segment: &&Segment| !matches!(segment.file, FileState::Missing);
        let mut count = self.segments.iter().take(count).take_while(there).count();
        if count == self.segments.len() && self.fence.is_some() {
            count -= 1;
        }
        if count == 0 { Breach::Nothing } else { Breach::Segments(count) }
    }

    /// The first offset clients may read moves up. False when it stands there or beyond already.
    pub(crate) fn advance_log_start(&mut self, to: Offset) -> bool {
        if to <= self.log_start {
            return false;
        }
        self.log_start = to;
        self.producers.on_log_start(to);
        self.epochs_dirty |= self.epochs.truncate_from_start(to);
        self.touched = true;
        true
    }

    /// Takes out all segments before the one that begins at `first_kept`. What only the journal holds of them is needed no
    /// more.
    pub(crate) fn remove_front(&mut self, first_kept: Offset) -> Vec<Segment> {
        let count = self.segments.partition_point(|segment| segment.base < first_kept);
        assert!(count < self.segments.len(), "a log keeps its active segment");
        let removed = self.segments.drain(..count).collect();
        self.recovery_point = self.recovery_point.max(first_kept);
        self.touched = true;
        removed
    }
}
