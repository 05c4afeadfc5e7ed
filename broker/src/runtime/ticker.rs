//! The tick of every shard comes from a thread of its own, not from a glommio timer.
//!
//! glommio 0.9 can park with runnable tasks, and then only a completion ends the sleep (GLOMMIO 1.4). A timer task on the
//! shard is no cure: seen here under load, the runnable task left behind was the timer task itself, no timer was armed any
//! more, and the core slept for good. A wake-up from another thread goes through the reactor's own eventfd, whatever state
//! the shard's tasks are in, so it bounds such a sleep to one tick.
//!
//! That takes a task that has run once. Seen here at starts on a busy machine: an executor parked before it had run
//! anything at all, and slept for good. So a shard is known here before its executor runs, and one that does not come to
//! its ticks gets a signal, which ends any wait in the kernel.
//!
//! A shard that has nothing to do is ticked less often:
//! waking a glommio executor costs some 100 us (GLOMMIO 1.2), and at every tick that would be a tenth of an idle core.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use super::timers::TICK;
use super::{Driver, Instant, Runtime, uring};

/// Ticks that a shard may miss before it is left alone until it runs again: glommio counts a task's wakers in 16 bits.
const MISSED_MAX: u32 = 1_000;

/// An idle shard is woken at every so many ticks.
const IDLE_TICKS: u32 = 10;

/// A shard that did not come to a tick for so long gets a signal.
const SIGNAL_AFTER: Duration = Duration::from_millis(40);
/// Ignored by default and used for nothing else here.
const WAKING_SIGNAL: libc::c_int = libc::SIGURG;

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
    /// Of its tick task, once that has run.
    waker: Option<Waker>,
    pulse: Arc<Pulse>,
    /// Its thread, for signals.
    thread: libc::pid_t,
}

type Shards = Arc<Mutex<Vec<Shard>>>;

/// Lets `WAKING_SIGNAL` interrupt waits, and do nothing else. Once per process.
pub(super) fn prepare_process() -> io::Result<()> {
    // SAFETY: the action does nothing.
    unsafe { signal_hook::low_level::register(WAKING_SIGNAL, || ()) }.map(|_| ())
}

/// Makes this thread's shard known, before its executor runs.
pub(super) fn watch(pulse: &Arc<Pulse>) {
    // SAFETY: gettid has no preconditions.
    let thread = unsafe { libc::gettid() };
    lock(shards()).push(Shard { waker: None, pulse: pulse.clone(), thread });
}

/// Advances the shard's timer wheel at every tick; runs as long as the shard.
pub(super) async fn tick(runtime: Rc<Runtime>, pulse: Arc<Pulse>) {
    let mut registered = false;
    poll_fn(|context| {
        if !registered {
            registered = true;
            let mut shards = lock(shards());
            let shard = shards.iter_mut().find(|shard| Arc::ptr_eq(&shard.pulse, &pulse));
            shard.expect("watched before its executor ran").waker = Some(context.waker().clone());
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

fn lock(shards: &Shards) -> MutexGuard<'_, Vec<Shard>> {
    shards.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shards() -> &'static Shards {
    static SHARDS: OnceLock<Shards> = OnceLock::new();
    SHARDS.get_or_init(|| {
        let shards = Shards::default();
        let ticked = Arc::clone(&shards);
        let thread = std::thread::Builder::new().name("ticker".to_owned()).spawn(move || run(&ticked));
        // Without it no timer fires: the process can't go on.
        thread.expect("a thread for the ticker");
        shards
    })
}

fn run(shards: &Shards) -> ! {
    let mut ticks = 0_u32;
    loop {
        std::thread::sleep(TICK);
        ticks = ticks.wrapping_add(1);
        let now = uring::now();
        for shard in lock(shards).iter() {
            shard.tick(now, ticks.is_multiple_of(IDLE_TICKS));
        }
    }
}

impl Shard {
    fn tick(&self, now: Instant, idle_tick: bool) {
        let pulse = &self.pulse;
        if !pulse.active.swap(false, Ordering::Relaxed) && !idle_tick {
            return;
        }
        let missed = pulse.missed.load(Ordering::Relaxed);
        if missed == 0 {
            pulse.due.store(now.0, Ordering::Relaxed);
        } else if now.since(Instant(pulse.due.load(Ordering::Relaxed))) >= SIGNAL_AFTER {
            // SAFETY: no memory is touched. A thread that has ended is not found, which is fine.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.thread, WAKING_SIGNAL) };
        }
        pulse.missed.fetch_add(1, Ordering::AcqRel);
        if let Some(waker) = self.waker.as_ref().filter(|_| missed < MISSED_MAX) {
            waker.wake_by_ref();
        }
    }
}
