//! The group commit of one store: one commit at a time, the next one gathers meanwhile, then everybody whose records
//! became durable is answered, each connection with one send.

use std::rc::Rc;
use std::time::Duration;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::Offset;
use slipring_storage::store::Committed;

use super::Shard;
use crate::partition::produce::{Produced, Waiter};
use crate::runtime::timers::TICK;
use crate::runtime::{self, Queue};

/// Runs the committer of store `index` until the shard stops and nothing is staged.
pub async fn run(shard: Rc<Shard>, index: usize) {
    let store = shard.stores[index].clone();
    // Commits in a row that brought nothing.
    let mut futile = 0;
    let mut pace = Pace::default();
    while !shard.stopping.get() || (store.has_staged() && futile < FUTILE_MAX) {
        if !store.has_staged() {
            shard.commit_signals[index].wait().await;
            continue;
        }
        let began = runtime::now();
        let waiting = shard.produces.borrow().len();
        let committed = match pace.look(waiting, shard.turns.get()) {
            Some(limit) => runtime::wait_at(&shard.disk, limit, store.commit()).await,
            None => store.commit().await,
        };
        let took = runtime::now().since(began);
        pace.took(took, shard.turns.get());
        shard.metrics.commit_seconds.observe(took.as_secs_f64());
        let brought = !committed.advanced.is_empty() || !committed.failed.is_empty();
        answer(&shard, index, committed);
        shard.end_turn();
        futile = if brought { 0 } else { futile + 1 };
        if futile > 1 {
            // The journal has failed or waits for room. Trying again at once would keep the core from making any.
            runtime::sleep(TICK).await;
        }
    }
    if store.has_staged() {
        shard.closed_cleanly.set(false);
    }
    shard.committers_running.set(shard.committers_running.get() - 1);
    shard.quiet.wake_all();
}

/// Whether to look for the end of a commit without sleeping. A sleep costs a wake-up of the thread and of its processor,
/// which with few requests under way is as long as the commit itself (perf/NOTES.md); a core that others keep busy serves
/// them instead.
#[derive(Debug, Default)]
struct Pace {
    /// About the median of what commits took lately: a rare stall of the device must not move it.
    typical: Duration,
    /// The shard's turns at the end of the last commit.
    turns: u64,
}

impl Pace {
    /// How long to look while `waiting` produce requests are under way and the shard has had `turns`; `None` to sleep.
    fn look(&self, waiting: usize, turns: u64) -> Option<Duration> {
        let quiet = waiting <= LOOK_WAITING_MAX && turns - self.turns <= LOOK_TURNS_MAX;
        (quiet && self.typical <= LOOK_TYPICAL_MAX).then(|| self.typical * 3 / 2)
    }

    fn took(&mut self, commit: Duration, turns: u64) {
        let step = self.typical / 32 + Duration::from_micros(1);
        self.typical =
            if commit > self.typical { self.typical + step } else { self.typical.saturating_sub(step) };
        self.turns = turns;
    }
}

/// More produce requests than this keep a core busy without its looking.
const LOOK_WAITING_MAX: usize = 2;
/// The end of the last commit, a produce and a fetch or two: more turns since then mean that others need the core.
const LOOK_TURNS_MAX: u64 = 6;
/// On slower disks a wake-up is a small part of a commit.
const LOOK_TYPICAL_MAX: Duration = Duration::from_micros(250);

/// Commits in a row that bring nothing after which a stop no longer waits for what is staged: about a second.
const FUTILE_MAX: u32 = 500;

/// Starts the store's background work: write-back, allocation ahead, eviction, flushes of `written` logs, retention, and
/// forgetting idle producers.
pub fn start_background(shard: &Rc<Shard>, index: usize) {
    let shard = shard.clone();
    runtime::spawn(Queue::Background, async move {
        let store = shard.stores[index].clone();
        let mut expiry = runtime::now().plus(PRODUCER_EXPIRY_PAUSE);
        let retention_pause = shard.config.retention_check_interval;
        let mut retention = runtime::now().plus(retention_pause.min(RETENTION_DELAY_MAX));
        while !shard.stopping.get() {
            if runtime::now() >= expiry {
                store.expire_producers(runtime::wall_clock());
                expiry = runtime::now().plus(PRODUCER_EXPIRY_PAUSE);
            }
            if runtime::now() >= retention {
                store.begin_retention(runtime::wall_clock());
                retention = runtime::now().plus(retention_pause);
            }
            let pause = store.background(runtime::now().0 / 1_000).await;
            if store.has_staged() {
                shard.commit_signals[index].set();
            }
            let pause = runtime::sleep(pause.unwrap_or(BACKGROUND_PAUSE_MAX).min(BACKGROUND_PAUSE_MAX));
            futures_lite::future::or(pause, store.background_wanted()).await;
        }
        shard.background_running.set(shard.background_running.get() - 1);
        shard.quiet.wake_all();
    });
}

/// Kafka's `producer.id.expiration.check.interval.ms`, which it does not document.
const PRODUCER_EXPIRY_PAUSE: Duration = Duration::from_secs(600);
/// The first look comes soon after the start, as in Kafka (`LogManager.INITIAL_TASK_DELAY_MS`).
const RETENTION_DELAY_MAX: Duration = Duration::from_secs(30);
const BACKGROUND_PAUSE_MAX: Duration = Duration::from_millis(100);

fn answer(shard: &Rc<Shard>, store: usize, committed: Committed) {
    shard.committed.wake_all();
    for (log, end) in committed.advanced {
        let mut partitions = shard.partitions.borrow_mut();
        let Some(partition) = partitions.by_log(store, log) else { continue };
        let log_start = shard.stores[store].bounds(log).map_or(Offset(-1), |bounds| bounds.log_start);
        for waiter in partition.take_acknowledged(end) {
            let produced = Produced {
                error: ErrorCode::None,
                base_offset: waiter.base_offset,
                log_append_time: waiter.log_append_time,
                log_start,
                message: None,
                record_errors: Vec::new(),
            };
            shard.tell(waiter, produced);
        }
        let watches = partition.take_watches();
        drop(partitions);
        watches.iter().for_each(|watch| shard.tell_watch(watch));
    }
    for log in committed.failed {
        let mut partitions = shard.partitions.borrow_mut();
        let Some(partition) = partitions.by_log(store, log) else { continue };
        shard.metrics.fenced_logs.inc();
        tracing::error!(topic = %partition.topic, partition = partition.id.partition.0, "log failed: fenced");
        let waiters: Vec<Waiter> = partition.take_all_waiters().collect();
        let watches = partition.take_watches();
        drop(partitions);
        for waiter in waiters {
            shard.tell(waiter, Produced::refused(ErrorCode::KafkaStorageError, None));
        }
        watches.iter().for_each(|watch| shard.tell_watch(watch));
    }
}
