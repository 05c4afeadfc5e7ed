//! The partitions of one session: kept in the order they were asked for, found by topic and index. A hot incremental
//! fetch walks and updates them without allocating; only partitions new to the session do.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use slipring_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use super::request::{FetchOutcome, FetchTarget};
use crate::image::MetadataImage;

/// "No slot": the end of the chain.
const NIL: u32 = u32::MAX;

/// An ordered set of partitions. Slots stay where they are until the partition is removed.
#[derive(Clone, Debug)]
pub(super) struct SessionPartitions {
    uses_topic_ids: bool,
    topics: Vec<SessionTopic>,
    topics_free: Vec<u32>,
    by_id: BTreeMap<TopicId, u32>,
    by_name: BTreeMap<Arc<str>, u32>,
    slots: Vec<Slot>,
    slots_free: Vec<u32>,
    /// Topic and partition to slot.
    index: BTreeMap<(u32, PartitionIndex), u32>,
    first: u32,
    last: u32,
}

#[derive(Clone, Debug)]
struct SessionTopic {
    id: TopicId,
    name: Option<Arc<str>>,
    partition_count: u32,
}

#[derive(Clone, Debug)]
struct Slot {
    topic: u32,
    asked: FetchPartition,
    /// What the client was told last; -1 before that and after an error, so that the next answer is told again.
    high_watermark: Offset,
    log_start: Offset,
    before: u32,
    after: u32,
}

impl SessionPartitions {
    pub(super) const fn new(uses_topic_ids: bool) -> Self {
        Self {
            uses_topic_ids,
            topics: Vec::new(),
            topics_free: Vec::new(),
            by_id: BTreeMap::new(),
            by_name: BTreeMap::new(),
            slots: Vec::new(),
            slots_free: Vec::new(),
            index: BTreeMap::new(),
            first: NIL,
            last: NIL,
        }
    }

    pub(super) const fn uses_topic_ids(&self) -> bool {
        self.uses_topic_ids
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Takes over what a request says of its topics: new partitions go to the end, known ones stay where they are.
    pub(super) fn update(&mut self, topics: &[FetchTopic], image: &MetadataImage) {
        for topic in topics.iter().filter(|topic| !topic.partitions.is_empty()) {
            let place = match self.find_topic(topic.topic_id, &topic.name) {
                Some(place) => place,
                None if self.uses_topic_ids => self.add_topic(topic.topic_id, None),
                None => self.add_topic(TopicId::NONE, Some(shared_name(&topic.name, image))),
            };
            for asked in &topic.partitions {
                self.put(place, asked);
            }
        }
    }

    /// Takes partitions out that the client does not want any more.
    pub(super) fn forget(&mut self, topics: &[ForgottenTopic]) {
        for topic in topics {
            for &partition in &topic.partitions {
                // Found anew each time: with its last partition a topic leaves its place.
                let Some(place) = self.find_topic(topic.topic_id, &topic.name) else { break };
                self.remove(place, partition);
            }
        }
    }

    /// Remembers a partition of a full fetch and what it was answered.
    pub(super) fn remember(&mut self, target: &FetchTarget, outcome: &FetchOutcome) {
        let name = target.topic.as_deref().unwrap_or("");
        let place = match self.find_topic(target.topic_id, name) {
            Some(place) => place,
            None => self.add_topic(target.topic_id, target.topic.clone()),
        };
        let slot = self.put(place, &asked(target));
        let slot = &mut self.slots[slot as usize];
        (slot.high_watermark, slot.log_start) = (outcome.high_watermark, outcome.log_start);
    }

    /// Appends all partitions in order. Ids that had no name get one if there is one now.
    pub(super) fn targets(&mut self, image: &MetadataImage, targets: &mut Vec<FetchTarget>) {
        targets.reserve(self.len());
        let mut place = self.first;
        while let Some(slot) = self.slots.get(place as usize) {
            let topic = &mut self.topics[slot.topic as usize];
            if topic.name.is_none() {
                topic.name = image.topic_by_id(topic.id).map(|topic| topic.name.clone());
            }
            let target = FetchTarget::new(topic.id, topic.name.clone(), &slot.asked);
            targets.push(FetchTarget { slot: place, ..target });
            place = slot.after;
        }
    }

    /// Whether the client is to hear of an outcome; if so, it counts as told. A partition that gave records goes to the
    /// end, so that the others come first next time.
    pub(super) fn report(&mut self, target: &FetchTarget, outcome: &FetchOutcome) -> bool {
        let Some(slot) = self.slots.get_mut(target.slot as usize) else { return true };
        let failed = outcome.error.is_error();
        let changed = (slot.high_watermark, slot.log_start) != (outcome.high_watermark, outcome.log_start);
        slot.high_watermark = if failed { Offset(-1) } else { outcome.high_watermark };
        slot.log_start = outcome.log_start;
        let has_records = outcome.records_bytes > 0;
        if has_records {
            self.move_to_end(target.slot);
        }
        changed || failed || has_records || outcome.preferred_replica || outcome.diverging_epoch
    }

    fn find_topic(&self, id: TopicId, name: &str) -> Option<u32> {
        if self.uses_topic_ids { self.by_id.get(&id) } else { self.by_name.get(name) }.copied()
    }

    fn add_topic(&mut self, id: TopicId, name: Option<Arc<str>>) -> u32 {
        let topic = SessionTopic { id, name: name.clone(), partition_count: 0 };
        let place = place(&mut self.topics, &mut self.topics_free, topic);
        match name {
            Some(name) if !self.uses_topic_ids => self.by_name.insert(name, place),
            _ => self.by_id.insert(id, place),
        };
        place
    }

    fn put(&mut self, topic: u32, asked: &FetchPartition) -> u32 {
        if let Some(&slot) = self.index.get(&(topic, asked.partition)) {
            self.slots[slot as usize].asked = *asked;
            return slot;
        }
        let unknown = Offset(-1);
        let (before, after) = (self.last, NIL);
        let slot = Slot { topic, asked: *asked, high_watermark: unknown, log_start: unknown, before, after };
        let slot = place(&mut self.slots, &mut self.slots_free, slot);
        self.index.insert((topic, asked.partition), slot);
        self.topics[topic as usize].partition_count += 1;
        self.append(slot);
        slot
    }

    fn remove(&mut self, topic: u32, partition: PartitionIndex) {
        let Some(slot) = self.index.remove(&(topic, partition)) else { return };
        self.unlink(slot);
        self.slots_free.push(slot);
        let entry = &mut self.topics[topic as usize];
        entry.partition_count -= 1;
        if entry.partition_count > 0 {
            return;
        }
        match entry.name.take() {
            Some(name) if !self.uses_topic_ids => self.by_name.remove(&name),
            _ => self.by_id.remove(&entry.id),
        };
        self.topics_free.push(topic);
    }

    fn move_to_end(&mut self, slot: u32) {
        if self.last != slot {
            self.unlink(slot);
            self.append(slot);
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { before, after, .. } = self.slots[slot as usize];
        match self.slots.get_mut(before as usize) {
            Some(neighbour) => neighbour.after = after,
            None => self.first = after,
        }
        match self.slots.get_mut(after as usize) {
            Some(neighbour) => neighbour.before = before,
            None => self.last = before,
        }
    }

    fn append(&mut self, slot: u32) {
        let before = std::mem::replace(&mut self.last, slot);
        match self.slots.get_mut(before as usize) {
            Some(neighbour) => neighbour.after = slot,
            None => self.first = slot,
        }
        let entry = &mut self.slots[slot as usize];
        (entry.before, entry.after) = (before, NIL);
    }
}

/// The image's own copy of a name where there is one: a session never holds on to a request's bytes.
pub(super) fn shared_name(name: &str, image: &MetadataImage) -> Arc<str> {
    image.topic(name).map_or_else(|| Arc::from(name), |topic| topic.name.clone())
}

/// Puts a value where one was removed, or at the end; gives the place.
fn place<T>(values: &mut Vec<T>, free: &mut Vec<u32>, value: T) -> u32 {
    if let Some(place) = free.pop() {
        values[place as usize] = value;
        return place;
    }
    values.push(value);
    u32::try_from(values.len() - 1).expect("a session holds far fewer partitions than 2^32")
}

fn asked(target: &FetchTarget) -> FetchPartition {
    FetchPartition {
        current_leader_epoch: target.current_leader_epoch,
        last_fetched_epoch: target.last_fetched_epoch,
        log_start_offset: target.log_start_offset,
        ..FetchPartition::new(target.partition, target.fetch_offset, target.max_bytes)
    }
}

const _: () = assert!(LeaderEpoch::NONE.0 == -1, "an epoch that a request leaves out reads as none");
