//! Crashes under load: producers write numbered records, the broker is killed with SIGKILL (also while it starts), or the
//! power is cut under its file system, and after every restart everything that was acknowledged or shown is looked for.

mod check;
mod content;
mod facts;
mod ledger;
mod producer;
mod rounds;
mod shared;
mod watcher;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use rounds::{Settings, run};
use shared::{Phase, Shared};

use content::Slot;
use producer::Habit;

/// Topics and their partitions.
const TOPICS: &[(&str, i32)] = &[("crash-one", 1), ("crash-many", 16)];

/// Every partition that is written; a [`Slot`] is an index into this.
const PLACES: &[(&str, i32)] = &{
    let mut places = [("crash-many", 0); 17];
    places[0] = ("crash-one", 0);
    let mut slot = 1;
    while slot < places.len() {
        places[slot].1 = slot as i32 - 1;
        slot += 1;
    }
    places
};

const ONE: std::ops::Range<Slot> = 0..1;
const MANY: std::ops::Range<Slot> = 1..PLACES.len();

/// The producers. Small batches go through the journal, large ones past it; here both meet in the same partitions.
fn fleet() -> Vec<Habit> {
    let idempotent = Habit {
        is_idempotent: true,
        acks: -1,
        slots: MANY,
        large_one_in: 0,
        partitions_max: 1,
        window: 5,
        share: 60,
    };
    let plain = Habit { is_idempotent: false, acks: 1, window: 8, ..idempotent.clone() };
    vec![
        Habit { partitions_max: 6, ..idempotent.clone() },
        Habit { large_one_in: 2, share: 300, ..idempotent.clone() },
        Habit { large_one_in: 16, slots: ONE, share: 160, ..idempotent.clone() },
        Habit { slots: ONE, ..idempotent },
        Habit { partitions_max: 3, ..plain.clone() },
        Habit { large_one_in: 3, partitions_max: 2, acks: -1, share: 240, ..plain.clone() },
        Habit { large_one_in: 24, slots: ONE, share: 120, ..plain },
    ]
}

/// A lock that outlives a panic of its holder, whose message has been printed by then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_a_whole() {
        assert_eq!(fleet().iter().map(|habit| habit.share).sum::<u64>(), 1000);
        assert!(TOPICS.iter().all(|(topic, partitions)| {
            let places = PLACES.iter().filter(|(name, _)| name == topic);
            places.map(|(_, partition)| *partition).eq(0..*partitions)
        }));
    }
}
