//! The open-loop workload: one connection sends at a fixed rate whatever the answers do, consumers long-poll at the tail, and
//! every latency counts from the moment when the record should have gone out. So a broker that stalls cannot hide it by
//! slowing the generator. Three kinds of threads, each blocking on one thing: sender, reader of acknowledgements, consumers.

use std::io::{IoSlice, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use slipring_protocol::batch::{Batches, crc_ok};

use crate::admin::{Admin, End, Topic};
use crate::answer::{FetchHead, ProduceAnswer};
use crate::batch::{BatchSpec, EncodedBatch};
use crate::cpu::{Sample, Usage};
use crate::error::{Doing, PerfError};
use crate::frames::FrameReader;
use crate::latency::Latency;
use crate::poll::exact_timers;
use crate::produce::{Window, at_least_one, now, sleep_until, unique};
use crate::report::{Figures, Work};
use crate::request::{FetchLimits, FetchTemplate, ProduceTemplate, correlation_id};
use crate::target::Target;
use crate::verify;
use crate::workload::Outcome;

/// What to send, and how fast.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PacedSpec {
    /// Requests a second, one batch each, to one partition.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    /// Bytes of each record's value.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(8..=64 << 20))]
    pub(crate) record_bytes: u32,
    /// Records of a request.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) records_per_batch: u32,
    /// Consumers that read along, each on a connection of its own.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) consumers: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Seconds before them that do not.
    #[arg(long, default_value_t = 3)]
    pub(crate) warm_up_seconds: u64,
    /// Seconds before all this at five times the rate, on another topic: a virtual machine compiles what it runs often.
    #[arg(long, default_value_t = 0)]
    pub(crate) prime_seconds: u64,
}

/// Runs the workload on a topic of its own; every record is numbered, and each consumer must get all of them in order.
///
/// # Errors
/// Any error code, any record missing, out of order or damaged.
pub(crate) fn run(target: &Target, spec: &PacedSpec) -> Result<Outcome, PerfError> {
    if spec.prime_seconds > 0 {
        let prime = PacedSpec {
            rate: spec.rate.saturating_mul(PRIME_FACTOR),
            seconds: spec.prime_seconds,
            warm_up_seconds: 0,
            prime_seconds: 0,
            ..spec.clone()
        };
        run(target, &prime)?;
    }
    let mut admin = Admin::connect(target.broker)?;
    let topic = admin.create_topic(&format!("perf-paced-{}", unique()), 1)?;
    let before = admin.offsets(&topic, End::Latest)?;
    let batch = BatchSpec {
        record_bytes: spec.record_bytes,
        batch_bytes: 0,
        records_per_batch: spec.records_per_batch,
    }
    .encode(now());
    let wrong = |error| PerfError::Unfit(format!("encode the request: {error}"));
    let template = ProduceTemplate::new(topic.id, -1, 1, batch.clone()).map_err(wrong)?;
    let limits = FetchLimits { max_wait_ms: FETCH_WAIT_MS, max_bytes: FETCH_BYTES };
    let fetch = FetchTemplate::new(topic.id, 0, limits).map_err(wrong)?;
    let answer = ProduceAnswer::new(topic.id, 1).map_err(wrong)?;
    let run =
        Run { target, spec, topic: &topic, batch, fetch, answer, first: before[0], pace: Pace::new(spec) };
    let (seen, usage) = run.go(template)?;
    verify::count(&mut admin, &topic, &before, run.pace.total * u64::from(spec.records_per_batch), false)?;
    let mut figures = Figures::default();
    let requests = seen.acknowledged.count();
    let work = Work {
        requests,
        records: requests * u64::from(spec.records_per_batch),
        bytes: requests * run.batch.bytes.len() as u64,
    };
    figures.put_work(work, &usage);
    seen.acknowledged.put("ack", &mut figures);
    seen.received.put("e2e", &mut figures);
    seen.lag.put("send_lag", &mut figures);
    Ok(Outcome { figures, topic })
}

/// When each request is due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    begin: Instant,
    rate: u32,
    total: u64,
    warm_up: u64,
}

impl Pace {
    fn new(spec: &PacedSpec) -> Self {
        let rate = u64::from(spec.rate);
        let warm_up = spec.warm_up_seconds * rate;
        let begin = Instant::now() + HEAD_START;
        Self { begin, rate: spec.rate, total: warm_up + spec.seconds * rate, warm_up }
    }

    /// The moment when a request should go out.
    fn due(&self, number: u64) -> Instant {
        let rate = u64::from(self.rate);
        let part = (number % rate) * 1_000_000_000 / rate;
        self.begin + Duration::from_secs(number / rate) + Duration::from_nanos(part)
    }

    /// Records a latency unless the request belongs to the warm-up.
    fn record(&self, number: u64, at: Instant, latency: &mut Latency) {
        if number >= self.warm_up {
            latency.record(at.saturating_duration_since(self.due(number)));
        }
    }

    fn window(&self) -> Window {
        Window { from: self.due(self.warm_up), until: self.due(self.total) }
    }
}

/// All that the threads share.
struct Run<'a> {
    target: &'a Target,
    spec: &'a PacedSpec,
    topic: &'a Topic,
    batch: EncodedBatch,
    fetch: FetchTemplate,
    answer: ProduceAnswer,
    first: i64,
    pace: Pace,
}

/// Latencies by kind.
struct Seen {
    acknowledged: Latency,
    received: Latency,
    lag: Latency,
}

impl Run<'_> {
    fn go(&self, template: ProduceTemplate) -> Result<(Seen, Usage), PerfError> {
        let sending = self.connect()?;
        let acknowledging = sending.try_clone().doing("share a connection")?;
        let consumers = (0..self.spec.consumers).map(|_| self.connect()).collect::<Result<Vec<_>, _>>()?;
        thread::scope(|scope| {
            let consumers: Vec<_> =
                consumers.into_iter().map(|stream| scope.spawn(move || self.consume(&stream))).collect();
            let reader = scope.spawn(move || self.read_acknowledgements(&acknowledging));
            let sender = scope.spawn(move || self.send(&sending, template));
            let usage = self.observe(|| sender.is_finished());
            let lag = sender.join().expect("the sender does not panic")?;
            let acknowledged = reader.join().expect("the reader does not panic")?;
            let mut received = Latency::new();
            for consumer in consumers {
                received.add(&consumer.join().expect("consumers do not panic")?);
            }
            Ok((Seen { acknowledged, received, lag }, usage?))
        })
    }

    fn connect(&self) -> Result<TcpStream, PerfError> {
        let stream = TcpStream::connect(self.target.broker).doing("connect to the broker")?;
        let timed = stream.set_read_timeout(Some(STALL)).and_then(|()| stream.set_write_timeout(Some(STALL)));
        timed.and_then(|()| stream.set_nodelay(true)).doing("set up a connection")?;
        Ok(stream)
    }

    fn observe(&self, over: impl Fn() -> bool) -> Result<Usage, PerfError> {
        let window = self.pace.window();
        sleep_until(window.from, &over);
        let first = Sample::take(self.target.broker_pid)?;
        self.target.progress(&format!("{} requests/s for {} s", self.spec.rate, self.spec.seconds));
        sleep_until(window.until, &over);
        Ok(first.until(&Sample::take(self.target.broker_pid)?))
    }

    /// Sends every request when it is due, or at once when it is late. How late is reported: it is part of every latency.
    fn send(&self, stream: &TcpStream, mut template: ProduceTemplate) -> Result<Latency, PerfError> {
        exact_timers();
        let mut lag = Latency::new();
        let mut image = template.image();
        for number in 0..self.pace.total {
            template.batch_mut().set_number(number);
            template.address(&mut image, number, [0].into_iter());
            let mut now = Instant::now();
            let due = self.pace.due(number);
            while now < due {
                thread::sleep(due - now);
                now = Instant::now();
            }
            self.pace.record(number, now, &mut lag);
            write_pieces(stream, template.pieces(&image)).doing("send a request")?;
        }
        Ok(lag)
    }

    fn read_acknowledgements(&self, stream: &TcpStream) -> Result<Latency, PerfError> {
        let mut latency = Latency::new();
        let mut frames = FrameReader::new(READ_BYTES);
        let (mut number, mut next) = (0, self.first);
        while number < self.pace.total {
            let at = self.fill(&mut frames, stream)?;
            while let Some(frame) = frames.next()? {
                self.answer.check(number, frame, |_, base| dense(base, &mut next, self.batch.records))?;
                self.pace.record(number, at, &mut latency);
                number += 1;
            }
        }
        Ok(latency)
    }

    fn consume(&self, stream: &TcpStream) -> Result<Latency, PerfError> {
        let mut latency = Latency::new();
        let mut frames = FrameReader::new(READ_BYTES);
        let mut template = self.fetch.clone();
        let (mut number, mut next, mut asked) = (0, self.first, 0);
        while number < self.pace.total {
            let mut output = stream;
            output.write_all(template.frame(asked, next)).doing("send a fetch")?;
            let at = loop {
                let at = self.fill(&mut frames, stream)?;
                if let Some(frame) = frames.next()? {
                    let batches = records_of(frame, asked)?;
                    let from = number;
                    self.take(batches, &mut number, &mut next)?;
                    break (at, from);
                }
            };
            for received in at.1..number {
                self.pace.record(received, at.0, &mut latency);
            }
            asked += 1;
        }
        Ok(latency)
    }

    /// Takes batches in order: each must be the one that was sent next, undamaged.
    fn take(&self, records: &[u8], number: &mut u64, next: &mut i64) -> Result<(), PerfError> {
        for batch in Batches::new(records) {
            let batch =
                batch.map_err(|error| PerfError::Wrong(format!("batch at offset {next}: {error}")))?;
            dense(batch.header.base_offset.0, next, self.batch.records)?;
            if !crc_ok(batch.bytes) || self.batch.number_of(batch.bytes) != Some(*number) {
                let text = format!("at offset {next} of {} comes not request {number}", self.topic.name);
                return Err(PerfError::Wrong(text));
            }
            *number += 1;
        }
        Ok(())
    }

    /// Receives once; the moment when it had.
    fn fill(&self, frames: &mut FrameReader, stream: &TcpStream) -> Result<Instant, PerfError> {
        match frames.fill(stream)? {
            0 => Err(PerfError::Stalled(STALL.as_secs())),
            _ => Ok(Instant::now()),
        }
    }
}

/// The records in a fetch answer.
fn records_of(frame: &[u8], asked: u64) -> Result<&[u8], PerfError> {
    let head = FetchHead::read(frame)?;
    let records = head
        .filter(|head| head.correlation_id == correlation_id(asked))
        .and_then(|head| frame.get(head.records_at..head.records_at + head.records_bytes));
    records.ok_or_else(|| PerfError::Wrong(format!("fetch {asked} is answered in another form")))
}

/// Holds an offset against the one that is due, and goes on to the next batch.
fn dense(base: i64, next: &mut i64, records: u32) -> Result<(), PerfError> {
    if base != *next {
        return Err(PerfError::Wrong(format!("offset {base} comes where {next} is due")));
    }
    *next += i64::from(records);
    Ok(())
}

fn write_pieces<'a>(mut stream: &TcpStream, pieces: impl Iterator<Item = &'a [u8]>) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.map(IoSlice::new).collect();
    let mut slices = slices.as_mut_slice();
    while !slices.is_empty() {
        let written = stream.write_vectored(slices)?;
        IoSlice::advance_slices(&mut slices, written);
    }
    Ok(())
}

/// Time for the threads to stand at their places.
const HEAD_START: Duration = Duration::from_millis(200);
/// Without input for so long a run is given up.
const STALL: Duration = Duration::from_secs(30);
/// What Kafka's consumer waits, unless told otherwise (`fetch.max.wait.ms`).
const FETCH_WAIT_MS: i32 = 500;
/// What it fetches of a partition (`max.partition.fetch.bytes`).
const FETCH_BYTES: i32 = 1 << 20;
const READ_BYTES: usize = 256 << 10;
const PRIME_FACTOR: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(rate: u32) -> PacedSpec {
        PacedSpec {
            rate,
            record_bytes: 100,
            records_per_batch: 1,
            consumers: 1,
            seconds: 2,
            warm_up_seconds: 1,
            prime_seconds: 0,
        }
    }

    #[test]
    fn requests_are_due_evenly_and_without_drift() {
        let pace = Pace::new(&spec(3));
        assert_eq!((pace.total, pace.warm_up), (9, 3));
        let since = |number| pace.due(number) - pace.begin;
        assert_eq!(since(0), Duration::ZERO);
        assert_eq!(since(1), Duration::from_nanos(333_333_333));
        assert_eq!(since(3_000_000), Duration::from_secs(1_000_000));
        assert_eq!(pace.window().until - pace.window().from, Duration::from_secs(2));
        let pace = Pace::new(&spec(999_999));
        assert_eq!(pace.due(999_999 * 7) - pace.begin, Duration::from_secs(7));
    }

    #[test]
    fn latency_counts_from_when_it_was_due() {
        let pace = Pace::new(&spec(1000));
        let mut latency = Latency::new();
        pace.record(999, pace.due(999) + Duration::from_secs(9), &mut latency);
        assert_eq!(latency.count(), 0);
        pace.record(1000, pace.due(1000) + Duration::from_millis(3), &mut latency);
        pace.record(1001, pace.begin, &mut latency);
        assert_eq!(latency.count(), 2);
        assert!((latency.quantile_ms(1.0) - 3.0).abs() < 0.01);
    }

    #[test]
    fn offsets_follow_each_other() {
        let mut next = 10;
        assert!(dense(10, &mut next, 5).is_ok());
        assert!(dense(15, &mut next, 5).is_ok());
        assert!(dense(15, &mut next, 5).is_err());
    }
}
