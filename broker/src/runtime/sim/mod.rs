//! The simulated driver: all shards on one thread, virtual time, a seeded choice of what runs next. One seed is one
//! history: tasks, disk completions, deliveries on connections and timers interleave as the seed says.

mod conn;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use slipring_protocol::ids::TimestampMs;
use slipring_storage::disk::SimDisk;
use uuid::Uuid;

pub use self::conn::{SimConn, connect};
use super::timers::TimerWheel;
use super::{Driver, Instant, Runtime, enter};

/// The longest that a task's step takes, in virtual microseconds.
const TASK_US_MAX: usize = 10;
/// The longest pause between two completions of the disk while there is work, in virtual microseconds.
const DISK_US_MAX: usize = 200;
/// Steps in a row without a rest. More is a loop that waits for what only others can bring.
const BUSY_STEPS_MAX: u64 = 20_000_000;

/// The simulation's clock and chance, and the tasks that were just started.
pub struct SimDriver {
    now: Cell<u64>,
    began: TimestampMs,
    spawned: RefCell<Vec<LocalFuture>>,
    choices: RefCell<Choices>,
    node_ended: Cell<bool>,
}

impl SimDriver {
    pub(crate) fn now(&self) -> Instant {
        Instant(self.now.get())
    }

    pub(crate) fn wall_clock(&self) -> TimestampMs {
        TimestampMs(self.began.0 + i64::try_from(self.now.get() / 1_000).expect("simulations are short"))
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(future));
    }

    pub(crate) fn draw(&self, bound: usize) -> usize {
        self.choices.borrow_mut().below(bound)
    }

    pub(crate) fn random_id(&self) -> Uuid {
        let mut choices = self.choices.borrow_mut();
        let (high, low) = (choices.next(), choices.next());
        uuid::Builder::from_random_bytes(Uuid::from_u64_pair(high, low).into_bytes()).into_uuid()
    }

    pub(crate) async fn end_node(&self) -> Infallible {
        self.node_ended.set(true);
        std::future::pending().await
    }
}

/// A seeded sequence of choices (splitmix64).
#[derive(Clone, Debug)]
pub struct Choices(u64);

impl Choices {
    /// The sequence of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<T> {
    /// The main future has returned.
    Returned(T),
    /// The disk has lost its power.
    PowerCut,
    /// The node gave up (`runtime::end_node`).
    NodeEnded,
}

/// What a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<T> {
    /// How it ended.
    pub ended: Ended<T>,
    /// Virtual time that it took.
    pub elapsed: Duration,
    /// Steps of tasks and of the disk.
    pub steps: u64,
    /// A digest of what ran when: the same for the same seed.
    pub schedule: u64,
}

/// Runs `main` to its end with everything it spawns, or until the power goes; `disk` completes its operations in between.
/// `began` is the wall clock at the beginning. Tasks left over are dropped, as a killed process drops them.
///
/// # Panics
/// When nothing can run and no timer is set (a lost wake-up), or when something is busy for ever. The message names the
/// seed.
pub fn run<F: Future>(
    seed: u64,
    began: TimestampMs,
    disk: &SimDisk,
    main: impl FnOnce() -> F,
) -> Run<F::Output> {
    let mut choices = Choices::new(seed);
    let driver = SimDriver {
        now: Cell::new(0),
        began,
        spawned: RefCell::default(),
        choices: RefCell::new(Choices::new(choices.next())),
        node_ended: Cell::new(false),
    };
    let runtime = Rc::new(Runtime { driver: Driver::Sim(driver), timers: TimerWheel::new() });
    enter(runtime.clone());
    let Driver::Sim(driver) = &runtime.driver else { unreachable!("made a line above") };
    let mut tasks = Tasks { main: pin!(main()), main_ready: Ready::new(), others: Vec::new() };
    let mut trace = Trace { steps: 0, schedule: seed, busy: 0 };
    let ended = loop {
        tasks.others.extend(driver.spawned.take().into_iter().map(Task::new));
        if disk.is_crashed() {
            break Ended::PowerCut;
        }
        if driver.node_ended.get() {
            break Ended::NodeEnded;
        }
        let Some(pick) = tasks.pick(&mut choices, disk) else {
            let next = runtime.timers.next_deadline();
            let next = next.unwrap_or_else(|| panic!("seed {seed}: everything waits and no timer is set"));
            driver.now.set(next.0.max(driver.now.get()));
            runtime.timers.advance(next);
            trace.busy = 0;
            continue;
        };
        let took = choices.below(if matches!(pick, Pick::Disk) { DISK_US_MAX } else { TASK_US_MAX });
        driver.now.set(driver.now.get() + took as u64);
        runtime.timers.advance(driver.now());
        trace.step(pick, driver.now());
        assert!(trace.busy < BUSY_STEPS_MAX, "seed {seed}: something is busy for ever");
        match pick {
            Pick::Disk => disk.step(),
            Pick::Main => {
                if let Poll::Ready(output) = tasks.poll_main() {
                    break Ended::Returned(output);
                }
            }
            Pick::Task(index) => tasks.poll_other(index),
        }
    };
    drop(tasks);
    drop(driver.spawned.take());
    let elapsed = Duration::from_micros(driver.now.get());
    Run { ended, elapsed, steps: trace.steps, schedule: trace.schedule }
}

struct Trace {
    steps: u64,
    schedule: u64,
    busy: u64,
}

impl Trace {
    fn step(&mut self, pick: Pick, now: Instant) {
        self.steps += 1;
        self.busy += 1;
        let picked = match pick {
            Pick::Disk => 0,
            Pick::Main => 1,
            Pick::Task(index) => 2 + index as u64,
        };
        self.schedule = Choices::new(self.schedule ^ picked << 48 ^ now.0).next();
    }
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone, Copy)]
enum Pick {
    Disk,
    Main,
    Task(usize),
}

struct Tasks<'a, F> {
    main: Pin<&'a mut F>,
    main_ready: Arc<Ready>,
    others: Vec<Task>,
}

struct Task {
    future: LocalFuture,
    ready: Arc<Ready>,
    waker: Waker,
}

impl<F: Future> Tasks<'_, F> {
    /// What runs next, of all that can run.
    fn pick(&self, choices: &mut Choices, disk: &SimDisk) -> Option<Pick> {
        let main = usize::from(self.main_ready.is_set());
        let with_disk = main + usize::from(disk.in_flight() > 0);
        let ready = || (0..).zip(&self.others).filter(|(_, task)| task.ready.is_set());
        let count = with_disk + ready().count();
        if count == 0 {
            return None;
        }
        let choice = choices.below(count);
        Some(match choice {
            choice if choice < main => Pick::Main,
            choice if choice < with_disk => Pick::Disk,
            choice => Pick::Task(ready().nth(choice - with_disk).expect("counted just now").0),
        })
    }

    fn poll_main(&mut self) -> Poll<F::Output> {
        self.main_ready.clear();
        let waker = Waker::from(self.main_ready.clone());
        self.main.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn poll_other(&mut self, index: usize) {
        let task = &mut self.others[index];
        task.ready.clear();
        if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
            drop(self.others.remove(index));
        }
    }
}

impl Task {
    fn new(future: LocalFuture) -> Self {
        let ready = Ready::new();
        Self { future, waker: Waker::from(ready.clone()), ready }
    }
}

struct Ready(AtomicBool);

impl Ready {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
