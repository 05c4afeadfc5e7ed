//! The closed-loop produce workload: every connection keeps so many requests in flight, and sends the next one when an
//! answer comes. Latency is from the moment a request may go out to its answer.

mod connection;
mod drive;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use slipring_protocol::ids::TimestampMs;

use crate::admin::{Admin, End, Topic};
use crate::answer::ProduceAnswer;
use crate::batch::BatchSpec;
use crate::cpu::{Sample, Usage};
use crate::error::{Doing, PerfError};
use crate::report::{Figures, Work, unix_seconds};
use crate::request::ProduceTemplate;
use crate::target::Target;
use crate::verify;
use crate::workload::Outcome;

use connection::{Connection, Expected};
pub(crate) use drive::Window;
use drive::{Tally, drive};

/// What to send.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProduceSpec {
    /// What a batch holds.
    #[command(flatten)]
    pub(crate) batch: BatchSpec,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    pub(crate) partitions: usize,
    /// Partitions that a request writes to, one batch each.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) partitions_per_request: usize,
    /// Connections. With no more of them than partitions, each partition is written by one only.
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    pub(crate) connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    pub(crate) in_flight: usize,
    /// Who must have the records before the answer: all, 1 or 0.
    #[arg(long, default_value = "all", value_parser = acks, allow_hyphen_values = true)]
    pub(crate) acks: i16,
    /// Seconds that count.
    #[arg(long, default_value_t = 8)]
    pub(crate) seconds: u64,
    /// Seconds before them that do not.
    #[arg(long, default_value_t = 3)]
    pub(crate) warm_up_seconds: u64,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) threads: usize,
}

/// Runs the workload on a topic of its own, and checks the acknowledgements against the log's ends.
///
/// # Errors
/// Any error code, any missing or surplus record.
pub(crate) fn run(target: &Target, spec: &ProduceSpec) -> Result<Outcome, PerfError> {
    let mut admin = Admin::connect(target.broker)?;
    let topic = admin.create_topic(&format!("perf-produce-{}", unique()), spec.partitions)?;
    let before = admin.offsets(&topic, End::Latest)?;
    let load = Load::new(spec, &topic)?;
    let connections = load.connect(target.broker, &before)?;
    let window = Window::starting_now(spec.warm_up_seconds, spec.seconds);
    let (tally, usage) = load.send(connections, window, Some(target))?;
    let sent_batches = tally.acknowledged_requests * spec.partitions_per_request as u64;
    let sent_records = sent_batches * u64::from(load.records_per_batch);
    verify::count(&mut admin, &topic, &before, sent_records, spec.acks == 0)?;
    let mut figures = Figures::default();
    let batches = tally.requests * spec.partitions_per_request as u64;
    let work = Work {
        requests: tally.requests,
        records: batches * u64::from(load.records_per_batch),
        bytes: tally.requests * load.template.batch_bytes() as u64,
    };
    figures.put_work(work, &usage);
    tally.latency.put("ack", &mut figures);
    figures.put("acknowledged_records", sent_records as f64);
    Ok(Outcome { figures, topic })
}

/// Fills a topic with so many bytes of batches per partition; nothing is measured. Tells how many records each batch has
/// and how many bytes.
///
/// # Errors
/// As [`run`].
pub(crate) fn fill(
    target: &Target,
    topic: &Topic,
    batch: &BatchSpec,
    bytes: u64,
) -> Result<(u32, usize), PerfError> {
    let mut admin = Admin::connect(target.broker)?;
    let before = admin.offsets(topic, End::Latest)?;
    let spec = ProduceSpec {
        batch: batch.clone(),
        partitions: topic.partitions,
        partitions_per_request: 1,
        connections: topic.partitions.min(FILL_CONNECTIONS),
        in_flight: 5,
        acks: -1,
        seconds: 0,
        warm_up_seconds: 0,
        threads: 1,
    };
    let load = Load::new(&spec, topic)?;
    let mut connections = load.connect(target.broker, &before)?;
    let requests = bytes.div_ceil(load.template.batch_bytes() as u64);
    for connection in &mut connections {
        connection.limit(requests * connection.partitions() as u64);
    }
    let (tally, _) = load.send(connections, Window::endless(), None)?;
    let records = tally.acknowledged_requests * u64::from(load.records_per_batch);
    verify::count(&mut admin, topic, &before, records, false)?;
    Ok((load.records_per_batch, load.template.batch_bytes()))
}

/// All that the connections of a run share.
struct Load<'a> {
    spec: &'a ProduceSpec,
    template: ProduceTemplate,
    answer: ProduceAnswer,
    records_per_batch: u32,
}

impl<'a> Load<'a> {
    fn new(spec: &'a ProduceSpec, topic: &Topic) -> Result<Self, PerfError> {
        let batch = spec.batch.encode(now());
        let wrong = |error| PerfError::Unfit(format!("encode the request: {error}"));
        let template =
            ProduceTemplate::new(topic.id, spec.acks, spec.partitions_per_request, batch).map_err(wrong)?;
        let answer = ProduceAnswer::new(topic.id, spec.partitions_per_request).map_err(wrong)?;
        let records_per_batch = template.batch().records;
        Ok(Self { spec, template, answer, records_per_batch })
    }

    fn connect(&self, broker: SocketAddr, ends: &[i64]) -> Result<Vec<Connection>, PerfError> {
        (0..self.spec.connections)
            .map(|index| {
                let partitions = partitions_of(self.spec, index);
                if partitions.len() < self.spec.partitions_per_request {
                    let text = "each connection needs as many partitions as a request names";
                    return Err(PerfError::Unfit(text.to_owned()));
                }
                let sole = self.spec.connections <= self.spec.partitions;
                let expected = Expected::new(partitions, ends, sole, self.records_per_batch);
                Connection::open(broker, self.spec, &self.template, &self.answer, expected)
                    .doing("connect to the broker")
            })
            .collect()
    }

    /// Spreads the connections over the threads, and waits for the end of the window and the last answers.
    fn send(
        &self,
        connections: Vec<Connection>,
        window: Window,
        observed: Option<&Target>,
    ) -> Result<(Tally, Usage), PerfError> {
        let mut groups: Vec<Vec<Connection>> = (0..self.spec.threads).map(|_| Vec::new()).collect();
        for (index, connection) in connections.into_iter().enumerate() {
            groups[index % self.spec.threads].push(connection);
        }
        let acknowledged = Arc::new(AtomicU64::new(0));
        thread::scope(|scope| {
            let workers: Vec<_> = groups
                .into_iter()
                .map(|group| {
                    let acknowledged = Arc::clone(&acknowledged);
                    scope.spawn(move || drive(group, &self.template, &self.answer, window, &acknowledged))
                })
                .collect();
            let bytes = self.template.batch_bytes() as u64;
            let progress = || acknowledged.load(Ordering::Relaxed) * bytes;
            let usage = observe(window, observed, progress, || workers.iter().any(|w| w.is_finished()));
            let mut sum = Tally::default();
            for worker in workers {
                sum.add(&worker.join().expect("workers do not panic")?);
            }
            Ok((sum, usage?))
        })
    }
}

/// Samples the counters at both ends of the window, and shows what passes meanwhile.
fn observe(
    window: Window,
    target: Option<&Target>,
    bytes: impl Fn() -> u64,
    over: impl Fn() -> bool,
) -> Result<Usage, PerfError> {
    let pid = target.and_then(|target| target.broker_pid);
    let Some(target) = target else {
        let now = Sample::take(None)?;
        return Ok(now.until(&now));
    };
    sleep_until(window.from, &over);
    let first = Sample::take(pid)?;
    let (mut at, mut seen) = (Instant::now(), bytes());
    while Instant::now() < window.until && !over() {
        sleep_until(window.until.min(at + Duration::from_secs(1)), &over);
        let (now, passed) = (Instant::now(), bytes());
        target.progress(&format!("{:.0} MB/s", (passed - seen) as f64 / 1e6 / (now - at).as_secs_f64()));
        (at, seen) = (now, passed);
    }
    Ok(first.until(&Sample::take(pid)?))
}

/// Sleeps until a moment, or until a worker gave up.
pub(crate) fn sleep_until(moment: Instant, over: impl Fn() -> bool) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() || over() {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(200)));
    }
}

/// The partitions that a connection writes to.
fn partitions_of(spec: &ProduceSpec, connection: usize) -> Vec<i32> {
    if spec.connections <= spec.partitions {
        return (connection..spec.partitions).step_by(spec.connections).map(|index| index as i32).collect();
    }
    // More connections than partitions: they share them, beginning at different ones.
    (0..spec.partitions).map(|index| ((connection + index) % spec.partitions) as i32).collect()
}

/// The time that records carry.
pub(crate) fn now() -> TimestampMs {
    TimestampMs((unix_seconds() * 1000) as i64)
}

/// Something that no other run uses in a name.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}-{}", unix_seconds(), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn acks(text: &str) -> Result<i16, String> {
    match text {
        "all" | "-1" => Ok(-1),
        "1" => Ok(1),
        "0" => Ok(0),
        _ => Err("expected all, 1 or 0".to_owned()),
    }
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

const FILL_CONNECTIONS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(connections: usize, partitions: usize) -> ProduceSpec {
        ProduceSpec {
            batch: BatchSpec::single(100),
            partitions,
            partitions_per_request: 1,
            connections,
            in_flight: 1,
            acks: -1,
            seconds: 1,
            warm_up_seconds: 0,
            threads: 1,
        }
    }

    #[test]
    fn every_partition_is_written() {
        for (connections, partitions) in [(8, 8), (3, 8), (1, 5), (16, 4), (16, 1)] {
            let spec = spec(connections, partitions);
            let mut writers = vec![0; partitions];
            for connection in 0..connections {
                for partition in partitions_of(&spec, connection) {
                    writers[partition as usize] += 1;
                }
            }
            let each = if connections <= partitions { 1 } else { connections };
            assert!(writers.iter().all(|&count| count == each), "{connections} {partitions}");
        }
    }

    #[test]
    fn acks_as_clients_write_them() {
        assert_eq!(acks("all"), Ok(-1));
        assert_eq!(acks("-1"), Ok(-1));
        assert_eq!(acks("0"), Ok(0));
        assert!(acks("2").is_err());
    }

    #[test]
    fn names_differ() {
        assert_ne!(unique(), unique());
    }
}
