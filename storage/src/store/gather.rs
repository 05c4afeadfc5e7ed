//! What the next commit takes: logs with staged bytes in the order in which they got them, and those to be copied forward.
//! On the store's core, synchronous; nothing changes for a log before its commit is built.

use super::{LogId, State};
use crate::journal::build::commit_bytes_max;
use crate::limits::COMMIT_DIRECT_BYTES_MAX;
use crate::log::{LogDurability, Offer, PART_ESTIMATE, Planned};

/// A log's share of a commit.
pub(super) struct Taken {
    pub(super) id: LogId,
    pub(super) planned: Planned,
    pub(super) source: Source,
    /// Its parts are durable once written.
    pub(super) flushed: bool,
}

/// Which queue a log was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Dirty,
    Carry,
}

/// Which logs a commit takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All with staged bytes, and those to be copied forward.
    All,
    /// Only what is copied forward, to make room.
    Carry,
}

impl State {
    /// What the next commit takes, and the logs that have to wait for a later one.
    pub(super) fn gather(&mut self, scope: Scope) -> Gathered {
        let journal_max = self.journal_bytes_max();
        let fragment_max = journal_max - commit_bytes_max(0, 16).min(journal_max / 2);
        let switch = self.config.direct_switch_bytes.min(fragment_max / 2);
        let limits = Limits { switch, fragment_max };
        let carry_max = self.carry_bytes_max();
        let mut gathered = Gathered::default();
        while gathered.journal_bytes < carry_max {
            let Some(id) = self.carry.pop_front() else { break };
            self.gather_log(id, Source::Carry, scope, limits, &mut gathered);
        }
        if scope == Scope::All {
            for _ in 0..self.dirty.len() {
                let Some(id) = self.dirty.pop_front() else { break };
                self.gather_log(id, Source::Dirty, scope, limits, &mut gathered);
                if gathered.direct_bytes >= COMMIT_DIRECT_BYTES_MAX || gathered.journal_bytes >= fragment_max
                {
                    break;
                }
            }
        }
        for taken in &gathered.taken {
            if let Some(log) = self.logs.get_mut(taken.id) {
                log.gathered = false;
            }
        }
        gathered
    }

    fn gather_log(
        &mut self,
        id: LogId,
        source: Source,
        scope: Scope,
        limits: Limits,
        gathered: &mut Gathered,
    ) {
        let Some(log) = self.logs.get_mut(id) else { return };
        if log.gathered {
            // Copied forward in this very commit, staged bytes included.
            gathered.again.push((id, source));
            return;
        }
        let offer = match scope {
            Scope::All => log.offer(limits.switch, limits.fragment_max),
            Scope::Carry => log.offer_carry(),
        };
        match offer {
            Offer::Nothing => match source {
                Source::Dirty => log.queued = false,
                Source::Carry => log.carry = false,
            },
            Offer::NeedsFile(base) => {
                // Comes back as one with staged bytes.
                log.carry = false;
                self.files_due.push_back((id, base));
                match source {
                    Source::Dirty => self.waiting_for_file.push(id),
                    // Found again under its oldest commit when the file is open.
                    Source::Carry => log.carry = false,
                }
            }
            Offer::Parts(planned) => {
                let bytes = planned.fragment_bytes + planned.parts.len() * PART_ESTIMATE;
                if gathered.journal_bytes + bytes > limits.fragment_max && !gathered.taken.is_empty() {
                    gathered.later.push((id, source));
                    return;
                }
                log.gathered = true;
                let flushed = log.config.durability == LogDurability::Flushed;
                gathered.journal_bytes += bytes;
                gathered.direct_bytes += planned.direct_bytes;
                gathered.taken.push(Taken { id, planned, source, flushed });
            }
        }
    }

    /// Puts back what the commit does not take after all, in the old order.
    pub(super) fn put_back(&mut self, logs: Vec<(LogId, Source)>) {
        for (id, source) in logs.into_iter().rev() {
            match source {
                Source::Dirty => self.dirty.push_front(id),
                Source::Carry => self.carry.push_front(id),
            }
        }
    }
}

/// What a round of gathering found so far.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) taken: Vec<Taken>,
    pub(super) later: Vec<(LogId, Source)>,
    /// Met a second time: of no account if the commit comes about.
    pub(super) again: Vec<(LogId, Source)>,
    pub(super) journal_bytes: usize,
    pub(super) direct_bytes: usize,
}

/// What a commit may take of one log.
#[derive(Clone, Copy)]
struct Limits {
    switch: usize,
    fragment_max: usize,
}
