//! Runs one future on the calling thread without any runtime, for tools and tests: waits in the kernel for the
//! ring, or steps the simulation.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use super::{Disk, UringDisk};

/// Runs `future` to its end.
///
/// # Panics
/// On the simulated disk, when the future waits for something that no operation under way will bring.
pub fn block_on<F: Future>(disk: &Disk, future: F) -> F::Output {
    match disk {
        Disk::Uring(disk) => block_on_ring(disk, future),
        #[cfg(any(test, feature = "sim"))]
        Disk::Sim(disk) => disk.block_on(future),
    }
}

fn block_on_ring<F: Future>(disk: &UringDisk, future: F) -> F::Output {
    let flag = Arc::new(Flag { woken: AtomicBool::new(true), thread: thread::current() });
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if flag.woken.swap(false, Ordering::AcqRel) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            continue;
        }
        disk.reap();
        if flag.woken.load(Ordering::Acquire) {
            continue;
        }
        if disk.in_flight() > 0 {
            disk.wait(WAIT_MAX).expect("waiting on a ring of our own fails only for want of the ring");
        } else {
            thread::park_timeout(WAIT_MAX);
        }
    }
}

struct Flag {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// A wake-up from another thread may come while this one waits in the kernel; it is seen after at most this long.
const WAIT_MAX: Duration = Duration::from_millis(10);
