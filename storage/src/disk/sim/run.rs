//! A deterministic executor over the simulated disk: which ready task runs next, and when an operation completes
//! instead, is drawn from the disk's seed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::SimDisk;

impl SimDisk {
    /// Runs `future` to its end, stepping the simulation.
    ///
    /// # Panics
    /// When the future waits for something that no operation under way will bring.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.run(|_| future)
    }

    /// Runs the future that `main` makes to its end, together with every task spawned meanwhile. Tasks left over
    /// then are dropped.
    ///
    /// # Panics
    /// When all tasks wait for something that no operation under way will bring.
    pub fn run<F: Future>(&self, main: impl FnOnce(Spawner) -> F) -> F::Output {
        let spawner = Spawner::default();
        let mut main = pin!(main(spawner.clone()));
        let main_ready = Ready::new();
        let main_waker = Waker::from(Arc::clone(&main_ready));
        let mut tasks: Vec<Task> = Vec::new();
        loop {
            tasks.extend(spawner.0.borrow_mut().drain(..).map(Task::new));
            match self.pick(&main_ready, &tasks) {
                Pick::Main => {
                    main_ready.0.store(false, Ordering::Relaxed);
                    if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&main_waker)) {
                        return output;
                    }
                }
                Pick::Task(index) => {
                    let task = &mut tasks[index];
                    task.ready.0.store(false, Ordering::Relaxed);
                    if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
                        drop(tasks.remove(index));
                    }
                }
                Pick::Disk => self.step(),
            }
        }
    }

    /// Completes one operation under way, if there is one: for an executor that is not [`SimDisk::run`].
    pub fn step(&self) {
        let waker = self.0.borrow_mut().step().flatten();
        waker.into_iter().for_each(Waker::wake);
    }

    fn pick(&self, main: &Ready, tasks: &[Task]) -> Pick {
        let mut world = self.0.borrow_mut();
        let ready = |task: &&Task| task.ready.0.load(Ordering::Relaxed);
        let main_counts = usize::from(main.0.load(Ordering::Relaxed));
        let tasks_count = tasks.iter().filter(ready).count();
        let disk_counts = usize::from(world.in_flight() > 0);
        let choices = main_counts + tasks_count + disk_counts;
        assert!(choices > 0, "every task waits for something that no operation under way will bring");
        match world.random.below(choices) {
            choice if choice < main_counts => Pick::Main,
            choice if choice < main_counts + tasks_count => {
                let nth = choice - main_counts;
                let mut indexes =
                    tasks.iter().enumerate().filter(|(_, task)| ready(task)).map(|(index, _)| index);
                Pick::Task(indexes.nth(nth).expect("counted just now"))
            }
            _ => Pick::Disk,
        }
    }
}

/// Starts tasks beside the main future of [`SimDisk::run`].
#[derive(Clone, Default)]
pub struct Spawner(Rc<RefCell<VecDeque<LocalFuture>>>);

impl Spawner {
    /// Starts a task; it runs on when the handle is dropped.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let result = Rc::new(RefCell::new(Joint { output: None, waker: None }));
        let joint = Rc::clone(&result);
        self.0.borrow_mut().push_back(Box::pin(async move {
            let output = future.await;
            let waker = {
                let mut joint = joint.borrow_mut();
                joint.output = Some(output);
                joint.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }));
        JoinHandle(result)
    }
}

/// Waits for a task's output.
pub struct JoinHandle<T>(Rc<RefCell<Joint<T>>>);

struct Joint<T> {
    output: Option<T>,
    waker: Option<Waker>,
}

impl<T> Future for JoinHandle<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut joint = self.0.borrow_mut();
        match joint.output.take() {
            Some(output) => Poll::Ready(output),
            None => {
                joint.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Lets other tasks and the disk go first, perhaps.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

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
    fn new(future: LocalFuture) -> Task {
        let ready = Ready::new();
        let waker = Waker::from(Arc::clone(&ready));
        Task { future, ready, waker }
    }
}

struct Ready(AtomicBool);

impl Ready {
    fn new() -> Arc<Ready> {
        Arc::new(Ready(AtomicBool::new(true)))
    }
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
