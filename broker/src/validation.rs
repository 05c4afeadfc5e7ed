//! Where produced batches are validated, and written in another codec where their topic has one: on the connection's core, or on helper threads what would hold the core for long.
//! A helper works on each batch for a slice at a time and then goes on to the next, so that a compression bomb slows
//! nobody but itself.

use std::collections::VecDeque;
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

/// Batches that a helper writes in another codec at a time: some megabytes each, some tens at zstd's highest levels.
const REPACKING_MAX: usize = 4;

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
    let mut open = Open::default();
    loop {
        if open.running.is_empty() {
            match queue.recv() {
                Ok(job) => open.take(job),
                Err(flume::RecvError::Disconnected) => return,
            }
        }
        if open.later.len() < QUEUE_MAX {
            queue.try_recv().into_iter().for_each(|job| open.take(job));
        }
        let Some(mut job) = open.running.pop_front() else { continue };
        let repacks = job.check.repacks();
        match job.check.run(BUDGET_ON_HELPER) {
            Progress::More => open.running.push_back(job),
            Progress::Done(verdict) => {
                open.done(repacks);
                // Nobody waits any more when the broker is stopping.
                _ = job.verdict.send(verdict);
            }
        }
    }
}

/// What a helper has taken up. Batches that are written anew hold their codec's memory, so only some of them run at a time.
#[derive(Default)]
struct Open {
    running: VecDeque<Job>,
    repacking: usize,
    later: VecDeque<Job>,
}

impl Open {
    fn take(&mut self, job: Job) {
        if job.check.repacks() {
            if self.repacking == REPACKING_MAX {
                return self.later.push_back(job);
            }
            self.repacking += 1;
        }
        self.running.push_back(job);
    }

    fn done(&mut self, repacked: bool) {
        if repacked {
            self.repacking -= 1;
            self.later.pop_front().into_iter().for_each(|job| self.take(job));
        }
    }
}

#[cfg(test)]
mod tests {
    use slipring_protocol::batch::{BatchBuilder, Compression, StoredCodec};
    use slipring_protocol::ids::TimestampMs;

    use super::*;

    /// Jobs of both kinds, more than may be written anew at a time, all end.
    #[test]
    fn a_helper_ends_every_job() {
        let (jobs, queue) = flume::unbounded();
        let helper = std::thread::spawn(move || work(&queue));
        let mut builder = BatchBuilder::new();
        builder.compression(Compression::Lz4).append(TimestampMs(0), None, Some(&[1; 300_000]));
        let batch = Bytes::from(builder.build());
        let stored = Some(StoredCodec { codec: Compression::Zstd, level: None });
        let verdicts: Vec<_> = (0..50)
            .map(|number| {
                let rules =
                    BatchRules { stored: stored.filter(|_| number % 5 != 0), ..BatchRules::default() };
                let Ok(Checked::Deep(check)) = check_produced(&batch, 12, &rules, TimestampMs(0)) else {
                    panic!("compressed batches are checked in depth");
                };
                let (verdict, answer) = flume::bounded(1);
                jobs.send(Job { check, verdict }).unwrap();
                (number, answer)
            })
            .collect();
        for (number, answer) in verdicts {
            let batch = answer.recv().unwrap().unwrap();
            let codec = if number % 5 == 0 { Compression::Lz4 } else { Compression::Zstd };
            assert_eq!(batch.header().compression(), Ok(codec));
        }
        drop(jobs);
        helper.join().unwrap();
    }
}
