//! A one-slot notification between tasks of one shard. Setting it before the wait is not lost.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Set by any task of the shard, awaited by one.
#[derive(Default)]
pub struct Signal {
    set: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Signal {
    /// Wakes the waiter, or lets the next wait return at once.
    pub fn set(&self) {
        self.set.set(true);
        if let Some(waker) = self.waiter.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits until the signal is set, and clears it.
    pub async fn wait(&self) {
        poll_fn(|context| {
            if self.set.replace(false) {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Tasks of one shard that wait for the same condition; each checks it again after every wake-up.
#[derive(Default)]
pub struct WaitQueue {
    waiters: RefCell<Vec<Waker>>,
}

impl WaitQueue {
    /// Wakes every waiter.
    pub fn wake_all(&self) {
        for waker in self.waiters.take() {
            waker.wake();
        }
    }

    /// Waits until `condition` holds; it is tried at once and after every `wake_all`.
    pub async fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        poll_fn(|context| {
            if condition() {
                return Poll::Ready(());
            }
            self.waiters.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
