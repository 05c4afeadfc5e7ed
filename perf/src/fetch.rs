//! The hot-read workload: a topic is filled and then read from end to end again and again, one thread and one blocking
//! connection for some of its partitions. Bytes are copied out, or dropped in the kernel, where the reader shall be no limit.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use slipring_protocol::batch::Batches;
use slipring_protocol::frame;

use crate::admin::{Admin, End, Topic};
use crate::answer::{FETCH_HEAD_BYTES, FetchHead};
use crate::batch::BatchSpec;
use crate::cpu::{Sample, Usage};
use crate::error::{Doing, PerfError};
use crate::latency::Latency;
use crate::poll::discard;
use crate::produce::{at_least_one, fill, unique};
use crate::report::{Figures, Work};
use crate::request::{FetchLimits, FetchTemplate, correlation_id};
use crate::target::Target;
use crate::workload::Outcome;

/// What to read.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetchSpec {
    /// What a batch holds.
    #[command(flatten)]
    pub(crate) batch: BatchSpec,
    /// Megabytes (10^6) of batches to fill the topic with.
    #[arg(long, default_value_t = 2000)]
    pub(crate) megabytes: u64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    pub(crate) partitions: usize,
    /// Connections, each with a thread and its share of the partitions.
    #[arg(long, default_value_t = 4, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// How often everything is read.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    pub(crate) passes: usize,
    /// How often before, without counting.
    #[arg(long, default_value_t = 1)]
    pub(crate) warm_up_passes: usize,
    /// Bytes to ask for at a time.
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) fetch_bytes: i32,
    /// What becomes of the bytes.
    #[arg(long, value_enum, default_value = "copy")]
    pub(crate) mode: Mode,
}

/// What the reader does with the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Copies them to user space and follows the offsets of all batches.
    Copy,
    /// Has the kernel drop them; offsets are told by the length.
    Discard,
}

/// Runs the workload on a topic of its own.
///
/// # Errors
/// Any error code, any gap in the offsets.
pub(crate) fn run(target: &Target, spec: &FetchSpec) -> Result<Outcome, PerfError> {
    if spec.connections > spec.partitions {
        return Err(PerfError::Unfit("each connection needs a partition of its own".to_owned()));
    }
    let mut admin = Admin::connect(target.broker)?;
    let topic = admin.create_topic(&format!("perf-fetch-{}", unique()), spec.partitions)?;
    let each = spec.megabytes * 1_000_000 / spec.partitions as u64;
    let filled = fill(target, &topic, &spec.batch, each)?;
    let ends = admin.offsets(&topic, End::Latest)?;
    let run =
        Run { target, spec, topic: &topic, ends, batch_records: i64::from(filled.0), batch_bytes: filled.1 };
    let (pass, latency, usage) = run.go()?;
    let mut figures = Figures::default();
    figures.put_work(pass, &usage);
    latency.put("fetch", &mut figures);
    Ok(Outcome { figures, topic })
}

struct Run<'a> {
    target: &'a Target,
    spec: &'a FetchSpec,
    topic: &'a Topic,
    ends: Vec<i64>,
    batch_records: i64,
    batch_bytes: usize,
}

impl Run<'_> {
    fn go(&self) -> Result<(Work, Latency, Usage), PerfError> {
        let (warm, done) = (Barrier::new(self.spec.connections + 1), Barrier::new(self.spec.connections + 1));
        thread::scope(|scope| {
            let readers: Vec<_> = (0..self.spec.connections)
                .map(|index| {
                    let (warm, done) = (&warm, &done);
                    scope.spawn(move || self.read(index, warm, done))
                })
                .collect();
            warm.wait();
            let first = Sample::take(self.target.broker_pid);
            self.target.progress(&format!("{} passes over {} MB", self.spec.passes, self.spec.megabytes));
            done.wait();
            let last = Sample::take(self.target.broker_pid);
            let (mut work, mut latency) = (Work::default(), Latency::new());
            for reader in readers {
                let reader = reader.join().expect("readers do not panic")?;
                work.requests += reader.work.requests;
                work.records += reader.work.records;
                work.bytes += reader.work.bytes;
                latency.add(&reader.latency);
            }
            Ok((work, latency, first?.until(&last?)))
        })
    }

    /// Reads this connection's partitions as often as asked. Both barriers are passed whatever happens, so that nobody waits
    /// for a thread that gave up.
    fn read(&self, connection: usize, warm: &Barrier, done: &Barrier) -> Result<Reader, PerfError> {
        let mut reader = Reader::connect(self);
        let passes = |reader: &mut Result<Reader, PerfError>, count: usize| {
            for _ in 0..count {
                if let Ok(open) = reader
                    && let Err(error) = self.pass(open, connection)
                {
                    *reader = Err(error);
                }
            }
        };
        passes(&mut reader, self.spec.warm_up_passes);
        if let Ok(open) = &mut reader {
            (open.work, open.latency) = (Work::default(), Latency::new());
        }
        warm.wait();
        passes(&mut reader, self.spec.passes);
        done.wait();
        reader
    }

    fn pass(&self, reader: &mut Reader, connection: usize) -> Result<(), PerfError> {
        for partition in (connection..self.spec.partitions).step_by(self.spec.connections) {
            let limits = FetchLimits { max_wait_ms: 500, max_bytes: self.spec.fetch_bytes };
            let mut template = FetchTemplate::new(self.topic.id, partition as i32, limits)
                .map_err(|error| PerfError::Unfit(format!("encode the request: {error}")))?;
            let (mut next, end) = (0, self.ends[partition]);
            while next < end {
                let after = reader.fetch(self, &mut template, next)?;
                if after <= next || after > end {
                    let text =
                        format!("partition {partition} goes on to {after} after {next}, its end is {end}");
                    return Err(PerfError::Wrong(text));
                }
                next = after;
            }
        }
        Ok(())
    }
}

/// One connection and what it has read.
struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    asked: u64,
    work: Work,
    latency: Latency,
}

impl Reader {
    fn connect(run: &Run<'_>) -> Result<Self, PerfError> {
        let stream = TcpStream::connect(run.target.broker).doing("connect to the broker")?;
        let timed = stream.set_read_timeout(Some(STALL)).and_then(|()| stream.set_write_timeout(Some(STALL)));
        timed.and_then(|()| stream.set_nodelay(true)).doing("set up a connection")?;
        Ok(Self { stream, buffer: Vec::new(), asked: 0, work: Work::default(), latency: Latency::new() })
    }

    /// Fetches once; the offset after what came.
    fn fetch(&mut self, run: &Run<'_>, template: &mut FetchTemplate, from: i64) -> Result<i64, PerfError> {
        let begun = Instant::now();
        self.stream.write_all(template.frame(self.asked, from)).doing("send a fetch")?;
        let mut length = [0; frame::LENGTH_BYTES];
        self.stream.read_exact(&mut length).doing("receive an answer")?;
        let length = u32::from_be_bytes(length) as usize;
        let shown = match run.spec.mode {
            Mode::Copy => length,
            Mode::Discard => length.min(FETCH_HEAD_BYTES),
        };
        if self.buffer.len() < shown {
            self.buffer.resize(shown, 0);
        }
        self.stream.read_exact(&mut self.buffer[..shown]).doing("receive an answer")?;
        self.drop_rest(length - shown)?;
        let head = FetchHead::read(&self.buffer[..shown])?
            .filter(|head| head.correlation_id == correlation_id(self.asked))
            .ok_or_else(|| PerfError::Wrong(format!("fetch {} is answered in another form", self.asked)))?;
        let (after, bytes) = match run.spec.mode {
            Mode::Copy => follow(&self.buffer[head.records_at..head.records_at + head.records_bytes], from)?,
            Mode::Discard => {
                let batches = head.records_bytes / run.batch_bytes;
                (from + batches as i64 * run.batch_records, batches * run.batch_bytes)
            }
        };
        self.asked += 1;
        self.latency.record(begun.elapsed());
        self.work.requests += 1;
        self.work.records += (after - from) as u64;
        self.work.bytes += bytes as u64;
        Ok(after)
    }

    fn drop_rest(&self, mut left: usize) -> Result<(), PerfError> {
        while left > 0 {
            match discard(&self.stream, left).doing("receive an answer")? {
                0 => return Err(PerfError::Wrong("the broker closed the connection".to_owned())),
                dropped => left -= dropped,
            }
        }
        Ok(())
    }
}

/// Follows the offsets of whole batches; gives the offset after them, and their bytes.
fn follow(records: &[u8], from: i64) -> Result<(i64, usize), PerfError> {
    let mut next = from;
    let mut batches = Batches::new(records);
    for batch in batches.by_ref() {
        let header = batch.map_err(|error| PerfError::Wrong(format!("batch at {next}: {error}")))?.header;
        if header.base_offset.0 != next {
            let text = format!("offset {} comes where {next} is due", header.base_offset.0);
            return Err(PerfError::Wrong(text));
        }
        next = header.next_offset().0;
    }
    Ok((next, batches.whole_bytes()))
}

/// Without input for so long a run is given up.
const STALL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use slipring_protocol::batch::patch_base_offset_and_epoch;
    use slipring_protocol::ids::{LeaderEpoch, Offset, TimestampMs};

    use super::*;

    #[test]
    fn offsets_are_followed_over_whole_batches() {
        let batch = BatchSpec { records_per_batch: 4, ..BatchSpec::single(10) }.encode(TimestampMs(1)).bytes;
        let mut log = Vec::new();
        for base in [8, 12] {
            let mut batch = batch.clone();
            patch_base_offset_and_epoch(&mut batch, Offset(base), LeaderEpoch(0));
            log.extend(batch);
        }
        assert_eq!(follow(&log, 8).unwrap(), (16, log.len()));
        assert_eq!(follow(&log[..log.len() - 1], 8).unwrap(), (12, batch.len()));
        assert!(follow(&log, 7).is_err());
        assert_eq!(follow(&[], 7).unwrap(), (7, 0));
    }
}
