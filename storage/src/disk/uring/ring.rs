//! The ring and its slots. Counts what the kernel holds, so that completions can never overflow, and gives no slot
//! free before the kernel is done with it.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;
use std::time::Duration;

use io_uring::{IoUring, types};

use super::flight::Flight;
use crate::disk::request::{Answer, Outcome};

pub(super) struct Ring {
    ring: IoUring,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Slots whose next entry waits for room in the ring.
    waiting: VecDeque<usize>,
    /// Entries pushed whose completions were not seen.
    in_kernel: usize,
    in_kernel_max: usize,
    completions: Vec<(usize, i32)>,
    woken: Vec<Waker>,
}

enum Slot {
    Free,
    Flying { flight: Flight, waker: Option<Waker>, abandoned: bool },
    Landed { result: io::Result<Outcome>, flight: Flight },
}

impl Ring {
    pub(super) fn new(mut ring: IoUring) -> Ring {
        let in_kernel_max = ring.completion().capacity();
        Ring {
            ring,
            slots: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            in_kernel: 0,
            in_kernel_max,
            completions: Vec::new(),
            woken: Vec::new(),
        }
    }

    /// Takes an operation in; the kernel hears of it at the next [`Ring::submit`].
    pub(super) fn start(&mut self, flight: Flight) -> usize {
        let slot = Slot::Flying { flight, waker: None, abandoned: false };
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.waiting.push_back(index);
        index
    }

    /// Tells the kernel of everything that waits, as far as the ring has room.
    pub(super) fn submit(&mut self) {
        loop {
            let full = self.fill_queue();
            if self.ring.submission().is_empty() {
                return;
            }
            match self.ring.submit() {
                Ok(_) if full && !self.waiting.is_empty() && self.in_kernel < self.in_kernel_max => {}
                Ok(_) => return,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // Short of memory, or completions are due first. The entries stay queued and go with the next
                    // submit, for which `reap` sees to; only when no completion is to come, try on here.
                    Some(libc::EAGAIN | libc::EBUSY) => {
                        if self.ring.submission().len() < self.in_kernel {
                            return;
                        }
                        std::thread::yield_now();
                    }
                    _ => panic!("io_uring_enter refuses a well-formed ring: {error}"),
                },
            }
        }
    }

    /// The answer, once it is there; else `waker` is woken when it is.
    pub(super) fn poll(&mut self, index: usize, waker: &Waker) -> Option<Answer> {
        match &mut self.slots[index] {
            Slot::Flying { waker: kept, .. } => {
                match kept {
                    Some(kept) => kept.clone_from(waker),
                    None => *kept = Some(waker.clone()),
                }
                None
            }
            Slot::Landed { .. } => {
                let Slot::Landed { result, flight } = self.release(index) else {
                    unreachable!("just matched")
                };
                Some((result, flight.into_request()))
            }
            Slot::Free => panic!("a slot lives as long as the future that waits for it"),
        }
    }

    /// Leaves a slot without its future; what is free at once is handed out for dropping.
    pub(super) fn abandon(&mut self, index: usize) -> Option<Flight> {
        match &mut self.slots[index] {
            Slot::Flying { abandoned, waker, .. } => {
                *abandoned = true;
                *waker = None;
                None
            }
            Slot::Landed { .. } => match self.release(index) {
                Slot::Landed { flight, .. } => Some(flight),
                Slot::Free | Slot::Flying { .. } => None,
            },
            Slot::Free => None,
        }
    }

    /// Takes in all completions and sends what follows from them; the wakers of what landed are the caller's to
    /// wake once the ring is not borrowed.
    pub(super) fn reap(&mut self) -> Vec<Waker> {
        if self.ring.submission().taskrun() {
            self.run_task_work();
        }
        let mut completions = std::mem::take(&mut self.completions);
        completions.extend(self.ring.completion().map(|entry| (entry.user_data() as usize, entry.result())));
        for (index, result) in completions.drain(..) {
            self.in_kernel -= 1;
            self.complete(index, result);
        }
        self.completions = completions;
        self.submit();
        std::mem::take(&mut self.woken)
    }

    /// Takes an emptied list of wakers back, for its memory.
    pub(super) fn recycle(&mut self, woken: Vec<Waker>) {
        if self.woken.is_empty() {
            self.woken = woken;
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len() + self.in_kernel
    }

    pub(super) fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        let time = types::Timespec::from(timeout);
        let arguments = types::SubmitArgs::new().timespec(&time);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves waiting slots into the submission queue; whether the queue is full.
    fn fill_queue(&mut self) -> bool {
        while self.in_kernel < self.in_kernel_max {
            let Some(index) = self.waiting.pop_front() else { return false };
            let Slot::Flying { flight, .. } = &mut self.slots[index] else {
                unreachable!("only flying slots wait");
            };
            let entry = flight.entry().user_data(index as u64);
            // SAFETY: what the entry points to is owned by the flight, on the heap, and the slot is kept until the
            // entry's completion was seen.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                self.waiting.push_front(index);
                return true;
            }
            self.in_kernel += 1;
        }
        true
    }

    /// Lets the kernel post the completions that wait for this thread to enter it.
    fn run_task_work(&self) {
        const GET_EVENTS: u32 = 1;
        // SAFETY: neither a signal mask nor any other memory is passed.
        let entered = unsafe { self.ring.submitter().enter::<libc::sigset_t>(0, 0, GET_EVENTS, None) };
        // An interrupted call is made good by the next one.
        drop(entered);
    }

    fn complete(&mut self, index: usize, result: i32) {
        let Slot::Flying { flight, abandoned, waker } = &mut self.slots[index] else {
            unreachable!("the kernel completes what it was given");
        };
        let result = flight.advance(result);
        if *abandoned {
            drop(self.release(index));
            return;
        }
        let Some(result) = result else {
            self.waiting.push_back(index);
            return;
        };
        self.woken.extend(waker.take());
        if let Slot::Flying { flight, .. } = std::mem::replace(&mut self.slots[index], Slot::Free) {
            self.slots[index] = Slot::Landed { result, flight };
        }
    }

    fn release(&mut self, index: usize) -> Slot {
        self.free.push(index);
        std::mem::replace(&mut self.slots[index], Slot::Free)
    }
}

impl Drop for Ring {
    /// Waits for what the kernel still holds; memory that it may yet write to is leaked rather than freed.
    fn drop(&mut self) {
        self.waiting.clear();
        while self.in_kernel > 0 {
            let waited = self.ring.submit_and_wait(1);
            let seen = self.ring.completion().count();
            self.in_kernel -= seen;
            if seen == 0 && waited.is_err_and(|error| error.raw_os_error() != Some(libc::EINTR)) {
                std::mem::forget(std::mem::take(&mut self.slots));
                return;
            }
        }
    }
}
