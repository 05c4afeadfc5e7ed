//! One timer wheel per shard. A long-poll fetch, a group's session or an idle connection costs an entry in a slot, never
//! a kernel timer (GLOMMIO 1.2: each glommio timer is a tree node and two map entries, and every turn walks them).

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Instant;

/// How fine the wheel is; also how long a shard can oversleep (`ticker`).
pub const TICK: Duration = Duration::from_millis(2);
const TICK_US: u64 = 2_000;
/// Slots of one turn of the wheel: about a second. Later deadlines go round more than once.
const SLOTS: usize = 512;

/// Deadlines of one shard, by tick.
pub(crate) struct TimerWheel {
    slots: RefCell<Vec<Vec<Rc<Entry>>>>,
    /// The last tick that `advance` has seen.
    current: Cell<u64>,
}

struct Entry {
    tick: u64,
    state: RefCell<State>,
}

enum State {
    Waiting(Option<Waker>),
    Fired,
    Dropped,
}

impl TimerWheel {
    pub(crate) fn new() -> Self {
        Self { slots: RefCell::new((0..SLOTS).map(|_| Vec::new()).collect()), current: Cell::new(0) }
    }

    /// A future that completes at the first tick at or after `deadline`.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep {
        let tick = deadline.0.div_ceil(TICK_US).max(self.current.get() + 1);
        let entry = Rc::new(Entry { tick, state: RefCell::new(State::Waiting(None)) });
        self.slots.borrow_mut()[slot_of(tick)].push(entry.clone());
        Sleep { entry }
    }

    /// Fires everything due by `now`. At most one turn of the wheel is walked, however long the shard was away.
    pub(crate) fn advance(&self, now: Instant) {
        let target = now.0 / TICK_US;
        let from = self.current.get() + 1;
        if target < from {
            return;
        }
        self.current.set(target);
        let last = target.min(from + SLOTS as u64 - 1);
        for tick in from..=last {
            let due = {
                let slots = &mut self.slots.borrow_mut()[slot_of(tick)];
                let mut due = Vec::new();
                slots.retain(|entry| {
                    let dropped = matches!(*entry.state.borrow(), State::Dropped);
                    if !dropped && entry.tick <= target {
                        due.push(entry.clone());
                    }
                    !dropped && entry.tick > target
                });
                due
            };
            for entry in due {
                entry.fire();
            }
        }
    }

    /// The earliest deadline, for a driver whose time only moves when nothing can run.
    #[cfg(feature = "sim")]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let slots = self.slots.borrow();
        let live = slots.iter().flatten().filter(|entry| matches!(*entry.state.borrow(), State::Waiting(_)));
        live.map(|entry| Instant(entry.tick * TICK_US)).min()
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

impl Entry {
    fn fire(&self) {
        let previous = std::mem::replace(&mut *self.state.borrow_mut(), State::Fired);
        if let State::Waiting(Some(waker)) = previous {
            waker.wake();
        }
    }
}

/// A wait for a deadline. Dropping it is fine: its entry leaves the wheel when its slot comes by.
pub(crate) struct Sleep {
    entry: Rc<Entry>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut *self.entry.state.borrow_mut() {
            State::Fired => Poll::Ready(()),
            State::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            State::Dropped => Poll::Pending,
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let mut state = self.entry.state.borrow_mut();
        if matches!(*state, State::Waiting(_)) {
            *state = State::Dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(sleep: &mut Sleep) -> bool {
        Pin::new(sleep).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn fires_at_the_deadline_and_not_before() {
        let wheel = TimerWheel::new();
        let mut near = wheel.sleep_until(Instant(10_000));
        // More than one turn of the wheel away.
        let mut far = wheel.sleep_until(Instant(3_000_000));
        wheel.advance(Instant(8_000));
        assert!(!ready(&mut near));
        wheel.advance(Instant(10_000));
        assert!(ready(&mut near) && !ready(&mut far));
        for at in (12_000..3_000_000).step_by(2_000) {
            wheel.advance(Instant(at));
            assert!(!ready(&mut far), "early at {at}");
        }
        wheel.advance(Instant(3_000_000));
        assert!(ready(&mut far));
    }

    #[test]
    fn a_long_pause_fires_everything_due() {
        let wheel = TimerWheel::new();
        let mut sleeps: Vec<_> = (1..2_000u64).map(|n| wheel.sleep_until(Instant(n * 1_500))).collect();
        wheel.advance(Instant(60_000_000));
        assert!(sleeps.iter_mut().all(ready));
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_behind() {
        let wheel = TimerWheel::new();
        for _ in 0..1_000 {
            drop(wheel.sleep_until(Instant(5_000)));
        }
        wheel.advance(Instant(6_000));
        assert!(wheel.slots.borrow().iter().all(Vec::is_empty));
    }
}
