//! Which core owns which partition. Local to this broker (KRaft records have no such field), kept beside the checkpoints,
//! published with the view. Losing it costs nothing but balance: recovery replays the journals of all cores.

use std::collections::BTreeMap;

use rkyv::rancor;
use slipring_protocol::ids::{PartitionIndex, TopicId, TopicIdPartition};
use uuid::Uuid;

use crate::runtime::mailbox::ShardId;

/// Name of the file at the metadata directory's root; Kafka ignores it.
pub const FILE_NAME: &str = "slipring-core-map";

/// The owner core of every partition of this broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    owners: BTreeMap<TopicIdPartition, ShardId>,
    owned: Vec<usize>,
}

impl Placement {
    /// Nothing placed, on `shards` cores.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        Self { owners: BTreeMap::new(), owned: vec![0; usize::from(shards)] }
    }

    /// The owner of a partition, if it has been placed.
    #[must_use]
    pub fn owner(&self, partition: TopicIdPartition) -> Option<ShardId> {
        self.owners.get(&partition).copied()
    }

    /// Places a partition on the core with the fewest, unless it has one.
    pub fn place(&mut self, partition: TopicIdPartition) -> ShardId {
        if let Some(owner) = self.owner(partition) {
            return owner;
        }
        let least = (0..).zip(&self.owned).min_by_key(|(_, count)| **count);
        let (owner, _) = least.expect("there is at least one core");
        self.owned[usize::from(owner)] += 1;
        self.owners.insert(partition, ShardId(owner));
        ShardId(owner)
    }

    /// Forgets a deleted partition.
    pub fn remove(&mut self, partition: TopicIdPartition) {
        if let Some(owner) = self.owners.remove(&partition) {
            self.owned[owner.index()] -= 1;
        }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entry = |(partition, owner): (&TopicIdPartition, &ShardId)| Entry {
            topic_id: partition.topic_id.0.as_u128(),
            partition: partition.partition.0,
            core: owner.0,
        };
        let map = CoreMap { entries: self.owners.iter().map(entry).collect() };
        let body = rkyv::to_bytes::<rancor::Error>(&map).expect("plain numbers serialise");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads the file. Partitions of cores that are no longer there are left out, to be placed anew.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(bytes: &[u8], shards: u16) -> Result<Self, DamagedPlacement> {
        let body = bytes.strip_prefix(MAGIC).ok_or(DamagedPlacement("not a core map of this version"))?;
        let (crc, body) = body.split_first_chunk::<4>().ok_or(DamagedPlacement("too short"))?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(DamagedPlacement("wrong checksum"));
        }
        let mut aligned = rkyv::util::AlignedVec::<16>::new();
        aligned.extend_from_slice(body);
        let map = rkyv::from_bytes::<CoreMap, rancor::Error>(&aligned)
            .map_err(|_| DamagedPlacement("entries can't be read"))?;
        let mut placement = Self::new(shards);
        for entry in map.entries.into_iter().filter(|entry| entry.core < shards) {
            let topic_id = TopicId(Uuid::from_u128(entry.topic_id));
            let id = TopicIdPartition { topic_id, partition: PartitionIndex(entry.partition) };
            if placement.owners.insert(id, ShardId(entry.core)).is_none() {
                placement.owned[usize::from(entry.core)] += 1;
            }
        }
        Ok(placement)
    }
}

/// A core map that can't be used; partitions are then placed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged core map: {0}")]
pub struct DamagedPlacement(&'static str);

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct CoreMap {
    entries: Vec<Entry>,
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Entry {
    topic_id: u128,
    partition: i32,
    core: u16,
}

/// Name and version of the format.
const MAGIC: &[u8; 12] = b"SLRCOREMAP01";
const HEAD_BYTES: usize = MAGIC.len() + 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(topic: u128, partition: i32) -> TopicIdPartition {
        TopicIdPartition { topic_id: TopicId(Uuid::from_u128(topic)), partition: PartitionIndex(partition) }
    }

    #[test]
    fn spreads_evenly_and_reads_back() {
        let mut placement = Placement::new(3);
        for partition in 0..9 {
            placement.place(id(7, partition));
        }
        assert_eq!(placement.owned, [3, 3, 3]);
        assert_eq!(Placement::decode(&placement.encode(), 3), Ok(placement.clone()));
        placement.remove(id(7, 0));
        assert_eq!(placement.owned.iter().sum::<usize>(), 8);
    }

    #[test]
    fn partitions_of_vanished_cores_are_placed_anew() {
        let mut placement = Placement::new(4);
        (0..8).for_each(|partition| _ = placement.place(id(1, partition)));
        let mut fewer = Placement::decode(&placement.encode(), 2).unwrap();
        assert_eq!(fewer.owners.len(), 4);
        (0..8).for_each(|partition| _ = fewer.place(id(1, partition)));
        assert_eq!(fewer.owned, [4, 4]);
    }

    #[test]
    fn damage_is_told() {
        let mut placement = Placement::new(1);
        placement.place(id(1, 0));
        let bytes = placement.encode();
        for cut in 0..bytes.len() {
            assert!(Placement::decode(&bytes[..cut], 1).is_err());
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Placement::decode(&flipped, 1).is_err());
        }
    }
}
