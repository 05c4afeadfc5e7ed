//! The seam between the broker and what drives it: clock and timer wheel, spawn, connection, mailbox mesh (files are
//! `slipring_storage::disk`). Two drivers stand behind it: glommio with io_uring, and with the `sim` feature a seeded
//! single-threaded simulation with virtual time. Nothing else in the broker names glommio.
//!
//! Rules that the published glommio needs are kept here, each where it applies:
//! a periodic wake-up of every shard (`ticker`), tasks never cancelled (`spawn` returns nothing to drop), one timer
//! wheel instead of a kernel timer per wait (`timers`), raw non-blocking socket calls with glommio only to wait (`conn`).

pub mod conn;
pub mod mailbox;
pub mod signal;
#[cfg(feature = "sim")]
pub mod sim;
mod ticker;
pub mod timers;
pub mod uring;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use slipring_protocol::ids::TimestampMs;
use slipring_storage::disk::Disk;
use uuid::Uuid;

use self::timers::TimerWheel;

/// Monotonic time in microseconds since the process (or the simulation) began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The instant `duration` earlier; `None` before the beginning.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Option<Self> {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.checked_sub(micros).map(Self)
    }

    /// Time from `earlier` to this instant; zero when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Task queues of a shard, by what they may cost the others (CPU shares).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Connections, mailboxes, the committer: what a client waits for.
    Foreground,
    /// Write-back, retention, recovery: yields to the foreground.
    Background,
}

/// What drives the shards of this thread.
pub(crate) enum Driver {
    /// glommio: one pinned executor per core.
    Uring(uring::UringDriver),
    /// The seeded simulation: all shards on one thread, virtual time.
    #[cfg(feature = "sim")]
    Sim(sim::SimDriver),
}

/// A thread's driver and its timer wheel.
pub(crate) struct Runtime {
    pub(crate) driver: Driver,
    pub(crate) timers: TimerWheel,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Runtime>>> = const { RefCell::new(None) };
}

pub(crate) fn enter(runtime: Rc<Runtime>) {
    CURRENT.with(|current| *current.borrow_mut() = Some(runtime));
}

pub(crate) fn current() -> Rc<Runtime> {
    CURRENT
        .with(|current| current.borrow().clone())
        .expect("shard code runs on a thread that entered a runtime")
}

/// Monotonic time now.
#[must_use]
pub fn now() -> Instant {
    match &current().driver {
        Driver::Uring(driver) => driver.now(),
        #[cfg(feature = "sim")]
        Driver::Sim(driver) => driver.now(),
    }
}

/// Wall clock in milliseconds since the Unix epoch: what records are stamped with.
#[must_use]
pub fn wall_clock() -> TimestampMs {
    match &current().driver {
        Driver::Uring(_) => uring::wall_clock(),
        #[cfg(feature = "sim")]
        Driver::Sim(driver) => driver.wall_clock(),
    }
}

/// Says that this shard has work under way, so that its timers are looked at often.
pub fn beat() {
    #[cfg_attr(not(feature = "sim"), allow(irrefutable_let_patterns))]
    if let Driver::Uring(driver) = &current().driver {
        driver.beat();
    }
}

/// Starts a task on this shard. It can't be cancelled: glommio leaks a task that is dropped while pending (GLOMMIO 0b),
/// so every task ends by itself, when its signal or channel tells it to.
pub fn spawn(queue: Queue, future: impl Future<Output = ()> + 'static) {
    match &current().driver {
        Driver::Uring(driver) => driver.spawn(queue, future),
        #[cfg(feature = "sim")]
        Driver::Sim(driver) => driver.spawn(future),
    }
}

/// Waits until `deadline`, to the wheel's tick.
pub async fn sleep_until(deadline: Instant) {
    let sleep = current().timers.sleep_until(deadline);
    sleep.await;
}

/// Waits for `duration`, to the wheel's tick.
pub async fn sleep(duration: Duration) {
    sleep_until(now().plus(duration)).await;
}

/// Tells `observe` every few milliseconds how long something held this core, to two milliseconds. In the simulation, where
/// nothing takes time, never.
pub fn on_held(observe: impl Fn(Duration) + 'static) {
    ticker::on_held(Box::new(observe));
}

/// Lets other tasks run if this one has had its share; cheap otherwise. The simulation draws whether it has.
pub async fn yield_if_needed() {
    #[cfg(feature = "sim")]
    if let Driver::Sim(driver) = &current().driver {
        return if driver.draw(2) == 0 {
            futures_lite::future::yield_now().await
        };
    }
    glommio::yield_if_needed().await;
}

/// Awaits `future`, which waits for `disk`, by sleeping on the disk's ring for up to `limit` before it leaves that to the
/// driver, whose own sleep and wake-up take several system calls each. Nothing else runs on this shard meanwhile.
pub async fn wait_at<T>(disk: &Disk, limit: Duration, future: impl Future<Output = T>) -> T {
    match &current().driver {
        Driver::Uring(_) => uring::wait_at(disk, limit, future).await,
        #[cfg(feature = "sim")]
        Driver::Sim(_) => future.await,
    }
}

/// A random number for what need not be secret; the simulation draws it from its seed.
#[must_use]
pub fn random() -> u64 {
    let (high, low) = random_id().as_u64_pair();
    high ^ low
}

/// A random id (UUID version 4); the simulation draws it from its seed.
#[must_use]
pub fn random_id() -> Uuid {
    match &current().driver {
        Driver::Uring(_) => Uuid::new_v4(),
        #[cfg(feature = "sim")]
        Driver::Sim(driver) => driver.random_id(),
    }
}

/// Ends the node without another step: what it would do next can't be trusted.
pub async fn end_node() -> std::convert::Infallible {
    match &current().driver {
        Driver::Uring(_) => std::process::exit(1),
        #[cfg(feature = "sim")]
        Driver::Sim(driver) => driver.end_node().await,
    }
}
