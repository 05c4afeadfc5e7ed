//! Which segments of a log may go (Kafka's `UnifiedLog.deleteOldSegments`): by age, by size, and those wholly below the log
//! start. Pure; the owner's core carries the verdict out.

use slipring_protocol::ids::{Offset, TimestampMs};

/// What becomes of a log's old records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionConfig {
    /// `cleanup.policy` names `delete`. Without it only segments below the log start go.
    pub delete: bool,
    /// `retention.ms`; `None` for no limit.
    pub ms: Option<i64>,
    /// `retention.bytes`; `None` for no limit.
    pub bytes: Option<u64>,
    /// `file.delete.delay.ms`: how long the files of a deleted segment stay, under another name.
    pub file_delete_delay_ms: u64,
}

/// A segment as the decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) base: Offset,
    pub(crate) size: u64,
    /// Its largest timestamp, else when it was last written to; `None` when its index has to be loaded to know.
    pub(crate) largest: Option<TimestampMs>,
}

/// A log as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) config: RetentionConfig,
    /// Ascending; the last is the active one.
    pub(crate) segments: &'a [Candidate],
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) now: TimestampMs,
}

/// What may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So many of the oldest segments; all of them when even the active one is to go, which then has to roll first.
    Delete(usize),
    /// The largest timestamp of this segment has to be found out first.
    NeedsTimestamp(Offset),
}

/// How many of the oldest segments may go now.
pub(crate) fn deletable(input: &Input<'_>) -> Verdict {
    let mut count = below_log_start(input);
    if input.config.delete {
        count = beyond_size(input, count);
        match beyond_age(input, count) {
            Ok(found) => count = found,
            Err(base) => return Verdict::NeedsTimestamp(base),
        }
    }
    Verdict::Delete(count)
}

/// Segments whose successor begins at or below the log start.
fn below_log_start(input: &Input<'_>) -> usize {
    let is_below = |at: usize| input.segments.get(at + 1).is_some_and(|next| next.base <= input.log_start);
    (0..input.segments.len()).take_while(|at| is_committed(input, *at) && is_below(*at)).count()
}

/// Takes segments as long as at least `retention.bytes` are left without them.
fn beyond_size(input: &Input<'_>, count: usize) -> usize {
    let Some(limit) = input.config.bytes else { return count };
    let total: u64 = input.segments[count..].iter().map(|segment| segment.size).sum();
    let Some(mut surplus) = total.checked_sub(limit) else { return count };
    let mut count = count;
    while may_go(input, count) && input.segments[count].size <= surplus {
        surplus -= input.segments[count].size;
        count += 1;
    }
    count
}

fn beyond_age(input: &Input<'_>, count: usize) -> Result<usize, Offset> {
    let Some(limit) = input.config.ms else { return Ok(count) };
    let mut count = count;
    while may_go(input, count) {
        let segment = input.segments[count];
        let largest = segment.largest.ok_or(segment.base)?;
        if input.now.0.saturating_sub(largest.0) <= limit {
            break;
        }
        count += 1;
    }
    Ok(count)
}

/// An empty active segment has nothing to give; it would only roll onto itself.
fn may_go(input: &Input<'_>, at: usize) -> bool {
    let last_and_empty = at + 1 == input.segments.len() && input.segments[at].size == 0;
    at < input.segments.len() && !last_and_empty && is_committed(input, at)
}

/// Nothing at or beyond the high watermark goes.
fn is_committed(input: &Input<'_>, at: usize) -> bool {
    let end = input.segments.get(at + 1).map_or(input.log_end, |next| next.base);
    input.high_watermark >= end
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: RetentionConfig =
        RetentionConfig { delete: true, ms: None, bytes: None, file_delete_delay_ms: 0 };

    /// Four segments of 100 bytes and ten records each; the timestamps rise by 1,000.
    fn segments() -> Vec<Candidate> {
        (0..4)
            .map(|at| Candidate {
                base: Offset(at * 10),
                size: 100,
                largest: Some(TimestampMs(at * 1_000 + 1_000)),
            })
            .collect()
    }

    fn verdict(config: RetentionConfig, change: impl FnOnce(&mut Input<'_>)) -> Verdict {
        verdict_on(&segments(), config, change)
    }

    fn verdict_on(
        segments: &[Candidate],
        config: RetentionConfig,
        change: impl FnOnce(&mut Input<'_>),
    ) -> Verdict {
        let mut input = Input {
            config,
            segments,
            log_start: Offset(0),
            log_end: Offset(40),
            high_watermark: Offset(40),
            now: TimestampMs(10_000),
        };
        change(&mut input);
        deletable(&input)
    }

    #[test]
    fn age_counts_from_the_largest_timestamp() {
        let aged = |ms| RetentionConfig { ms: Some(ms), ..CONFIG };
        assert_eq!(verdict(aged(9_000), |_| ()), Verdict::Delete(0));
        assert_eq!(verdict(aged(8_999), |_| ()), Verdict::Delete(1));
        assert_eq!(verdict(aged(5_999), |_| ()), Verdict::Delete(4), "the active one too");
        assert_eq!(verdict(aged(0), |input| input.high_watermark = Offset(29)), Verdict::Delete(2));
        assert_eq!(verdict(aged(i64::MAX), |_| ()), Verdict::Delete(0));
        let kept = RetentionConfig { delete: false, ..aged(0) };
        assert_eq!(verdict(kept, |_| ()), Verdict::Delete(0));
    }

    #[test]
    fn a_young_segment_protects_those_behind_it() {
        let mut mixed = segments();
        mixed[1].largest = Some(TimestampMs(10_000));
        let config = RetentionConfig { ms: Some(1_000), ..CONFIG };
        assert_eq!(verdict_on(&mixed, config, |_| ()), Verdict::Delete(1));
        mixed[0].largest = None;
        assert_eq!(verdict_on(&mixed, config, |_| ()), Verdict::NeedsTimestamp(Offset(0)));
    }

    #[test]
    fn size_leaves_at_least_the_limit() {
        let sized = |bytes| RetentionConfig { bytes: Some(bytes), ..CONFIG };
        for (bytes, count) in [(401, 0), (400, 0), (301, 0), (300, 1), (299, 1), (100, 3), (99, 3), (0, 4)] {
            assert_eq!(verdict(sized(bytes), |_| ()), Verdict::Delete(count), "{bytes} bytes");
        }
    }

    #[test]
    fn segments_below_the_log_start_go_without_any_policy() {
        let config = RetentionConfig { delete: false, ..CONFIG };
        for (start, count) in [(0, 0), (9, 0), (10, 1), (39, 3), (40, 3)] {
            let found = verdict(config, |input| input.log_start = Offset(start));
            assert_eq!(found, Verdict::Delete(count), "log start {start}");
        }
    }

    #[test]
    fn an_empty_active_segment_stays() {
        let mut emptied = segments();
        emptied[3] = Candidate { base: Offset(40), size: 0, largest: Some(TimestampMs(0)) };
        let config = RetentionConfig { ms: Some(0), bytes: Some(0), ..CONFIG };
        assert_eq!(verdict_on(&emptied, config, |_| ()), Verdict::Delete(3));
    }
}
