//! A core's memory for requests that are still arriving, or whose records wait for their commit. A connection may always hold a
//! little; what needs more waits while the others hold too much, except one at a time, so that some request always gets
//! through. Whoever holds up others with a request that does not go on arriving is closed.

use std::cell::Cell;
use std::time::Duration;

use super::connection::ConnectionId;
use crate::runtime::Instant;
use crate::runtime::signal::WaitQueue;

/// What a connection holds without asking.
pub const FREE_BYTES: usize = 64 << 10;
/// How long a request may be arriving while others wait for the memory that it holds.
pub const HELD_UP_MAX: Duration = Duration::from_secs(10);

/// The memory of one core for requests.
pub struct NetworkBudget {
    bytes_max: usize,
    bytes: Cell<usize>,
    /// The one connection that may go beyond the limit.
    exempt: Cell<Option<ConnectionId>>,
    /// When somebody had to wait for the first time since there was room.
    full_since: Cell<Option<Instant>>,
    room: WaitQueue,
}

impl NetworkBudget {
    /// A budget of `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: Cell::new(0),
            exempt: Cell::new(None),
            full_since: Cell::new(None),
            room: WaitQueue::default(),
        }
    }

    /// Notes that a connection holds `now` bytes where it held `before`.
    pub fn changed(&self, before: usize, now: usize) {
        self.bytes.set(self.bytes.get() - before + now);
        if now < before && self.has_room() {
            self.full_since.set(None);
            self.room.wake_all();
        }
    }

    /// Waits until a connection that holds `held` bytes may take in more.
    pub async fn room_for(&self, connection: ConnectionId, held: usize, now: Instant) {
        if held <= FREE_BYTES || self.may_grow(connection) {
            return;
        }
        if self.full_since.get().is_none() {
            self.full_since.set(Some(now));
        }
        self.room.wait_until(|| self.may_grow(connection)).await;
    }

    /// The connection holds nothing any more, or is gone.
    pub fn released(&self, connection: ConnectionId) {
        if self.exempt.get() == Some(connection) {
            self.exempt.set(None);
            self.room.wake_all();
        }
    }

    /// Since when others have been waiting for memory.
    #[must_use]
    pub fn full_since(&self) -> Option<Instant> {
        self.full_since.get()
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    fn has_room(&self) -> bool {
        self.bytes.get() < self.bytes_max
    }

    fn may_grow(&self, connection: ConnectionId) -> bool {
        if self.has_room() || self.exempt.get() == Some(connection) {
            return true;
        }
        let free = self.exempt.get().is_none();
        if free {
            self.exempt.set(Some(connection));
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn waits(budget: &NetworkBudget, connection: u64, held: usize) -> bool {
        let future = pin!(budget.room_for(ConnectionId(connection), held, Instant(1)));
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn one_connection_may_go_beyond_the_limit_and_small_ones_never_wait() {
        let budget = NetworkBudget::new(1 << 20);
        budget.changed(0, 1 << 20);
        assert!(!waits(&budget, 1, FREE_BYTES));
        assert!(!waits(&budget, 1, FREE_BYTES + 1));
        assert!(waits(&budget, 2, FREE_BYTES + 1));
        assert_eq!(budget.full_since(), Some(Instant(1)));
        budget.released(ConnectionId(1));
        assert!(!waits(&budget, 2, FREE_BYTES + 1));
        budget.changed(1 << 20, 10);
        assert_eq!((budget.full_since(), budget.bytes()), (None, 10));
        assert!(!waits(&budget, 3, 1 << 20));
    }
}
