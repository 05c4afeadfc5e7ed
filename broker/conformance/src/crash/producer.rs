//! One producer: a connection with requests in flight, a steady rate, numbered records. An idempotent one sends what was not
//! acknowledged again, in order and with the same sequences, as Java's does; a plain one sends everything once.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use slipring_protocol::client::{Client, InFlight};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{PartitionIndex, ProducerEpoch, ProducerId, TimestampMs};
use slipring_protocol::produce::{
    ProducePartition, ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopic,
};
use slipring_protocol::wire::WireStr;

use super::content::{self, Batch, Name, Size, Slot};
use super::{PLACES, Phase, Shared, lock};
use crate::chance::Chance;
use crate::session::connection::Connection;

/// What kind of producer.
#[derive(Clone, Debug)]
pub(crate) struct Habit {
    pub(crate) is_idempotent: bool,
    pub(crate) acks: i16,
    /// Partitions that it writes to.
    pub(crate) slots: std::ops::Range<Slot>,
    /// One batch in so many is a large one; none with 0.
    pub(crate) large_one_in: u64,
    /// Partitions of one request at most.
    pub(crate) partitions_max: u64,
    /// Requests in flight at most.
    pub(crate) window: usize,
    /// Share of the rate, in thousandths.
    pub(crate) share: u64,
}

/// A producer and what it has not finished.
pub(crate) struct Producer {
    id: u16,
    habit: Habit,
    chance: Chance,
    shared: Arc<Shared>,
    identity: Option<(ProducerId, ProducerEpoch)>,
    /// Next number by slot.
    next: Vec<u64>,
    /// Requests that are not acknowledged; the first `sent` of them are in flight on this connection.
    pending: VecDeque<Vec<Batch>>,
    sent: VecDeque<InFlight>,
    client: Option<Client>,
    /// Bytes that were built since `began`.
    built: u64,
    began: Instant,
}

/// Why a connection is given up.
enum Trouble {
    Lost(io::Error),
    /// The broker answered with an error that a client may retry.
    Retry(ErrorCode),
    /// The broker answered something that it must not.
    Fault(String),
}

impl Producer {
    pub(crate) fn new(id: u16, habit: Habit, chance: Chance, shared: Arc<Shared>) -> Self {
        Self {
            id,
            habit,
            chance,
            shared,
            identity: None,
            next: vec![0; PLACES.len()],
            pending: VecDeque::new(),
            sent: VecDeque::new(),
            client: None,
            built: 0,
            began: Instant::now(),
        }
    }

    /// Produces until the run is halted, or drained and nothing is pending; gives the next number of every slot.
    pub(crate) fn run(mut self) -> Vec<u64> {
        loop {
            match self.shared.phase() {
                Phase::Halt => break,
                Phase::Drain if self.pending.is_empty() => break,
                _ => {}
            }
            if let Err(trouble) = self.step() {
                self.give_up(&trouble);
            }
        }
        self.next
    }

    fn step(&mut self) -> Result<(), Trouble> {
        self.connect()?;
        while self.sent.len() < self.habit.window {
            if self.sent.len() == self.pending.len() {
                if self.shared.phase() != Phase::Load || self.ahead().is_some() {
                    break;
                }
                let request = self.build();
                self.pending.push_back(request);
            }
            self.send()?;
        }
        if self.sent.is_empty() {
            let pause = self.ahead().unwrap_or_default().min(Duration::from_millis(20));
            thread::sleep(pause.max(Duration::from_millis(1)));
            return Ok(());
        }
        if self.habit.is_idempotent && self.chance.one_in(SEVERED_ONE_IN) {
            // Duplicates of batches that the broker is at work on.
            return Err(Trouble::Lost(io::ErrorKind::ConnectionAborted.into()));
        }
        self.receive()
    }

    fn connect(&mut self) -> Result<(), Trouble> {
        if self.client.is_none() {
            if self.habit.is_idempotent && self.identity.is_none() {
                self.identity = Some(new_producer_id(&self.shared).map_err(Trouble::Lost)?);
            }
            let client = Client::connect(self.shared.address, &format!("producer-{}", self.id));
            self.client = Some(client.map_err(Trouble::Lost)?);
            // A pause for the broker's sake is no debt to be made up for afterwards.
            (self.built, self.began) = (0, Instant::now());
        }
        Ok(())
    }

    /// How long to wait for the rate to allow the next request.
    fn ahead(&self) -> Option<Duration> {
        let rate = self.shared.bytes_per_second * self.habit.share / 1000;
        let due = Duration::from_micros(self.built * 1_000_000 / rate.max(1));
        due.checked_sub(self.began.elapsed())
    }

    fn build(&mut self) -> Vec<Batch> {
        let slots = &self.habit.slots;
        let count = self.chance.between(1, self.habit.partitions_max + 1).min(slots.len() as u64);
        let first = slots.start + self.chance.index(slots.len());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = TimestampMs(now.as_millis() as i64);
        let mut batches = Vec::new();
        for step in 0..count as usize {
            let slot = slots.start + (first - slots.start + step) % slots.len();
            let is_large = self.habit.large_one_in > 0 && self.chance.one_in(self.habit.large_one_in);
            let size = if is_large { Size::large(&mut self.chance) } else { Size::small(&mut self.chance) };
            let name = Name { producer: self.id, slot, number: self.next[slot] };
            let batch = content::batch(name, size, self.identity, now, &mut self.chance);
            self.next[slot] += u64::from(batch.records);
            self.built += batch.bytes.len() as u64;
            batches.push(batch);
        }
        batches
    }

    fn send(&mut self) -> Result<(), Trouble> {
        let Some(batches) = self.pending.get(self.sent.len()) else { return Ok(()) };
        let request = produce_request(batches, self.habit.acks);
        let client = self.client.as_mut().expect("connected before anything is sent");
        self.sent.push_back(client.send_produce(PRODUCE_VERSION, &request).map_err(Trouble::Lost)?);
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Trouble> {
        let (Some(sent), Some(client)) = (self.sent.front(), self.client.as_mut()) else { return Ok(()) };
        let response = client.receive_produce(*sent).map_err(Trouble::Lost)?;
        self.sent.pop_front();
        let Some(mut batches) = self.pending.pop_front() else { return Ok(()) };
        let mut trouble = None;
        batches.retain(|batch| match self.take_answer(batch, &response) {
            Ok(()) => false,
            // Its later requests may be under way, and a new connection could overtake them.
            Err(Trouble::Retry(error)) if !self.habit.is_idempotent => {
                self.shared.retried(error);
                false
            }
            Err(why) => {
                trouble = Some(why);
                true
            }
        });
        match trouble {
            None => Ok(()),
            Some(why) => {
                self.pending.push_front(batches);
                Err(why)
            }
        }
    }

    fn take_answer(&self, batch: &Batch, response: &ProduceResponse) -> Result<(), Trouble> {
        let answer = find(response, batch.first.slot)
            .ok_or_else(|| Trouble::Fault(format!("no answer for {:?}", batch.first)))?;
        match answer.error {
            ErrorCode::None => {
                let noted = lock(&self.shared.ledger).acknowledge(batch, answer.base_offset.0);
                noted.map_err(Trouble::Fault)
            }
            error if error.is_retriable() && error != ErrorCode::KafkaStorageError => {
                Err(Trouble::Retry(error))
            }
            error => Err(Trouble::Fault(format!("{:?}: error {error:?}", batch.first))),
        }
    }

    /// Forgets the connection. What a plain producer had in flight may be in the log or not.
    fn give_up(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Fault(why) => self.shared.fault(format!("producer {}: {why}", self.id)),
            Trouble::Retry(error) => self.shared.retried(*error),
            Trouble::Lost(error) => {
                let is_silence = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                if error.kind() == io::ErrorKind::InvalidData || (is_silence && !self.shared.is_frozen()) {
                    self.shared.fault(format!("producer {}: {error}", self.id));
                }
            }
        }
        self.client = None;
        self.sent.clear();
        if !self.habit.is_idempotent {
            self.pending.clear();
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asks for a producer id, and notes when it was given out before.
///
/// # Errors
/// When there is no answer, or one with an error.
pub(crate) fn new_producer_id(shared: &Shared) -> io::Result<(ProducerId, ProducerEpoch)> {
    let mut connection = Connection::new(shared.address);
    connection.set_patience(Duration::from_secs(5));
    let request = json!({ "transactional_id": null, "transaction_timeout_ms": 60_000 });
    let began = Instant::now();
    let answer = loop {
        let answer = connection.call("InitProducerId", 4, &request).answer();
        let code = answer["error_code"].as_i64().unwrap_or_default();
        if !ErrorCode::from_code(code as i16).is_retriable() || began.elapsed() > Duration::from_secs(10) {
            break answer;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let id = answer["producer_id"].as_i64().filter(|id| *id >= 0 && answer["error_code"] == 0);
    let id = id.ok_or_else(|| io::Error::other(format!("InitProducerId: {answer}")))?;
    shared.producer_id_given(id);
    let epoch = answer["producer_epoch"].as_i64().unwrap_or_default() as i16;
    Ok((ProducerId(id), ProducerEpoch(epoch)))
}

fn produce_request(batches: &[Batch], acks: i16) -> ProduceRequest {
    let mut request = ProduceRequest { acks, timeout_ms: 30_000, ..ProduceRequest::default() };
    for batch in batches {
        let (topic, partition) = PLACES[batch.first.slot];
        let entry = ProducePartition { index: PartitionIndex(partition), records: Some(batch.bytes.clone()) };
        match request.topics.iter_mut().find(|known| *known.name == *topic) {
            Some(known) => known.partitions.push(entry),
            None => request.topics.push(ProduceTopic {
                name: WireStr::from_static_str(topic),
                partitions: std::iter::once(entry).collect(),
                ..ProduceTopic::default()
            }),
        }
    }
    request
}

fn find(response: &ProduceResponse, slot: Slot) -> Option<&ProducePartitionResponse> {
    let (topic, partition) = PLACES[slot];
    let topic = response.topics.iter().find(|known| *known.name == *topic)?;
    topic.partitions.iter().find(|known| known.index == PartitionIndex(partition))
}

const PRODUCE_VERSION: i16 = 11;
/// Once in so many answers an idempotent producer drops its connection instead of waiting.
const SEVERED_ONE_IN: u64 = 1_000;
