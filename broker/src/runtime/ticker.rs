//! The tick of every shard comes from a thread of its own, not from a glommio timer.
//!
//! glommio 0.9 can park with runnable tasks, and then only a completion ends the sleep (GLOMMIO 1.4). A timer task on the
//! shard is no cure: seen here under load, the runnable task left behind was the timer task itself, no timer was armed any
//! more, and the core slept for good. A wake-up from another thread goes through the reactor's own eventfd, whatever state
//! the shard's tasks are in, so it bounds such a sleep to one tick. A shard that has nothing to do is ticked less often:
//! waking a glommio executor costs some 100 us (GLOMMIO 1.2), and at every tick that would be a tenth of an idle core.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::timers::TICK;
use super::{Driver, Instant, Runtime, uring};

/// Ticks that a shard may miss before it is left alone until it runs again: glommio counts a task's wakers in 16 bits.
const MISSED_MAX: u32 = 1_000;

/// An idle shard is woken at every so many ticks.
const IDLE_TICKS: u32 = 10;

/// What a shard and the ticker share.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// The shard did something since the last tick.
    active: AtomicBool,
    /// Ticks since the shard last ran.
    missed: AtomicU32,
    /// When the first of them was due, by `uring::now`.
    due: AtomicU64,
}

impl Pulse {
    /// The shard has something to do: it is ticked at every tick for now.
    pub(crate) fn beat(&self) {
        self.active.store(true, Ordering::Relaxed);
    }
}

type OnHeld = Box<dyn Fn(Duration)>;

thread_local! {
    static ON_HELD: RefCell<Option<OnHeld>> = const { RefCell::new(None) };
}

/// Tells `observe` at every tick of this shard how late it came: how long something else held the core, to one tick.
pub(super) fn on_held(observe: OnHeld) {
    ON_HELD.with(|slot| *slot.borrow_mut() = Some(observe));
}

/// One shard as the ticker knows it.
struct Shard {
    waker: Waker,
    pulse: Arc<Pulse>,
}

/// Advances the shard's timer wheel at every tick; runs as long as the shard.
pub(super) async fn tick(runtime: Rc<Runtime>, pulse: Arc<Pulse>) {
    let mut registered = false;
    poll_fn(|context| {
        if !registered {
            registered = true;
            register(Shard { waker: context.waker().clone(), pulse: pulse.clone() });
        }
        if pulse.missed.swap(0, Ordering::AcqRel) > 0 {
            let late = uring::now().since(Instant(pulse.due.load(Ordering::Relaxed)));
            ON_HELD.with(|observe| observe.borrow().iter().for_each(|observe| observe(late)));
        }
        #[cfg_attr(not(feature = "sim"), allow(irrefutable_let_patterns))]
        if let Driver::Uring(driver) = &runtime.driver {
            runtime.timers.advance(driver.now());
        }
        Poll::<()>::Pending
    })
    .await;
}

fn register(shard: Shard) {
    static SHARDS: OnceLock<Arc<Mutex<Vec<Shard>>>> = OnceLock::new();
    let shards = SHARDS.get_or_init(|| {
        let shards = Arc::new(Mutex::new(Vec::new()));
        let ticked = Arc::clone(&shards);
        let thread = std::thread::Builder::new().name("ticker".to_owned()).spawn(move || run(&ticked));
        // Without it no timer fires: the process can't go on.
        thread.expect("a thread for the ticker");
        shards
    });
    shards.lock().unwrap_or_else(PoisonError::into_inner).push(shard);
}

fn run(shards: &Mutex<Vec<Shard>>) -> ! {
    let mut ticks = 0_u32;
    loop {
        std::thread::sleep(TICK);
        ticks = ticks.wrapping_add(1);
        for Shard { waker, pulse } in shards.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let due = pulse.active.swap(false, Ordering::Relaxed) || ticks.is_multiple_of(IDLE_TICKS);
            if due && pulse.missed.load(Ordering::Relaxed) == 0 {
                pulse.due.store(uring::now().0, Ordering::Relaxed);
            }
            if due && pulse.missed.fetch_add(1, Ordering::AcqRel) < MISSED_MAX {
                waker.wake_by_ref();
            }
        }
    }
}
