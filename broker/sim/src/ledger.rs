//! What the world outside the broker knows: which batches were sent where, which were acknowledged or seen at which
//! offsets, which topics there are. What is known once stays true for ever; every sight of a partition is held against it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use slipring::runtime::sim::Choices;
use slipring_protocol::batch::{BatchHeader, Batches, crc_ok};
use slipring_protocol::ids::{PartitionIndex, ProducerId, TopicId, TopicIdPartition};

/// A batch, by the order of its making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchNumber(pub usize);

/// Everything known.
#[derive(Default)]
pub struct Ledger {
    batches: Vec<SentBatch>,
    by_digest: BTreeMap<(TopicIdPartition, u64), BatchNumber>,
    partitions: BTreeMap<TopicIdPartition, KnownPartition>,
    /// Topics by name.
    pub topics: BTreeMap<String, Topic>,
    names: BTreeMap<TopicId, String>,
    deleted: BTreeSet<TopicId>,
    producer_ids: BTreeSet<ProducerId>,
    /// Records acknowledged so far.
    pub acknowledged: u64,
}

struct SentBatch {
    partition: TopicIdPartition,
    bytes: Bytes,
    records: i64,
    /// Of an idempotent producer: it may be there once.
    once: bool,
    tries: usize,
    found_at: Vec<i64>,
}

#[derive(Default)]
struct KnownPartition {
    /// Batches by base offset.
    batches: BTreeMap<i64, BatchNumber>,
    acknowledged_end: i64,
    /// Highest leader epoch that was seen of it in an earlier life.
    leader_epoch: Option<i32>,
}

/// A topic as its makers know it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its id, once known.
    pub id: Option<TopicId>,
    /// How many partitions it has, at least.
    pub partitions: i32,
    /// Where it stands.
    pub state: TopicState,
}

/// Where a topic stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// Asked for; nothing was answered.
    Creating,
    /// There.
    Live,
    /// Its deletion was asked for; nothing was answered.
    Deleting,
}

impl Ledger {
    /// A batch that is about to be sent for the first time.
    pub fn make(&mut self, partition: TopicIdPartition, bytes: Vec<u8>) -> BatchNumber {
        let header = BatchHeader::parse(&bytes).expect("made by us");
        let number = BatchNumber(self.batches.len());
        self.by_digest.insert((partition, digest(&bytes)), number);
        self.batches.push(SentBatch {
            partition,
            records: i64::from(header.record_count),
            once: header.producer_id != ProducerId::NONE,
            bytes: bytes.into(),
            tries: 0,
            found_at: Vec::new(),
        });
        number
    }

    /// The number that the next batch gets.
    #[must_use]
    pub fn next_batch(&self) -> BatchNumber {
        BatchNumber(self.batches.len())
    }

    /// Counts a try and gives the bytes.
    pub fn send(&mut self, number: BatchNumber) -> Bytes {
        let batch = &mut self.batches[number.0];
        batch.tries += 1;
        batch.bytes.clone()
    }

    /// The partition of a batch.
    #[must_use]
    pub fn partition_of(&self, number: BatchNumber) -> TopicIdPartition {
        self.batches[number.0].partition
    }

    /// A batch was acknowledged at an offset.
    pub fn acknowledged(&mut self, number: BatchNumber, base: i64) {
        let (partition, records) = {
            let batch = &self.batches[number.0];
            (batch.partition, batch.records)
        };
        self.learn(partition, base, number, "acknowledged");
        let known = self.partitions.entry(partition).or_default();
        known.acknowledged_end = known.acknowledged_end.max(base + records);
        self.acknowledged += records.unsigned_abs();
    }

    /// Holds what a fetch brought from `offset` on against what is known; gives the offset behind it.
    ///
    /// # Panics
    /// When anything of it is wrong.
    pub fn seen(&mut self, partition: TopicIdPartition, offset: i64, bytes: &[u8]) -> i64 {
        let mut next = offset;
        let mut epoch = -1;
        for batch in Batches::new(bytes) {
            let batch = batch.unwrap_or_else(|error| panic!("{partition} at {next}: no batch: {error}"));
            let (base, last) = (batch.header.base_offset.0, batch.header.last_offset().0);
            assert!(crc_ok(batch.bytes), "{partition} at {base}: bad checksum");
            let fits = if next == offset { base <= next && next <= last } else { base == next };
            assert!(fits, "{partition}: a batch of {base} to {last} came for offset {next}");
            assert!(batch.header.leader_epoch.0 >= epoch, "{partition} at {base}: leader epochs fall");
            epoch = batch.header.leader_epoch.0;
            let found = self.by_digest.get(&(partition, digest(batch.bytes))).copied();
            let number = found.unwrap_or_else(|| panic!("{partition} at {base}: a batch that nobody sent"));
            self.learn(partition, base, number, "seen");
            next = last + 1;
        }
        next
    }

    /// Everything of a partition from its start to its end has been seen.
    ///
    /// # Panics
    /// When something that is known is not there, or offsets are left out, or a producer's batches are out of order.
    pub fn seen_whole(&mut self, partition: TopicIdPartition, end: i64) {
        let known = self.partitions.entry(partition).or_default();
        assert!(
            known.acknowledged_end <= end,
            "{partition}: acknowledged up to {}, but it ends at {end}",
            known.acknowledged_end
        );
        let mut next = 0;
        let mut sequences: BTreeMap<ProducerId, i32> = BTreeMap::new();
        for (base, number) in &known.batches {
            let batch = &self.batches[number.0];
            assert_eq!(*base, next, "{partition}: what was known there is not");
            next = base + batch.records;
            if batch.once {
                let header = BatchHeader::parse(&batch.bytes).expect("made by us");
                let before = sequences.insert(header.producer_id, header.base_sequence.0);
                let rising = before.is_none_or(|before| before < header.base_sequence.0);
                assert!(rising, "{partition} at {base}: out of the producer's order");
            }
        }
        assert_eq!(next, end, "{partition}: what was known to its end is not there");
    }

    fn learn(&mut self, partition: TopicIdPartition, base: i64, number: BatchNumber, how: &str) {
        let batch = &mut self.batches[number.0];
        assert_eq!(batch.partition, partition, "a batch is in another partition");
        let known = self.partitions.entry(partition).or_default();
        if let Some(there) = known.batches.get(&base) {
            assert_eq!(*there, number, "{partition} at {base}: {how} another batch than before");
            return;
        }
        batch.found_at.push(base);
        let copies = if batch.once { 1 } else { batch.tries };
        assert!(
            batch.found_at.len() <= copies,
            "{partition}: batch {} {how} at {:?} after {} tries",
            number.0,
            batch.found_at,
            batch.tries
        );
        let end = base + batch.records;
        known.batches.insert(base, number);
        if let Some((before, other)) = known.batches.range(..base).next_back() {
            let before_end = before + self.batches[other.0].records;
            assert!(before_end <= base, "{partition}: {how} at {base}, within the batch at {before}");
        }
        if let Some((after, _)) = known.batches.range(base + 1..).next() {
            assert!(end <= *after, "{partition}: {how} at {base} to {end}, over the batch at {after}");
        }
    }

    /// The offset behind the last record that was acknowledged.
    #[must_use]
    pub fn acknowledged_end(&self, partition: TopicIdPartition) -> i64 {
        self.partitions.get(&partition).map_or(0, |known| known.acknowledged_end)
    }

    /// A partition is led under an epoch in a new life.
    ///
    /// # Panics
    /// When an earlier life had it.
    pub fn new_reign(&mut self, partition: TopicIdPartition, epoch: i32) {
        let known = self.partitions.entry(partition).or_default();
        let before = known.leader_epoch.replace(epoch);
        assert!(Some(epoch) > before, "{partition}: led under epoch {epoch} after {before:?}");
    }

    /// A producer id was given out.
    ///
    /// # Panics
    /// When it was before.
    pub fn new_producer(&mut self, id: ProducerId) {
        assert!(self.producer_ids.insert(id), "producer id {} was given out twice", id.0);
    }

    /// A topic has an id now.
    pub fn made(&mut self, id: TopicId, name: &str) {
        self.names.insert(id, name.to_owned());
    }

    /// The name that a topic has or had.
    #[must_use]
    pub fn name_of(&self, id: TopicId) -> String {
        self.names.get(&id).cloned().unwrap_or_default()
    }

    /// A topic is gone for good.
    pub fn deleted(&mut self, name: &str) {
        if let Some(Topic { id: Some(id), .. }) = self.topics.remove(name) {
            self.deleted.insert(id);
        }
    }

    /// Whether a topic was deleted and that is known.
    #[must_use]
    pub fn is_deleted(&self, id: TopicId) -> bool {
        self.deleted.contains(&id)
    }

    /// Whether a topic is there and nobody has asked for its deletion.
    #[must_use]
    pub fn is_live(&self, id: TopicId) -> bool {
        self.topics.values().any(|topic| topic.id == Some(id) && topic.state == TopicState::Live)
    }

    /// Partitions of topics that are there.
    #[must_use]
    pub fn live_partitions(&self) -> Vec<(String, TopicIdPartition)> {
        let live = self.topics.iter().filter(|(_, topic)| topic.state == TopicState::Live);
        live.flat_map(|(name, topic)| {
            let topic_id = topic.id.expect("live topics have their id");
            (0..topic.partitions).map(move |index| {
                (name.clone(), TopicIdPartition { topic_id, partition: PartitionIndex(index) })
            })
        })
        .collect()
    }

    /// A digest of all that is known.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = 0;
        let mut mix = |number: u64| digest = Choices::new(digest ^ number).next();
        for (partition, known) in &self.partitions {
            mix(partition.topic_id.0.as_u64_pair().0);
            for (base, number) in &known.batches {
                mix(base.unsigned_abs());
                mix(number.0 as u64);
            }
        }
        digest
    }
}

/// What the broker must not change in a batch: everything behind the offset and the leader epoch, which the checksum covers.
fn digest(batch: &[u8]) -> u64 {
    let header = BatchHeader::parse(batch).expect("a whole batch");
    u64::from(header.crc) << 32 | header.size() as u64
}
