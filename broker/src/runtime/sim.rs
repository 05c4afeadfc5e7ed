//! The simulated driver: all shards on one thread, virtual time, a seeded choice of what runs next. One seed is one
//! history: tasks, disk completions, deliveries on connections and timers interleave as the seed says.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::BytesMut;
use slipring_protocol::ids::TimestampMs;
use slipring_storage::disk::SimDisk;

use super::conn::{SendQueue, Sent};
use super::timers::TimerWheel;
use super::{Driver, Instant, Runtime, enter};

/// Wall clock at the beginning of every simulation: 2026-01-01.
const EPOCH_MS: i64 = 1_767_225_600_000;
/// Bytes that a simulated socket holds in one direction.
const SOCKET_BYTES: usize = 64 << 10;

/// The simulation's clock and the tasks that were just started.
pub struct SimDriver {
    now: Cell<u64>,
    spawned: RefCell<Vec<LocalFuture>>,
}

impl SimDriver {
    pub(crate) fn now(&self) -> Instant {
        Instant(self.now.get())
    }

    pub(crate) fn wall_clock(&self) -> TimestampMs {
        TimestampMs(EPOCH_MS + i64::try_from(self.now.get() / 1_000).expect("simulations are short"))
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(future));
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

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % bound as u64).expect("below a usize")
    }
}

/// Runs `main` to its end with everything it spawns; `disk` completes its operations in between. Tasks left over are
/// dropped, as a killed process drops them.
///
/// # Panics
/// When nothing can run and no timer is set: a lost wake-up. The message names the seed.
pub fn run<F: Future>(seed: u64, disk: &SimDisk, main: impl FnOnce() -> F) -> F::Output {
    let driver = SimDriver { now: Cell::new(0), spawned: RefCell::default() };
    let runtime = Rc::new(Runtime { driver: Driver::Sim(driver), timers: TimerWheel::new() });
    enter(runtime.clone());
    let Driver::Sim(driver) = &runtime.driver else { unreachable!("made a line above") };
    let mut choices = Choices::new(seed);
    let mut main = pin!(main());
    let main_ready = Ready::new();
    let main_waker = Waker::from(main_ready.clone());
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        tasks.extend(driver.spawned.take().into_iter().map(Task::new));
        match pick(&mut choices, &main_ready, &tasks, disk) {
            Some(Pick::Main) => {
                main_ready.0.store(false, Ordering::Relaxed);
                if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&main_waker)) {
                    return output;
                }
            }
            Some(Pick::Task(index)) => {
                let task = &mut tasks[index];
                task.ready.0.store(false, Ordering::Relaxed);
                if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
                    drop(tasks.remove(index));
                }
            }
            Some(Pick::Disk) => disk.step(),
            None => {
                let next = runtime.timers.next_deadline();
                let next =
                    next.unwrap_or_else(|| panic!("seed {seed}: everything waits and no timer is set"));
                driver.now.set(next.0.max(driver.now.get()));
                runtime.timers.advance(next);
            }
        }
    }
}

fn pick(choices: &mut Choices, main: &Ready, tasks: &[Task], disk: &SimDisk) -> Option<Pick> {
    let main = main.0.load(Ordering::Relaxed).then_some(Pick::Main);
    let ready = tasks.iter().enumerate().filter(|(_, task)| task.ready.0.load(Ordering::Relaxed));
    let disk = (disk.in_flight() > 0).then_some(Pick::Disk);
    let all: Vec<Pick> =
        main.into_iter().chain(ready.map(|(index, _)| Pick::Task(index))).chain(disk).collect();
    (!all.is_empty()).then(|| all[choices.below(all.len())])
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone, Copy)]
enum Pick {
    Main,
    Task(usize),
    Disk,
}

struct Task {
    future: LocalFuture,
    ready: Arc<Ready>,
    waker: Waker,
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
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One end of a simulated connection. Bytes arrive in pieces of a seeded size, and a full pipe blocks its sender.
pub struct SimConn {
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
}

#[derive(Default)]
struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    closed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    choices: RefCell<Option<Choices>>,
}

impl Pipe {
    fn seeded(seed: u64) -> Rc<Self> {
        let pipe = Self::default();
        *pipe.choices.borrow_mut() = Some(Choices::new(seed));
        Rc::new(pipe)
    }

    fn some_of(&self, bound: usize) -> usize {
        let mut choices = self.choices.borrow_mut();
        1 + choices.as_mut().expect("seeded when made").below(bound)
    }

    fn wake(slot: &RefCell<Option<Waker>>) {
        if let Some(waker) = slot.borrow_mut().take() {
            waker.wake();
        }
    }

    fn close(&self) {
        self.closed.set(true);
        Self::wake(&self.reader);
        Self::wake(&self.writer);
    }

    /// Takes a part of `slice` if there is room.
    fn offer(&self, slice: &[u8]) -> io::Result<Option<usize>> {
        if self.closed.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = SOCKET_BYTES - self.bytes.borrow().len();
        if room == 0 {
            return Ok(None);
        }
        let count = self.some_of(slice.len().min(room));
        self.bytes.borrow_mut().extend(&slice[..count]);
        Self::wake(&self.reader);
        Ok(Some(count))
    }
}

/// Makes a connection: the client's end and the broker's.
#[must_use]
pub fn connect(seed: u64) -> (SimConn, SimConn) {
    let (there, back) = (Pipe::seeded(seed), Pipe::seeded(seed.rotate_left(32) ^ 1));
    (SimConn { incoming: back.clone(), outgoing: there.clone() }, SimConn { incoming: there, outgoing: back })
}

impl SimConn {
    /// As `Conn::receive`.
    ///
    /// # Errors
    /// None so far; sockets have some.
    pub async fn receive(&self, buffer: &mut BytesMut, room: usize) -> io::Result<usize> {
        poll_fn(|context| {
            let pipe = &self.incoming;
            let available = pipe.bytes.borrow().len().min(room);
            if available == 0 && !pipe.closed.get() {
                *pipe.reader.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            let count = if available == 0 { 0 } else { pipe.some_of(available) };
            buffer.extend(pipe.bytes.borrow_mut().drain(..count));
            Pipe::wake(&pipe.writer);
            Poll::Ready(Ok(count))
        })
        .await
    }

    /// As `Conn::try_send`.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn try_send(&self, queue: &mut SendQueue) -> io::Result<Sent> {
        while queue.bytes() > 0 {
            let count = {
                let mut slices = Vec::new();
                queue.gather(&mut slices);
                self.outgoing.offer(slices[0])?
            };
            match count {
                Some(count) => queue.advance(count),
                None => return Ok(Sent::Blocked),
            }
        }
        Ok(Sent::All)
    }

    /// As `Conn::send_some`.
    ///
    /// # Errors
    /// When the other end is gone.
    pub async fn send_some(&self, queue: &RefCell<SendQueue>) -> io::Result<()> {
        poll_fn(|context| {
            let before = queue.borrow().bytes();
            self.try_send(&mut queue.borrow_mut())?;
            if queue.borrow().bytes() == before && before > 0 {
                *self.outgoing.writer.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// As `Conn::shutdown`.
    pub fn shutdown(&self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

impl Drop for SimConn {
    fn drop(&mut self) {
        self.shutdown();
    }
}
