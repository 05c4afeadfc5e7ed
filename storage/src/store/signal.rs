//! Waiting inside one core without a runtime: a signal that wakes whoever waits, and a gate that lets one through at a
//! time. Never crosses threads.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes all who wait.
#[derive(Default)]
pub(super) struct Signal {
    /// Counts notifications; a waiter remembers the count it saw last.
    count: Cell<u64>,
    seen: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    pub(super) fn notify(&self) {
        self.count.set(self.count.get() + 1);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Resolves at the next notification, or at once when there was one since the last wait. For one waiter.
    pub(super) async fn wait(&self) {
        poll_fn(|context| {
            if self.count.get() > self.seen.get() {
                self.seen.set(self.count.get());
                return Poll::Ready(());
            }
            self.remember(context.waker());
            Poll::Pending
        })
        .await;
    }

    fn remember(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// Resolves at the next notification after this call.
    pub(super) fn next(&self) -> impl Future<Output = ()> + '_ {
        let before = self.count.get();
        self.wait_until(move || self.count.get() > before)
    }

    /// Resolves once `done` holds; it is asked again at every notification.
    pub(super) async fn wait_until(&self, done: impl Fn() -> bool) {
        poll_fn(|context| {
            if done() {
                return Poll::Ready(());
            }
            self.remember(context.waker());
            Poll::Pending
        })
        .await;
    }
}

/// Lets one through at a time.
#[derive(Default)]
pub(super) struct Gate {
    taken: Cell<bool>,
    freed: Signal,
}

/// Holds a gate until it is dropped.
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    pub(super) async fn enter(&self) -> Pass<'_> {
        self.freed.wait_until(|| !self.taken.get()).await;
        self.taken.set(true);
        Pass(self)
    }

    /// A pass; `None` when `done` holds before there is one. It is asked again when the gate is freed or poked.
    pub(super) async fn enter_unless(&self, done: impl Fn() -> bool) -> Option<Pass<'_>> {
        self.freed.wait_until(|| !self.taken.get() || done()).await;
        if done() {
            return None;
        }
        self.taken.set(true);
        Some(Pass(self))
    }

    /// Lets those who wait look again.
    pub(super) fn poke(&self) {
        self.freed.notify();
    }

    /// A pass if the gate is free.
    pub(super) fn try_enter(&self) -> Option<Pass<'_>> {
        // Lazily: a pass made and dropped in vain would free the gate under whoever holds it.
        (!self.taken.replace(true)).then(|| Pass(self))
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.taken.set(false);
        self.0.freed.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_is_tried_in_vain_stays_shut() {
        let gate = Gate::default();
        let held = gate.try_enter();
        assert!(held.is_some());
        assert!(gate.try_enter().is_none());
        assert!(gate.try_enter().is_none(), "the first attempt did not open it");
        drop(held);
        assert!(gate.try_enter().is_some());
    }
}
