//! When a log begins a new segment: Kafka's rules (`LogSegment.shouldRoll`, `timeWaitedForRoll`) as a pure function.

use slipring_protocol::ids::{Offset, TimestampMs};

/// What the decision looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollInput {
    /// Bytes in the active segment.
    pub(crate) size: u64,
    /// Bytes to append.
    pub(crate) batch_size: u64,
    /// `segment.bytes`.
    pub(crate) segment_bytes: u64,
    /// `segment.ms` less this segment's jitter.
    pub(crate) roll_ms: i64,
    /// Largest timestamp of the segment's first batch, when known.
    pub(crate) first_timestamp: Option<TimestampMs>,
    /// When the segment was made.
    pub(crate) created: TimestampMs,
    /// Largest timestamp of the batch to append.
    pub(crate) batch_timestamp: TimestampMs,
    pub(crate) now: TimestampMs,
    /// No further index entry fits.
    pub(crate) index_full: bool,
    /// The segment's base offset.
    pub(crate) base: Offset,
    /// Last offset of the batch to append.
    pub(crate) last_offset: Offset,
}

/// Whether the batch goes into a new segment.
pub(crate) fn should_roll(input: &RollInput) -> bool {
    let full = input.size > 0 && input.size + input.batch_size > input.segment_bytes;
    let old = input.size > 0 && waited_ms(input) > input.roll_ms;
    let relative = input.last_offset.0.saturating_sub(input.base.0);
    full || old || input.index_full || relative > i64::from(i32::MAX)
}

/// Time by the records' own clock when the first batch carried a timestamp, else by ours.
fn waited_ms(input: &RollInput) -> i64 {
    match input.first_timestamp.filter(|first| first.0 >= 0) {
        Some(first) => input.batch_timestamp.0.saturating_sub(first.0),
        None => input.now.0.saturating_sub(input.created.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> RollInput {
        RollInput {
            size: 500,
            batch_size: 100,
            segment_bytes: 1_000,
            roll_ms: 1_000,
            first_timestamp: Some(TimestampMs(10_000)),
            created: TimestampMs(0),
            batch_timestamp: TimestampMs(10_500),
            now: TimestampMs(1 << 40),
            index_full: false,
            base: Offset(7),
            last_offset: Offset(9),
        }
    }

    #[test]
    fn rolls_for_each_reason_and_no_other() {
        assert!(!should_roll(&input()));
        assert!(!should_roll(&RollInput { batch_size: 500, ..input() }));
        assert!(should_roll(&RollInput { batch_size: 501, ..input() }));
        assert!(
            !should_roll(&RollInput { size: 0, batch_size: 5_000, ..input() }),
            "an empty segment takes it"
        );
        assert!(should_roll(&RollInput { batch_timestamp: TimestampMs(11_001), ..input() }));
        assert!(
            should_roll(&RollInput { first_timestamp: None, ..input() }),
            "by our clock without timestamps"
        );
        assert!(should_roll(&RollInput { index_full: true, ..input() }));
        let far = i64::from(i32::MAX) + 8;
        assert!(!should_roll(&RollInput { last_offset: Offset(far - 1), ..input() }));
        assert!(should_roll(&RollInput { last_offset: Offset(far), ..input() }));
    }
}
