//! Where produced batches are validated, and written in another codec where their topic has one: on the connection's core, or on helper threads what would hold the core for long.
//! A helper works on each batch for a slice at a time and then goes on to the next, so that a compression bomb slows
//! nobody but itself.

use std::io;

use bytes::Bytes;
use slipring_protocol::batch::{
    BatchRules, Checked, CheckedBatch, DeepCheck, InvalidBatch, Progress, check_produced,
};

use crate::runtime;

/// Inflated bytes that a core goes through before others get their turn.
const BUDGET_ON_CORE: usize = 256 << 10;
/// Inflated bytes that a helper goes through before it turns to the next batch: some milliseconds.
const BUDGET_ON_HELPER: usize = 4 << 20;
/// Batches that may wait for the helpers; connections beyond that wait to hand theirs in.
const QUEUE_MAX: usize = 256;

/// Where long checks are done.
#[derive(Clone)]
pub struct Validators {
    helpers: Helpers,
}

#[derive(Clone)]
enum Helpers {
    /// On threads that take jobs from here.
    Threads(flume::Sender<Job>),
    /// There are none: on the core, in slices.
    None,
}

struct Job {
    check: Box<DeepCheck>,
    verdict: flume::Sender<Result<CheckedBatch, InvalidBatch>>,
}

impl Validators {
    /// Starts `threads` helpers. They float over the processors: pinned shards keep theirs.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn start(threads: usize) -> io::Result<Self> {
        let (jobs, queue) = flume::bounded::<Job>(QUEUE_MAX);
        for number in 0..threads {
            let queue = queue.clone();
            std::thread::Builder::new().name(format!("validate-{number}")).spawn(move || work(&queue))?;
        }
        Ok(Self { helpers: Helpers::Threads(jobs) })
    }

    /// Without helper threads: long checks yield to the core's other tasks. For the simulation, which knows no threads.
    #[must_use]
    pub const fn on_core() -> Self {
        Self { helpers: Helpers::None }
    }

    /// Validates the records of one partition of a produce request.
    ///
    /// # Errors
    /// When they are refused, with what the response says of it.
    pub async fn check(
        &self,
        records: &Bytes,
        produce_version: i16,
        rules: &BatchRules,
    ) -> Result<CheckedBatch, InvalidBatch> {
        match check_produced(records, produce_version, rules, runtime::wall_clock())? {
            Checked::Done(batch) => Ok(batch),
            Checked::Deep(check) if check.is_long() => self.check_on_helper(check).await,
            Checked::Deep(mut check) => {
                // An estimate: what inflates beyond it goes on elsewhere.
                match check.run(BUDGET_ON_CORE) {
                    Progress::Done(verdict) => verdict,
                    Progress::More => self.check_on_helper(check).await,
                }
            }
        }
    }

    async fn check_on_helper(&self, check: Box<DeepCheck>) -> Result<CheckedBatch, InvalidBatch> {
        let jobs = match &self.helpers {
            Helpers::Threads(jobs) => jobs,
            Helpers::None => return check_in_slices(check).await,
        };
        let (verdict, answer) = flume::bounded(1);
        jobs.send_async(Job { check, verdict }).await.expect("helpers live as long as the process");
        answer.recv_async().await.expect("a helper answers every job")
    }
}

async fn check_in_slices(mut check: Box<DeepCheck>) -> Result<CheckedBatch, InvalidBatch> {
    loop {
        if let Progress::Done(verdict) = check.run(BUDGET_ON_CORE) {
            return verdict;
        }
        runtime::yield_if_needed().await;
    }
}

/// One helper: a slice of each batch in turn.
fn work(queue: &flume::Receiver<Job>) {
    let mut open = std::collections::VecDeque::new();
    loop {
        if open.is_empty() {
            match queue.recv() {
                Ok(job) => open.push_back(job),
                Err(flume::RecvError::Disconnected) => return,
            }
        }
        open.extend(queue.try_recv());
        let Some(mut job) = open.pop_front() else { continue };
        match job.check.run(BUDGET_ON_HELPER) {
            Progress::More => open.push_back(job),
            // Nobody waits any more when the broker is stopping.
            Progress::Done(verdict) => _ = job.verdict.send(verdict),
        }
    }
}
