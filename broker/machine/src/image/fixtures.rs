//! Images for the tests of this crate.

use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};
use slipring_protocol::metadata_records::{LeaderRecoveryState, MetadataRecord, Partition, Topic};
use uuid::Uuid;

use super::MetadataImage;

/// A topic id that tests can write as a number.
pub(crate) fn topic_id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

/// The records of a topic whose partitions broker 1 leads.
pub(crate) fn topic_records(name: &str, id: u128, partitions: i32) -> Vec<MetadataRecord> {
    let topic = Topic { name: name.to_owned(), id: topic_id(id) };
    let partition = |index| partition_record(id, index);
    [topic.into()].into_iter().chain((0..partitions).map(|index| partition(index).into())).collect()
}

/// The record of a partition that broker 1 leads.
pub(crate) fn partition_record(topic: u128, index: i32) -> Partition {
    Partition {
        partition: PartitionIndex(index),
        topic: topic_id(topic),
        replicas: vec![BrokerId(1)],
        isr: vec![BrokerId(1)],
        removing_replicas: vec![],
        adding_replicas: vec![],
        leader: BrokerId(1),
        leader_recovery: LeaderRecoveryState::Recovered,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        directories: vec![Uuid::from_u128(1000)],
        elr: vec![],
        last_known_elr: vec![],
    }
}

/// The image of a log that holds just these records.
pub(crate) fn image_of(records: &[MetadataRecord]) -> MetadataImage {
    let mut image = MetadataImage::empty(Arc::from("cluster"));
    image.replay(records, Offset(0), LeaderEpoch(1)).unwrap();
    image
}

/// An image of topics: name, id, partitions.
pub(crate) fn image_with(topics: &[(&str, u128, i32)]) -> MetadataImage {
    let records: Vec<_> =
        topics.iter().flat_map(|&(name, id, count)| topic_records(name, id, count)).collect();
    image_of(&records)
}
