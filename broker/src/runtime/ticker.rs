//! The tick of every shard comes from a thread of its own, not from a glommio timer.
//!
//! glommio 0.9 can park with runnable tasks, and then only a completion ends the sleep (GLOMMIO 1.4). A timer task on the
//! shard is no cure: seen here under load, the runnable task left behind was the timer task itself, no timer was armed any
//! more, and the core slept for good. A wake-up from another thread goes through the reactor's own eventfd, whatever state
//! the shard's tasks are in, so it bounds such a sleep to one tick.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};

use super::timers::TICK;
use super::{Driver, Runtime};

/// Ticks that a shard may miss before it is left alone until it runs again: glommio counts a task's wakers in 16 bits.
const MISSED_MAX: u32 = 1_000;

/// One shard as the ticker knows it.
struct Shard {
    waker: Waker,
    /// Ticks since the shard last ran.
    missed: Arc<AtomicU32>,
}

/// Advances the shard's timer wheel at every tick; runs as long as the shard.
pub(super) async fn tick(runtime: Rc<Runtime>) {
    let missed = Arc::new(AtomicU32::new(0));
    let mut registered = false;
    poll_fn(|context| {
        if !registered {
            registered = true;
            register(Shard { waker: context.waker().clone(), missed: missed.clone() });
        }
        missed.store(0, Ordering::Relaxed);
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
    loop {
        std::thread::sleep(TICK);
        for shard in shards.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if shard.missed.fetch_add(1, Ordering::Relaxed) < MISSED_MAX {
                shard.waker.wake_by_ref();
            }
        }
    }
}
