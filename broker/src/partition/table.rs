//! The partitions of one core: found by identity (requests) and by log (commits).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use slipring_protocol::ids::TopicIdPartition;
use slipring_storage::store::LogId;

use super::Partition;

/// All partitions that a core owns.
#[derive(Default)]
pub struct PartitionTable {
    by_id: HashMap<TopicIdPartition, Partition, BuildHasherDefault<IdHasher>>,
    by_log: HashMap<(usize, LogId), TopicIdPartition, BuildHasherDefault<IdHasher>>,
}

impl PartitionTable {
    /// Adds a partition.
    pub fn insert(&mut self, partition: Partition) {
        self.by_log.insert((partition.store, partition.log), partition.id);
        self.by_id.insert(partition.id, partition);
    }

    /// Removes a partition.
    pub fn remove(&mut self, id: TopicIdPartition) -> Option<Partition> {
        let partition = self.by_id.remove(&id)?;
        self.by_log.remove(&(partition.store, partition.log));
        Some(partition)
    }

    /// The partition with this identity.
    pub fn get_mut(&mut self, id: TopicIdPartition) -> Option<&mut Partition> {
        self.by_id.get_mut(&id)
    }

    /// The partition with this identity.
    #[must_use]
    pub fn get(&self, id: TopicIdPartition) -> Option<&Partition> {
        self.by_id.get(&id)
    }

    /// The partition whose log this is.
    pub fn by_log(&mut self, store: usize, log: LogId) -> Option<&mut Partition> {
        let id = self.by_log.get(&(store, log))?;
        self.by_id.get_mut(id)
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.by_id.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// Topic ids are random and made by the controller, never by clients, so mixing their words is enough.
#[derive(Default)]
pub struct IdHasher(u64);

impl IdHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn write_i32(&mut self, word: i32) {
        self.mix(u64::from(word.cast_unsigned()));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }
}
