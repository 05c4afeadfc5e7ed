//! Topics as consumer groups need them: which there are, with how many partitions. The host shows its metadata through
//! [`Topics`]; nothing is copied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use slipring_protocol::ids::{PartitionIndex, TopicId};
use twox_hash::XxHash3_64;

/// What there is of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its id.
    pub id: TopicId,
    /// Number of its partitions.
    pub partitions: i32,
}

/// The topics of the cluster at one point of its metadata.
pub trait Topics: fmt::Debug + Send + Sync {
    /// Ascends with every change, as the offset of the metadata does.
    fn version(&self) -> i64;
    /// The topic of this name.
    fn topic(&self, name: &str) -> Option<TopicInfo>;
    /// The name of the topic with this id.
    fn name(&self, id: TopicId) -> Option<Arc<str>>;
    /// The names of all topics, ascending.
    fn names(&self) -> Vec<Arc<str>>;
    /// The racks of a partition's replicas, as far as they have one.
    fn racks(&self, name: &str, partition: PartitionIndex) -> Vec<String>;
}

/// A cluster without topics.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTopics;

impl Topics for NoTopics {
    fn version(&self) -> i64 {
        -1
    }

    fn topic(&self, _: &str) -> Option<TopicInfo> {
        None
    }

    fn name(&self, _: TopicId) -> Option<Arc<str>> {
        None
    }

    fn names(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn racks(&self, _: &str, _: PartitionIndex) -> Vec<String> {
        Vec::new()
    }
}

/// The ids and partition counts of those of the topics that exist.
pub(super) fn existing<'a>(
    topics: &dyn Topics,
    names: impl IntoIterator<Item = &'a Arc<str>>,
) -> BTreeMap<TopicId, i32> {
    let found = names.into_iter().filter_map(|name| topics.topic(name));
    found.map(|topic| (topic.id, topic.partitions)).collect()
}

/// Changes when a subscribed topic comes, goes, grows or moves between racks (Kafka's `Utils.computeGroupHash`).
pub(super) fn metadata_hash(topics: &dyn Topics, names: &BTreeSet<Arc<str>>) -> i64 {
    let mut bytes = Vec::new();
    for name in names {
        if let Some(hash) = topic_hash(topics, name) {
            bytes.extend_from_slice(&hash.to_le_bytes());
        }
    }
    if bytes.is_empty() { 0 } else { XxHash3_64::oneshot(&bytes) as i64 }
}

fn topic_hash(topics: &dyn Topics, name: &str) -> Option<u64> {
    let topic = topics.topic(name)?;
    let (high, low) = topic.id.0.as_u64_pair();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&high.to_le_bytes());
    bytes.extend_from_slice(&low.to_le_bytes());
    push_text(&mut bytes, name);
    bytes.extend_from_slice(&topic.partitions.to_le_bytes());
    for partition in 0..topic.partitions {
        bytes.extend_from_slice(&partition.to_le_bytes());
        let mut racks = topics.racks(name, PartitionIndex(partition));
        racks.sort_unstable();
        for rack in racks {
            bytes.extend_from_slice(&(rack.encode_utf16().count() as i32).to_le_bytes());
            push_text(&mut bytes, &rack);
        }
    }
    Some(XxHash3_64::oneshot(&bytes))
}

/// UTF-16 units and their number, as hash4j puts a string.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let before = bytes.len();
    text.encode_utf16().for_each(|unit| bytes.extend_from_slice(&unit.to_le_bytes()));
    let units = (bytes.len() - before) / 2;
    bytes.extend_from_slice(&(units as i32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use slipring_protocol::ids::TopicId;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug)]
    struct One;

    impl Topics for One {
        fn version(&self) -> i64 {
            0
        }

        fn topic(&self, name: &str) -> Option<TopicInfo> {
            let id = TopicId(Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677));
            (name == "größe").then_some(TopicInfo { id, partitions: 2 })
        }

        fn name(&self, _: TopicId) -> Option<Arc<str>> {
            None
        }

        fn names(&self) -> Vec<Arc<str>> {
            Vec::new()
        }

        fn racks(&self, _: &str, partition: PartitionIndex) -> Vec<String> {
            if partition.0 == 0 { vec!["rb".to_owned(), "ra".to_owned()] } else { Vec::new() }
        }
    }

    #[test]
    fn topics_hash_as_kafkas_do() {
        // From Java: Utils.computeTopicHash, Utils.computeGroupHash(Map.of("a", 1L, "b", 2L)).
        assert_eq!(topic_hash(&One, "größe"), Some(-3_681_946_976_461_162_648_i64 as u64));
        assert_eq!(topic_hash(&One, "other"), None);
        let two: Vec<u8> = [1i64, 2].into_iter().flat_map(i64::to_le_bytes).collect();
        assert_eq!(XxHash3_64::oneshot(&two) as i64, 571_542_372_673_154_031);
        assert_eq!(metadata_hash(&One, &BTreeSet::from(["other".into()])), 0);
    }
}
