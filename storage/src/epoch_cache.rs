//! Which leader epoch began at which offset of one log (Kafka's `LeaderEpochFileCache`). Lives with the log on its
//! owner's core; pure: the file `leader-epoch-checkpoint` is written by the caller from [`EpochCache::entries`].

use slipring_protocol::ids::{LeaderEpoch, Offset};

/// One reign: the epoch and the first offset written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Its first offset.
    pub start: Offset,
}

/// End of an epoch as OffsetForLeaderEpoch and Fetch answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest known epoch at or below the one asked for.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end: Offset,
}

impl EpochEnd {
    /// "Unknown", on the wire (-1, -1).
    pub const UNDEFINED: Self = Self { epoch: LeaderEpoch::NONE, end: Offset(-1) };
}

/// The reigns of one log; both epochs and start offsets rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// No epoch known.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Takes over a file's entries, each by [`EpochCache::assign`], which drops what contradicts.
    #[must_use]
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut cache = Self::new();
        for entry in entries {
            cache.assign(entry.epoch, entry.start);
        }
        cache
    }

    /// Epoch `epoch` began at `start`. Entries that do not lie before it in both are dropped. False when nothing changed,
    /// also for a negative epoch or offset; true when the file is to be written.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        let known = self.latest().is_some_and(|last| last.epoch == epoch && last.start <= start);
        if known || epoch.0 < 0 || start.0 < 0 {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start });
        true
    }

    /// Where the records of `requested` end, given the log's end (`LeaderEpochFileCache.endOffsetFor`): for the latest
    /// epoch the log's end, for an older one the start of the next, for one before all known ones the first start.
    #[must_use]
    pub fn end_offset_for(&self, requested: LeaderEpoch, log_end: Offset) -> EpochEnd {
        if requested == LeaderEpoch::NONE {
            return EpochEnd::UNDEFINED;
        }
        if self.latest().is_some_and(|last| last.epoch == requested) {
            return EpochEnd { epoch: requested, end: log_end };
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= requested);
        let Some(next) = self.entries.get(higher) else {
            return EpochEnd::UNDEFINED;
        };
        let epoch = higher.checked_sub(1).map_or(requested, |floor| self.entries[floor].epoch);
        EpochEnd { epoch, end: next.start }
    }

    /// The epoch that `offset` was (or would be) written in; `None` before the first known one.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self.entries.partition_point(|entry| entry.start <= offset);
        above.checked_sub(1).map(|at| self.entries[at].epoch)
    }

    /// The log now ends at `end`: drops epochs that began at or after it. True when something changed.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        if end.0 < 0 {
            return false;
        }
        let keep = self.entries.partition_point(|entry| entry.start < end);
        let changed = keep < self.entries.len();
        self.entries.truncate(keep);
        changed
    }

    /// The log now starts at `start`: drops epochs that ended before it and moves the first one's start up to it. True
    /// when something changed.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let above = self.entries.partition_point(|entry| entry.start <= start);
        let Some(first) = above.checked_sub(1) else {
            return false;
        };
        let changed = first > 0 || self.entries[first].start != start;
        self.entries.drain(..first);
        self.entries[0].start = start;
        changed
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The latest reign.
    #[must_use]
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The earliest reign.
    #[must_use]
    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// The reign before `epoch`.
    #[must_use]
    pub fn previous(&self, epoch: LeaderEpoch) -> Option<EpochEntry> {
        let at = self.entries.partition_point(|entry| entry.epoch < epoch);
        at.checked_sub(1).map(|at| self.entries[at])
    }

    /// All reigns in order, for the checkpoint file.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }
}

#[cfg(test)]
mod tests;
