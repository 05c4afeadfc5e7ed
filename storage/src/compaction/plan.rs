//! Which part of a log to clean, and which segments become one (Kafka's `LogCleanerManager.cleanableOffsets`, `LogToClean`,
//! `Cleaner.groupSegmentsBySize`). Pure.

use slipring_protocol::ids::{Offset, TimestampMs};

/// How a log is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionConfig {
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub dirty_ratio_min_millionths: u32,
    /// `min.compaction.lag.ms`.
    pub lag_min_ms: i64,
    /// `max.compaction.lag.ms`.
    pub lag_max_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
}

/// A segment as the decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its first offset.
    pub base: Offset,
    /// The offset after its last record.
    pub next: Offset,
    /// Bytes.
    pub size: u64,
    /// Bytes of its offset index.
    pub offset_index: u64,
    /// Bytes of its time index.
    pub time_index: u64,
    /// Its first batch's timestamp, when known.
    pub first: Option<TimestampMs>,
    /// Its largest timestamp, or when it was last written to.
    pub largest: TimestampMs,
}

/// A log as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The log's rules.
    pub config: CompactionConfig,
    /// Ascending; the last is the active one.
    pub segments: &'a [Source],
    /// First readable offset.
    pub log_start: Offset,
    /// End of what is decided: neither open transactions nor what is not acknowledged is cleaned.
    pub last_stable: Offset,
    /// Everything below was cleaned before (`cleaner-offset-checkpoint`).
    pub cleaned: Option<Offset>,
    /// The wall clock.
    pub now: TimestampMs,
}

/// What can be cleaned of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanable {
    /// First offset that was not cleaned before.
    pub first_dirty: Offset,
    /// Here cleaning must stop.
    pub upper: Offset,
    /// Bytes cleaned before.
    pub clean_bytes: u64,
    /// Bytes to clean.
    pub dirty_bytes: u64,
    /// A record has waited as long as it may.
    pub is_due: bool,
}

impl Cleanable {
    /// Share of what can be cleaned that was not, in millionths.
    #[must_use]
    pub fn ratio_millionths(&self) -> u32 {
        let total = u128::from(self.clean_bytes) + u128::from(self.dirty_bytes);
        (u128::from(self.dirty_bytes) * 1_000_000).checked_div(total).unwrap_or(0) as u32
    }

    /// Whether it is worth cleaning by the log's rules.
    #[must_use]
    pub fn is_wanted(&self, config: &CompactionConfig) -> bool {
        self.dirty_bytes > 0 && (self.is_due || self.ratio_millionths() > config.dirty_ratio_min_millionths)
    }
}

/// What can be cleaned now.
#[must_use]
pub fn cleanable(input: &Input<'_>) -> Cleanable {
    let Some((active, sealed)) = input.segments.split_last() else {
        let start = input.log_start;
        return Cleanable { first_dirty: start, upper: start, clean_bytes: 0, dirty_bytes: 0, is_due: false };
    };
    // A checkpoint outside the log is of another time: everything counts as dirty then.
    let within = |offset: &Offset| (input.log_start..=active.next).contains(offset);
    let first_dirty = input.cleaned.filter(within).unwrap_or(input.log_start);
    let is_young =
        |segment: &&Source| segment.largest.0 > input.now.0.saturating_sub(input.config.lag_min_ms);
    let young = match input.config.lag_min_ms {
        1.. => sealed.iter().filter(|segment| segment.next > first_dirty).find(is_young),
        _ => None,
    };
    let upper = young.map_or(active.base, |segment| segment.base).min(active.base).min(input.last_stable);
    let below = |end: Offset| sealed.iter().filter(move |segment| segment.base < end);
    let clean_bytes = below(first_dirty).map(|segment| segment.size).sum();
    let dirty = || below(upper).filter(|segment| segment.base >= first_dirty || segment.next > first_dirty);
    let dirty_bytes = dirty().filter(|segment| segment.base >= first_dirty).map(|segment| segment.size).sum();
    let oldest = dirty().filter_map(|segment| segment.first).filter(|first| first.0 > 0).min();
    let is_due = oldest.is_some_and(|oldest| input.now.0.saturating_sub(oldest.0) > input.config.lag_max_ms);
    Cleanable { first_dirty, upper: upper.max(first_dirty), clean_bytes, dirty_bytes, is_due }
}

/// Sizes that no cleaned segment may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.index.bytes`.
    pub index_bytes: u64,
}

/// Joins neighbours into groups that each become one segment: how many of `segments` each group takes.
#[must_use]
pub fn group(segments: &[Source], limits: GroupLimits) -> Vec<usize> {
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some((first, others)) = rest.split_first() {
        let (mut size, mut offsets, mut times) = (first.size, first.offset_index, first.time_index);
        let fits = |segment: &&Source| {
            size += segment.size;
            offsets += segment.offset_index;
            times += segment.time_index;
            let relative = segment.next.0 - 1 - first.base.0;
            size <= limits.segment_bytes
                && offsets <= limits.index_bytes
                && times <= limits.index_bytes
                && relative <= i64::from(i32::MAX)
        };
        let count = 1 + others.iter().take_while(fits).count();
        groups.push(count);
        rest = &rest[count..];
    }
    groups
}
