//! The io_uring driver: one pinned glommio executor per core, and beside its rings the storage engine's own ring, whose
//! eventfd glommio waits for.

use std::future::Future;
use std::os::fd::FromRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use futures_lite::future::poll_once;
use glommio::{GlommioError, Latency, LocalExecutorBuilder, Placement, Shares, TaskQueueHandle};
use slipring_protocol::ids::TimestampMs;
use slipring_storage::disk::{Disk, UringDisk};

use super::ticker::Pulse;
use super::timers::TimerWheel;
use super::{Driver, Instant, Queue, Runtime, enter, ticker};

/// How long a task may run before glommio looks at its rings again. Its default of 100 ms would make a busy shard deaf to
/// its mailbox; values below 250 us make its park-with-runnable-tasks race likely (GLOMMIO 1.3, 1.4).
const PREEMPT: Duration = Duration::from_micros(500);
/// Entries of each of glommio's rings: thousands of connections wait there for readiness at the same time.
const RING_ENTRIES: usize = 1024;
/// Registered memory per executor. File buffers are our own, so the smallest that glommio takes: its default of 10 MiB
/// never registers under the usual 8 MiB of RLIMIT_MEMLOCK.
const IO_MEMORY: usize = 64 << 10;

/// glommio's side of a shard.
pub(crate) struct UringDriver {
    origin: std::time::Instant,
    background: TaskQueueHandle,
    pulse: Arc<Pulse>,
}

impl UringDriver {
    pub(crate) fn now(&self) -> Instant {
        since(self.origin)
    }

    pub(crate) fn beat(&self) {
        self.pulse.beat();
    }

    pub(crate) fn spawn(&self, queue: Queue, future: impl Future<Output = ()> + 'static) {
        match queue {
            Queue::Foreground => glommio::spawn_local(future).detach(),
            Queue::Background => {
                let task = glommio::spawn_local_into(future, self.background);
                task.expect("the background queue lives as long as its executor").detach()
            }
        };
    }
}

/// Monotonic time on any thread.
pub(crate) fn now() -> Instant {
    since(process_start())
}

fn since(origin: std::time::Instant) -> Instant {
    Instant(u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX))
}

pub(crate) fn wall_clock() -> TimestampMs {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// Must run once, before any thread is started: glommio registers for membarrier lazily, and with threads about, that
/// registration costs the first sleep 15 ms (GLOMMIO 1.2).
pub fn prepare_process() {
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    // SAFETY: membarrier takes two integers and touches no memory of ours; a kernel without it answers ENOSYS.
    unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0) };
    if let Err(error) = ticker::prepare_process() {
        tracing::warn!(%error, "a core that oversleeps can't be woken by a signal");
    }
}

/// Starts the thread of one shard, pinned to `cpu` (or floating when there are more shards than processors), and runs
/// `body` on it until it returns.
///
/// # Errors
/// When the executor can't be made: rings refused, memlock, an unusable processor.
pub fn run_shard<G, F>(
    name: &str,
    cpu: Option<usize>,
    spin: Option<Duration>,
    body: G,
) -> std::io::Result<JoinHandle<std::io::Result<()>>>
where
    G: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let name = name.to_owned();
    let thread_name = name.clone();
    let run = move || {
        let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
        let mut builder = LocalExecutorBuilder::new(placement)
            .preempt_timer(PREEMPT)
            .io_memory(IO_MEMORY)
            .ring_depth(RING_ENTRIES)
            .name(&thread_name);
        // Spinning takes a shared core from the clients (GLOMMIO 10), so only on demand and only when pinned.
        if let (Some(spin), Some(_)) = (spin, cpu) {
            builder = builder.spin_before_park(spin);
        }
        let executor = builder.make().map_err(|error| match error {
            GlommioError::IoError(source) => source,
            other => std::io::Error::other(other.to_string()),
        })?;
        let pulse = Arc::new(Pulse::default());
        ticker::watch(&pulse);
        executor.run(async move {
            let background = glommio::executor().create_task_queue(
                Shares::Static(100),
                Latency::NotImportant,
                "background",
            );
            let driver = UringDriver { origin: process_start(), background, pulse: pulse.clone() };
            let runtime = Rc::new(Runtime { driver: Driver::Uring(driver), timers: TimerWheel::new() });
            enter(runtime.clone());
            glommio::spawn_local(ticker::tick(runtime, pulse)).detach();
            body().await;
        });
        Ok(())
    };
    std::thread::Builder::new().name(name).spawn(run)
}

/// Lends glommio's waiting to the storage engine's own ring: its eventfd is read through glommio, then its completions
/// are handed out (GLOMMIO 2.5).
pub fn drive_disk(disk: &UringDisk) {
    let disk = disk.clone();
    // SAFETY: the descriptor is a duplicate that nothing else owns; the file closes it.
    let event = unsafe { glommio::io::BufferedFile::from_raw_fd(libc::dup(disk.event_fd())) };
    glommio::spawn_local(async move {
        loop {
            if let Err(error) = event.read_at(0, 8).await {
                tracing::error!(%error, "the disk ring's eventfd can't be read: this shard can't go on");
                std::process::abort();
            }
            disk.reap();
        }
    })
    .detach();
}

/// See [`super::wait_at`].
pub(super) async fn wait_at<T>(disk: &Disk, limit: Duration, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let until = super::now().plus(limit);
    loop {
        if let Some(output) = poll_once(&mut future).await {
            return output;
        }
        let left = until.since(super::now());
        if left.is_zero() || disk.wait(left).is_err() {
            return future.await;
        }
        disk.reap();
    }
}

fn process_start() -> std::time::Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}
