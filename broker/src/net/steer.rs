//! Which core should serve a connection: the one that owns the partitions it works with, so that its requests need no hop.
//! A hop costs two wakes of a core that may be asleep, some 60 us each way where waking is slow; a moved socket costs that once.
//! Pure bookkeeping of one connection; the move itself is `net::connection`'s.

use std::cell::Cell;

use crate::runtime::mailbox::ShardId;

/// Requests in a row for partitions of one other core after which a connection wants to move there.
const STREAK: u32 = 32;
/// Every move makes the next one so many times less likely: a client that goes round its partitions is left in peace.
const PATIENCE: u32 = 8;
/// A core that has so many connections more than this one is not moved to: many clients of one partition share the work of
/// checking and sending.
pub(super) const AHEAD_MAX: i64 = 3;

/// Where a connection's requests go.
#[derive(Debug)]
pub struct Steering {
    towards: Cell<ShardId>,
    streak: Cell<u32>,
    streak_wanted: Cell<u32>,
}

impl Steering {
    /// For a connection that has moved `moves` times.
    #[must_use]
    pub fn new(moves: u32) -> Self {
        let wanted = STREAK.saturating_mul(PATIENCE.saturating_pow(moves));
        Self { towards: Cell::default(), streak: Cell::new(0), streak_wanted: Cell::new(wanted) }
    }

    /// Notes a request whose partitions belong to `owners`.
    pub fn note(&self, own: ShardId, mut owners: impl Iterator<Item = ShardId>) {
        let Some(owner) = owners.next() else { return };
        let streak = if owner == own || owners.any(|other| other != owner) {
            0
        } else if owner == self.towards.get() {
            self.streak.get().saturating_add(1)
        } else {
            1
        };
        self.towards.set(owner);
        self.streak.set(streak);
    }

    /// The core to move to, if any. Asked again only after as many requests as before.
    #[must_use]
    pub fn wanted(&self) -> Option<ShardId> {
        if self.streak.get() < self.streak_wanted.get() {
            return None;
        }
        self.streak.set(0);
        Some(self.towards.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: ShardId = ShardId(0);

    fn note(steering: &Steering, times: u32, owners: &[u16]) {
        for _ in 0..times {
            steering.note(OWN, owners.iter().map(|owner| ShardId(*owner)));
        }
    }

    #[test]
    fn only_a_streak_for_one_other_core_moves_a_connection() {
        let steering = Steering::new(0);
        note(&steering, 10 * STREAK, &[0]);
        assert_eq!(steering.wanted(), None, "it is where it belongs");
        note(&steering, 10 * STREAK, &[1, 2]);
        assert_eq!(steering.wanted(), None, "it belongs nowhere");
        note(&steering, STREAK - 1, &[1, 1]);
        note(&steering, 1, &[2]);
        assert_eq!(steering.wanted(), None, "it changed its mind");
        note(&steering, STREAK, &[1]);
        note(&steering, 1, &[]);
        assert_eq!(steering.wanted(), Some(ShardId(1)));
        assert_eq!(steering.wanted(), None, "the answer stands for a while");
    }

    #[test]
    fn every_move_asks_for_a_longer_streak() {
        let steering = Steering::new(1);
        note(&steering, STREAK * PATIENCE - 1, &[1]);
        assert_eq!(steering.wanted(), None);
        note(&steering, 1, &[1]);
        assert_eq!(steering.wanted(), Some(ShardId(1)));
        note(&Steering::new(40), 3, &[1]);
    }
}
