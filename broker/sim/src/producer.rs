//! A producer: makes batches, has several requests under way, loses its connection and goes on with what was not answered:
//! an idempotent one with all of it and in order, a plain one with some of it. Lives longer than the broker.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kafka_protocol::messages::InitProducerIdRequest;
use slipring::runtime;
use slipring_protocol::batch::{BatchBuilder, Compression};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{ProducerEpoch, ProducerId, Sequence, TopicIdPartition};
use slipring_protocol::produce::{
    ProducePartition, ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopic,
};
use slipring_protocol::wire::WireStr;

use crate::IDS_FROM;
use crate::chance::Chance;
use crate::ledger::BatchNumber;
use crate::wire::{Gone, Wire};
use crate::world::Life;

/// Batches of one partition that an idempotent producer has under way at most: what the broker remembers of it.
const WINDOW: usize = 5;

/// A producer; what it keeps over connections and lives is its state.
pub struct Producer {
    number: u32,
    idempotent: bool,
    acks: i16,
    requests_max: usize,
    batch_bytes_max: usize,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    identity: Option<(ProducerId, ProducerEpoch)>,
    sequences: BTreeMap<TopicIdPartition, i32>,
    /// Made and not acknowledged, in order.
    open: BTreeMap<TopicIdPartition, VecDeque<BatchNumber>>,
    made: u64,
}

/// One connection's work.
struct Session<'a> {
    producer: &'a Producer,
    life: &'a Life,
    wire: &'a Wire,
    chance: &'a mut Chance,
    version: i16,
    /// Batches below this were made in an earlier life of the broker.
    old: BatchNumber,
    /// To be sent again before anything new.
    again: BTreeMap<TopicIdPartition, VecDeque<BatchNumber>>,
    under_way: VecDeque<Vec<BatchNumber>>,
    /// The broker has forgotten what it needs to tell a repetition: a new identity is needed.
    start_anew: bool,
}

impl Producer {
    /// A producer of some kind, whose batches have up to `bytes_max`.
    #[must_use]
    pub fn new(number: u32, bytes_max: usize, chance: &mut Chance) -> Self {
        let idempotent = chance.percent(65);
        Self {
            number,
            idempotent,
            acks: if idempotent { -1 } else { chance.one(&[-1, -1, 1, 1, 0]) },
            requests_max: chance.one(&[1, 2, 5, 5, 12]),
            batch_bytes_max: chance.one(&[300, 300, 2_000, 2_000, 20_000, 100_000]).min(bytes_max),
            state: RefCell::default(),
        }
    }

    /// Produces until the life is over.
    pub async fn run(&self, life: &Life, mut chance: Chance) {
        while let Some(wire) = life.connect() {
            _ = self.connected(life, &wire, &mut chance).await;
            wire.cut();
            life.rest(&mut chance, Duration::from_secs(2)).await;
        }
    }

    async fn connected(&self, life: &Life, wire: &Wire, chance: &mut Chance) -> Result<(), Gone> {
        if self.idempotent && self.state.borrow().identity.is_none() {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(60_000);
            let answer = wire.call(4, &request).await?;
            assert_eq!(answer.error_code, 0, "InitProducerId");
            let id = ProducerId(answer.producer_id.0);
            life.ledger.borrow_mut().new_producer(id);
            self.state.borrow_mut().identity = Some((id, ProducerEpoch(answer.producer_epoch)));
        }
        let version =
            if chance.percent(70) { IDS_FROM } else { i16::try_from(chance.of(7..13)).expect("small") };
        let again = self.open_again(life, chance);
        let old = life.made_before();
        let under_way = VecDeque::new();
        let mut session =
            Session { producer: self, life, wire, chance, version, again, old, under_way, start_anew: false };
        let worked = session.work().await;
        if session.start_anew {
            let mut state = self.state.borrow_mut();
            *state = State { made: state.made, ..State::default() };
        }
        worked
    }

    /// What a new connection has to send again. A plain producer gives some of it up.
    fn open_again(
        &self,
        life: &Life,
        chance: &mut Chance,
    ) -> BTreeMap<TopicIdPartition, VecDeque<BatchNumber>> {
        let mut state = self.state.borrow_mut();
        state.open.retain(|partition, _| life.ledger.borrow().is_live(partition.topic_id));
        if !self.idempotent {
            state.open.values_mut().for_each(|open| open.retain(|_| chance.percent(60)));
        }
        state.open.clone()
    }

    /// Makes the next batch of a partition.
    fn make(&self, life: &Life, chance: &mut Chance, partition: TopicIdPartition) -> BatchNumber {
        let mut state = self.state.borrow_mut();
        state.made += 1;
        let mut batch = BatchBuilder::new();
        let records = i32::try_from(chance.of(1..9)).expect("small");
        if self.idempotent {
            let (id, epoch) = state.identity.expect("asked for before anything is made");
            let sequence = state.sequences.entry(partition).or_insert(0);
            batch.producer(id, epoch, Sequence(*sequence));
            *sequence += records;
        }
        if chance.percent(20) {
            let codecs = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
            batch.compression(chance.one(&codecs));
        }
        let bytes = (chance.of(0..self.batch_bytes_max) >> chance.of(0..4)) / records.unsigned_abs() as usize;
        for record in 0..records {
            let mut value = format!("{}:{}:{record}:", self.number, state.made).into_bytes();
            let mut filler = chance.number();
            while value.len() < bytes {
                value.extend_from_slice(&filler.to_le_bytes());
                filler = filler.rotate_left(7);
            }
            batch.append(runtime::wall_clock(), None, Some(&value));
        }
        let number = life.ledger.borrow_mut().make(partition, batch.build());
        state.open.entry(partition).or_default().push_back(number);
        number
    }

    fn has_room(&self, partition: TopicIdPartition) -> bool {
        !self.idempotent || self.state.borrow().open.get(&partition).is_none_or(|open| open.len() < WINDOW)
    }

    /// A batch is settled: acknowledged, or its topic is gone.
    fn settle(&self, partition: TopicIdPartition, number: BatchNumber) {
        let mut state = self.state.borrow_mut();
        if let Some(open) = state.open.get_mut(&partition) {
            open.retain(|other| *other != number);
        }
    }
}

impl Session<'_> {
    async fn work(&mut self) -> Result<(), Gone> {
        loop {
            let over = self.life.is_over() || self.start_anew;
            if over && self.under_way.is_empty() {
                return Ok(());
            }
            while !over && self.under_way.len() < self.producer.requests_max && self.chance.percent(85) {
                self.send().await?;
            }
            if self.chance.percent(1) {
                return Err(Gone);
            }
            if self.chance.percent(20) {
                // A client that does not read.
                self.life.rest(self.chance, Duration::from_secs(1)).await;
            }
            if self.under_way.is_empty() {
                self.life.rest(self.chance, Duration::from_millis(20)).await;
            } else {
                let response = self.wire.receive_produce().await?;
                let asked = self.under_way.pop_front().expect("something was under way");
                self.answered(&asked, &response);
            }
        }
    }

    /// Whether a batch was under way when the broker went, as one of several: of those, what it keeps of a producer in
    /// Kafka's snapshots names the last only, so that a repetition of the others is refused, here as there.
    fn is_old(&self, number: BatchNumber) -> bool {
        let partition = self.life.ledger.borrow().partition_of(number);
        let state = self.producer.state.borrow();
        let open = state.open.get(&partition);
        self.start_anew || (self.old > number && open.is_some_and(|open| open.len() > 1))
    }

    async fn send(&mut self) -> Result<(), Gone> {
        let life = self.life;
        let mut partitions = life.ledger.borrow().live_partitions();
        partitions.retain(|(name, _)| self.version >= IDS_FROM || crate::is_lasting(name));
        if partitions.is_empty() {
            return Ok(());
        }
        let mut chosen: BTreeMap<TopicIdPartition, (String, BatchNumber)> = BTreeMap::new();
        for _ in 0..self.chance.one(&[1, 1, 1, 2, 4]) {
            let (name, partition) = partitions[self.chance.of(0..partitions.len())].clone();
            if chosen.contains_key(&partition) {
                continue;
            }
            let number = match self.again.get_mut(&partition).and_then(VecDeque::pop_front) {
                Some(number) => number,
                None if self.producer.has_room(partition) => self.producer.make(life, self.chance, partition),
                None => continue,
            };
            chosen.insert(partition, (name, number));
        }
        if chosen.is_empty() {
            return Ok(());
        }
        let request = self.request(&chosen);
        let numbers: Vec<BatchNumber> = chosen.values().map(|(_, number)| *number).collect();
        if self.producer.acks == 0 {
            // Whether they arrive is never told.
            chosen.iter().for_each(|(partition, (_, number))| self.producer.settle(*partition, *number));
            return self.wire.send_produce(self.version, &request).await;
        }
        self.under_way.push_back(numbers);
        self.wire.send_produce(self.version, &request).await
    }

    fn request(&self, chosen: &BTreeMap<TopicIdPartition, (String, BatchNumber)>) -> ProduceRequest {
        let mut request =
            ProduceRequest { acks: self.producer.acks, timeout_ms: 30_000, ..Default::default() };
        for (partition, (name, number)) in chosen {
            let records = Some(self.life.ledger.borrow_mut().send(*number));
            let entry = ProducePartition { index: partition.partition, records };
            match request.topics.last_mut() {
                Some(topic) if topic.topic_id == partition.topic_id => topic.partitions.push(entry),
                _ => request.topics.push(ProduceTopic {
                    name: WireStr::from_string(name.clone()),
                    topic_id: partition.topic_id,
                    partitions: [entry].into_iter().collect(),
                }),
            }
        }
        request
    }

    fn answered(&mut self, asked: &[BatchNumber], response: &ProduceResponse) {
        let answers: Vec<&ProducePartitionResponse> =
            response.topics.iter().flat_map(|topic| &topic.partitions).collect();
        assert_eq!(answers.len(), asked.len(), "every part of a produce is answered");
        for (number, answer) in asked.iter().zip(answers) {
            let partition = self.life.ledger.borrow().partition_of(*number);
            assert_eq!(answer.index, partition.partition, "the parts of a produce are answered in order");
            match answer.error {
                ErrorCode::None => {
                    self.life.ledger.borrow_mut().acknowledged(*number, answer.base_offset.0);
                    self.producer.settle(partition, *number);
                }
                ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::NotLeaderOrFollower
                    if !self.life.ledger.borrow().is_live(partition.topic_id) =>
                {
                    self.producer.settle(partition, *number);
                }
                ErrorCode::OutOfOrderSequenceNumber if self.is_old(*number) => self.start_anew = true,
                error => panic!(
                    "{partition}: a batch of producer {} was refused with {error:?}: {:?}",
                    self.producer.number, answer.error_message
                ),
            }
        }
    }
}
