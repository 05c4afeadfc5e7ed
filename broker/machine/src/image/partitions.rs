//! Records of topics and partitions into an image; part of `apply`.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, LeaderEpoch, TopicId};
use slipring_protocol::metadata_records::{Partition, PartitionChange, RemoveTopic, Topic};
use uuid::Uuid;

use super::apply::ImageProblem;
use super::{ConfigResource, DirectoryId, MetadataImage, PartitionEpoch, PartitionImage, TopicImage};

impl MetadataImage {
    pub(super) fn create_topic(&mut self, record: &Topic) -> Result<(), ImageProblem> {
        if self.topic(&record.name).is_some() {
            return Err(ImageProblem::TopicExists { name: record.name.clone() });
        }
        if self.topic_by_id(record.id).is_some() {
            return Err(ImageProblem::TopicIdExists { id: record.id });
        }
        let name: Arc<str> = Arc::from(record.name.as_str());
        let topic = TopicImage { name: name.clone(), id: record.id, partitions: BTreeMap::new() };
        self.topics.insert(record.id, Arc::new(topic));
        self.topic_ids.insert(name, Arc::new(record.id));
        Ok(())
    }

    /// Takes the topic's configs with it, as Kafka does: there is no record for each.
    pub(super) fn remove_topic(&mut self, record: &RemoveTopic) -> Result<(), ImageProblem> {
        let topic = self.topics.remove(&record.id).ok_or(ImageProblem::UnknownTopicId { id: record.id })?;
        self.topic_ids.remove(&*topic.name);
        self.configs.remove(&ConfigResource::topic(topic.name.clone()));
        Ok(())
    }

    pub(super) fn put_partition(&mut self, record: &Partition) -> Result<(), ImageProblem> {
        if record.partition.0 < 0 {
            return Err(ImageProblem::OutOfRange { field: "partition", value: record.partition.0.into() });
        }
        let partition = PartitionImage {
            replicas: record.replicas.clone(),
            directories: directories(&record.directories, record.replicas.len())?,
            isr: record.isr.clone(),
            removing: record.removing_replicas.clone(),
            adding: record.adding_replicas.clone(),
            eligible_leaders: record.elr.clone(),
            last_known_eligible: record.last_known_elr.clone(),
            leader: leader(record.leader)?,
            leader_recovery: record.leader_recovery,
            leader_epoch: record.leader_epoch,
            partition_epoch: PartitionEpoch(record.partition_epoch),
        };
        self.topic_mut(record.topic)?.partitions.insert(record.partition, Arc::new(partition));
        Ok(())
    }

    pub(super) fn change_partition(&mut self, record: &PartitionChange) -> Result<(), ImageProblem> {
        let topic = self.topic_mut(record.topic)?;
        match topic.partitions.get_mut(&record.partition) {
            Some(partition) => Arc::make_mut(partition).change(record),
            None => Err(ImageProblem::UnknownPartition {
                topic: topic.name.to_string(),
                partition: record.partition,
            }),
        }
    }

    /// An empty name means every topic.
    pub(super) fn clear_eligible_leaders(&mut self, topic: &str) -> Result<(), ImageProblem> {
        let ids: Vec<TopicId> = if topic.is_empty() {
            self.topics().map(|topic| topic.id).collect()
        } else {
            let topic = self.topic(topic).ok_or(ImageProblem::UnknownTopic { name: topic.to_owned() })?;
            vec![topic.id]
        };
        for id in ids {
            for partition in self.topic_mut(id)?.partitions.values_mut() {
                if !partition.eligible_leaders.is_empty() || !partition.last_known_eligible.is_empty() {
                    Arc::make_mut(partition).clear_eligible_leaders()?;
                }
            }
        }
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut TopicImage, ImageProblem> {
        self.topics.get_mut(&id).ok_or(ImageProblem::UnknownTopicId { id })
    }
}

impl PartitionImage {
    /// Kafka's `PartitionRegistration.merge`. Naming a leader, also the same one, starts a new leader epoch.
    fn change(&mut self, record: &PartitionChange) -> Result<(), ImageProblem> {
        if let Some(named) = record.leader {
            self.leader = leader(named)?;
            self.leader_epoch = LeaderEpoch(next(self.leader_epoch.0, "leader epoch")?);
        }
        put(&mut self.replicas, record.replicas.as_ref());
        put(&mut self.isr, record.isr.as_ref());
        put(&mut self.removing, record.removing_replicas.as_ref());
        put(&mut self.adding, record.adding_replicas.as_ref());
        put(&mut self.eligible_leaders, record.elr.as_ref());
        put(&mut self.last_known_eligible, record.last_known_elr.as_ref());
        if let Some(recovery) = record.leader_recovery {
            self.leader_recovery = recovery;
        }
        let replicas = self.replicas.len();
        if let Some(ids) = &record.directories {
            self.directories = directories(ids, replicas)?;
        }
        if self.directories.len() != replicas {
            return Err(ImageProblem::DirectoryCount { replicas, directories: self.directories.len() });
        }
        self.partition_epoch = PartitionEpoch(next(self.partition_epoch.0, "partition epoch")?);
        Ok(())
    }

    fn clear_eligible_leaders(&mut self) -> Result<(), ImageProblem> {
        self.change(&PartitionChange {
            elr: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..PartitionChange::default()
        })
    }
}

fn put(field: &mut Vec<BrokerId>, change: Option<&Vec<BrokerId>>) {
    if let Some(brokers) = change {
        field.clone_from(brokers);
    }
}

/// -1 is "no leader".
fn leader(id: BrokerId) -> Result<Option<BrokerId>, ImageProblem> {
    match id.0 {
        -1 => Ok(None),
        0.. => Ok(Some(id)),
        value => Err(ImageProblem::OutOfRange { field: "leader", value: value.into() }),
    }
}

fn next(epoch: i32, field: &'static str) -> Result<i32, ImageProblem> {
    epoch.checked_add(1).ok_or(ImageProblem::OutOfRange { field, value: epoch.into() })
}

/// None at all, as records before KIP-858 have it, stands for "somewhere".
fn directories(ids: &[Uuid], replicas: usize) -> Result<Vec<DirectoryId>, ImageProblem> {
    if ids.is_empty() {
        Ok(vec![DirectoryId::MIGRATING; replicas])
    } else if ids.len() == replicas {
        Ok(ids.iter().copied().map(DirectoryId).collect())
    } else {
        Err(ImageProblem::DirectoryCount { replicas, directories: ids.len() })
    }
}
