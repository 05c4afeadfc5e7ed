//! How much memory the tails of a core's logs keep beyond what is not yet durable: little, so that the same warm memory is
//! used again and again, and more only after readers had to go to the disk for what a larger tail would have had. Pure.
//!
//! Measured on the reference VM, produce of 64 KiB batches: with 32 MiB a core 867 MB/s at 0.9 CPU-s/GB, with a tail that
//! grew into 6 GiB of fresh memory 268 MB/s at 4.1, two thirds of it zeroing pages.

use crate::limits::{TAIL_KEEP_BYTES_MIN, TAIL_RELAX_INTERVAL_MS};

/// What the tails may keep, between a small minimum and the configured budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailTarget {
    min: usize,
    max: usize,
    now: usize,
    missed: bool,
    relax_at_ms: u64,
}

impl TailTarget {
    pub(super) fn new(budget: usize) -> TailTarget {
        let min = TAIL_KEEP_BYTES_MIN.min(budget);
        TailTarget { min, max: budget, now: min, missed: false, relax_at_ms: 0 }
    }

    /// Bytes of chunks that the tails may keep now.
    pub(super) fn bytes(&self) -> usize {
        self.now
    }

    /// A read of up to `bytes` had to go to the disk, `behind` bytes before its log's end. Readers farther behind than any
    /// tail could reach do not count.
    pub(super) fn missed(&mut self, behind: u64, bytes: usize) {
        if behind <= self.max as u64 {
            self.now = self.now.saturating_add(bytes).min(self.max);
            self.missed = true;
        }
    }

    /// Gives back, step by step, what nobody has missed for a while. `now_ms`: a monotonic clock.
    pub(super) fn relax(&mut self, now_ms: u64) {
        if now_ms < self.relax_at_ms {
            return;
        }
        self.relax_at_ms = now_ms + TAIL_RELAX_INTERVAL_MS;
        if !std::mem::take(&mut self.missed) {
            self.now -= (self.now - self.min).div_ceil(8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_what_readers_miss_up_to_the_budget() {
        let mut target = TailTarget::new(1 << 30);
        assert_eq!(target.bytes(), TAIL_KEEP_BYTES_MIN);
        target.missed(100 << 20, 10 << 20);
        assert_eq!(target.bytes(), TAIL_KEEP_BYTES_MIN + (10 << 20));
        target.missed(2 << 30, 10 << 20);
        assert_eq!(target.bytes(), TAIL_KEEP_BYTES_MIN + (10 << 20), "no tail reaches that far");
        target.missed(1 << 20, usize::MAX);
        assert_eq!(target.bytes(), 1 << 30);
    }

    #[test]
    fn shrinks_to_the_minimum_once_nobody_misses_anything() {
        let mut target = TailTarget::new(1 << 30);
        target.missed(1, 512 << 20);
        let grown = target.bytes();
        target.relax(1);
        assert_eq!(target.bytes(), grown, "somebody missed something since the last look");
        target.relax(2);
        assert_eq!(target.bytes(), grown, "too early");
        let mut now_ms = 1;
        for _ in 0..400 {
            now_ms += TAIL_RELAX_INTERVAL_MS;
            target.relax(now_ms);
        }
        assert_eq!(target.bytes(), TAIL_KEEP_BYTES_MIN);
    }

    #[test]
    fn a_small_budget_is_the_minimum() {
        let mut target = TailTarget::new(4096);
        target.missed(1, 1 << 20);
        assert_eq!(target.bytes(), 4096);
    }
}
