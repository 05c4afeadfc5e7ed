//! A well-behaved client beside the attack: every 100 ms it produces a record and fetches it, now and then over a new
//! connection. It must be served within a second.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use slipring_protocol::batch::{BatchBuilder, Batches};
use slipring_protocol::client::Client;
use slipring_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use slipring_protocol::ids::{BrokerId, Offset, PartitionIndex, TimestampMs};
use slipring_protocol::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use slipring_protocol::wire::WireStr;

/// Shared with the attack.
pub(crate) struct Bystander {
    address: SocketAddr,
    phase: Mutex<String>,
    record: Mutex<Served>,
    is_over: AtomicBool,
}

/// How the bystander was served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    pub(crate) times: u64,
    /// The longest service in this class of attack, and ever.
    pub(crate) worst: Duration,
    pub(crate) worst_ever: Duration,
    /// What must not happen, with the class of attack it happened in.
    pub(crate) complaints: Vec<String>,
}

impl Bystander {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, phase: Mutex::default(), record: Mutex::default(), is_over: AtomicBool::new(false) }
    }

    /// Notes which class of attack begins.
    pub(crate) fn enter(&self, phase: &str) {
        phase.clone_into(&mut lock(&self.phase));
        lock(&self.record).worst = Duration::ZERO;
    }

    /// How the bystander was served.
    pub(crate) fn served(&self) -> Served {
        lock(&self.record).clone()
    }

    pub(crate) fn finish(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Produces and fetches until the attack is over.
    pub(crate) fn run(&self) {
        let mut client = None;
        let mut times = 0;
        while !self.is_over.load(Ordering::Acquire) {
            let began = Instant::now();
            // A new connection must be served like an old one.
            if times % 10 == 0 {
                client = None;
            }
            let outcome = self.turn(&mut client, times);
            let took = began.elapsed();
            times += 1;
            let mut record = lock(&self.record);
            record.times = times;
            record.worst = record.worst.max(took);
            record.worst_ever = record.worst_ever.max(took);
            if record.complaints.len() < COMPLAINTS_MAX {
                let phase = lock(&self.phase).clone();
                match outcome {
                    Err(error) => record.complaints.push(format!("{phase}: a well-behaved client: {error}")),
                    Ok(()) if took > LIMIT => record
                        .complaints
                        .push(format!("{phase}: a well-behaved client waited {:.1} s", took.as_secs_f64())),
                    Ok(()) => {}
                }
            }
            drop(record);
            thread::sleep(PAUSE.saturating_sub(took));
        }
    }

    fn turn(&self, client: &mut Option<Client>, number: u64) -> io::Result<()> {
        let connected = match client {
            Some(client) => client,
            None => client.insert(Client::connect(self.address, "bystander")?),
        };
        let outcome = roundtrip(connected, number);
        if outcome.is_err() {
            *client = None;
        }
        outcome
    }
}

/// Produces one record and fetches it back.
fn roundtrip(client: &mut Client, number: u64) -> io::Result<()> {
    let other = |what: String| io::Error::other(what);
    let value = number.to_be_bytes();
    let batch = BatchBuilder::new().append(TimestampMs(1), None, Some(&value)).build();
    let partition = ProducePartition { index: PartitionIndex(0), records: Some(batch.into()) };
    let topic = ProduceTopic {
        name: WireStr::from_static_str(TOPIC),
        partitions: std::iter::once(partition).collect(),
        ..ProduceTopic::default()
    };
    let topics = std::iter::once(topic).collect();
    let request = ProduceRequest { acks: -1, timeout_ms: 10_000, topics, ..ProduceRequest::default() };
    let answer = client.produce(11, &request)?.unwrap_or_default();
    let answer = answer.topics.first().and_then(|topic| topic.partitions.first());
    let answer = answer.ok_or_else(|| other("no answer for its record".to_owned()))?;
    if answer.error.is_error() {
        return Err(other(format!("produce: error {:?}", answer.error)));
    }
    let request = FetchRequest {
        replica_id: BrokerId(-1),
        max_bytes: 1_000_000,
        topics: vec![FetchTopic {
            name: WireStr::from_static_str(TOPIC),
            partitions: vec![FetchPartition::new(PartitionIndex(0), Offset(answer.base_offset.0), 1_000_000)],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let response = client.fetch(12, &request)?;
    let partition = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
    let records = partition.and_then(|partition| partition.records).unwrap_or_default();
    let found = Batches::new(&records).flatten().next();
    match found {
        Some(batch)
            if batch.header.base_offset == answer.base_offset && batch.bytes.ends_with(&tail(&value)) =>
        {
            Ok(())
        }
        _ => Err(other(format!("its record is not at {}", answer.base_offset.0))),
    }
}

/// The end of a batch of one record: the value and no headers.
fn tail(value: &[u8; 8]) -> [u8; 9] {
    let mut tail = [0; 9];
    tail[..8].copy_from_slice(value);
    tail
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The topic it uses.
pub(crate) const TOPIC: &str = "bystander";
const PAUSE: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(1);
const COMPLAINTS_MAX: usize = 20;
