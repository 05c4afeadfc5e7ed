//! The coordinator's time-outs as data: what is due when. The host asks for the next one and calls back; nothing here knows a
//! clock. One time-out for each key: setting it again moves it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a time-out is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKey {
    /// The session of a member, or of a member that was given an id and has not joined yet.
    Session(Arc<str>, Arc<str>),
    /// The join phase of a group.
    Join(Arc<str>),
    /// The members of a group that have not asked for their assignment.
    Sync(Arc<str>),
    /// A member of a group of the consumer protocol.
    Member(MemberTimer, Arc<str>, Arc<str>),
    /// Offsets and groups that nobody uses any more.
    Expiry,
}

/// What a member of a group of the consumer protocol has time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MemberTimer {
    /// To be heard of.
    Session,
    /// To give up partitions.
    Rebalance,
}

impl MemberTimer {
    pub(super) const ALL: [Self; 2] = [Self::Session, Self::Rebalance];
}

/// What to do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerWork {
    /// The member is gone unless it waits for us.
    EndSession,
    /// Go on without those who have not joined.
    CompleteJoin,
    /// A new group has waited for this long for more members, and may wait for so much longer.
    InitialRebalance {
        /// The delay that ends now, in milliseconds.
        delay_ms: u64,
        /// What is left of the rebalance time-out, in milliseconds.
        remaining_ms: u64,
    },
    /// Go on without those who have not asked for the assignment of this generation.
    EndSync {
        /// The generation.
        generation: i32,
    },
    /// The member is out, unless it has left this epoch.
    FenceMember {
        /// The epoch, if it matters.
        epoch: Option<i32>,
    },
    /// Look for what has expired.
    Expire,
}

/// All time-outs, in milliseconds of the steady clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<TimerKey, (u64, TimerWork)>,
    queue: BTreeSet<(u64, TimerKey)>,
}

impl Timers {
    pub(super) fn set(&mut self, key: TimerKey, at_ms: u64, work: TimerWork) {
        self.cancel(&key);
        self.queue.insert((at_ms, key.clone()));
        self.due.insert(key, (at_ms, work));
    }

    pub(super) fn cancel(&mut self, key: &TimerKey) {
        if let Some((at_ms, _)) = self.due.remove(key) {
            self.queue.remove(&(at_ms, key.clone()));
        }
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        self.queue.first().map(|(at_ms, _)| *at_ms)
    }

    /// Takes the earliest time-out that is due.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<(TimerKey, TimerWork)> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        let (_, work) = self.due.remove(&key).expect("both sides hold the same keys");
        Some((key, work))
    }

    #[cfg(test)]
    pub(super) fn has(&self, key: &TimerKey) -> bool {
        self.due.contains_key(key)
    }
}
