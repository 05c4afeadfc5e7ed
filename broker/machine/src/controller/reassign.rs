//! AlterPartitionReassignments, ElectLeaders and UnregisterBroker (Kafka's `ReplicationControlManager`), as far as one broker goes:
//! replicas can change their order, not their brokers.

use std::collections::BTreeSet;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, PartitionIndex};
use slipring_protocol::metadata_records::{MetadataRecord, PartitionChange, UnregisterBroker};

use super::leadership::Move;
use super::{ApiError, Controller, Decision};
use crate::image::{PartitionImage, TopicImage};

/// Partitions that are to have other replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterReassignments {
    /// The partitions, as the request lists them.
    pub partitions: Vec<Reassignment>,
    /// Whether a partition may get another number of replicas.
    pub may_change_factor: bool,
}

/// One partition that is to have other replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: PartitionIndex,
    /// Its replicas, the preferred leader first; `None` takes back what is under way.
    pub replicas: Option<Vec<BrokerId>>,
}

/// Partitions that are to elect a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectLeaders {
    /// Which leader is wanted.
    pub kind: ElectionKind,
    /// The partitions by topic; `None` for all.
    pub topics: Option<Vec<(String, Vec<PartitionIndex>)>>,
}

/// Which leader an election looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    /// The first replica.
    Preferred,
    /// Any replica, where nobody leads.
    Unclean,
}

/// What became of the partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionResult {
    /// The topic.
    pub topic: String,
    /// Its partitions. Where all were asked for, those whose leader is as wanted are left out.
    pub partitions: Vec<(PartitionIndex, Result<(), ApiError>)>,
}

impl Controller {
    /// Changes replicas; one result for each partition, in order.
    pub fn alter_reassignments(&self, command: &AlterReassignments) -> Decision<Vec<Result<(), ApiError>>> {
        let mut records = Vec::new();
        let results = command.partitions.iter().map(|target| {
            let record = self.reassign(target, command.may_change_factor)?;
            records.extend(record.map(MetadataRecord::from));
            Ok(())
        });
        let results = results.collect();
        Decision::atomic(records, results)
    }

    fn reassign(
        &self,
        target: &Reassignment,
        may_change_factor: bool,
    ) -> Result<Option<PartitionChange>, ApiError> {
        let unknown = |message: String| ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
        let topic = self
            .image
            .topic(&target.topic)
            .ok_or_else(|| unknown(format!("Unable to find a topic named {}.", target.topic)))?;
        let partition = topic.partition(target.partition).ok_or_else(|| {
            unknown(format!("Unable to find partition {}:{}.", target.topic, target.partition))
        })?;
        let is_moving = !partition.adding.is_empty() || !partition.removing.is_empty();
        let Some(replicas) = &target.replicas else {
            // What a log of Kafka has under way involves brokers that are not here.
            return Err(match is_moving {
                false => ApiError::bare(ErrorCode::NoReassignmentInProgress),
                true => unsupported(),
            });
        };
        self.check_assignment(replicas, None, target.partition)?;
        if !may_change_factor && replicas.len() != partition.replicas.len() {
            let message = format!(
                "The replication factor is changed from {} to {}",
                partition.replicas.len(),
                replicas.len()
            );
            return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
        }
        let set = |brokers: &[BrokerId]| brokers.iter().copied().collect::<BTreeSet<_>>();
        if is_moving || set(replicas) != set(&partition.replicas) {
            return Err(unsupported());
        }
        if *replicas == partition.replicas {
            return Ok(None);
        }
        let directories = replicas.iter().filter_map(|&replica| partition.directory(replica));
        Ok(Some(PartitionChange {
            topic: topic.id,
            partition: target.partition,
            replicas: Some(replicas.clone()),
            directories: Some(directories.map(|directory| directory.0).collect()),
            ..PartitionChange::default()
        }))
    }

    /// Elects leaders.
    pub fn elect_leaders(&self, command: &ElectLeaders) -> Decision<Vec<ElectionResult>> {
        let mut records = Vec::new();
        let mut elect = |topic: &str, index: PartitionIndex| {
            let change = self.elect(command.kind, topic, index)?;
            records.push(MetadataRecord::from(change));
            Ok(())
        };
        let results = match &command.topics {
            Some(topics) => topics
                .iter()
                .map(|(topic, partitions)| ElectionResult {
                    topic: topic.clone(),
                    partitions: partitions.iter().map(|&index| (index, elect(topic, index))).collect(),
                })
                .collect(),
            None => {
                let is_news = |result: &Result<(), ApiError>| !matches!(result, Err(error) if error.code == ErrorCode::ElectionNotNeeded);
                let of_topic = |topic: &std::sync::Arc<TopicImage>| ElectionResult {
                    topic: topic.name.to_string(),
                    partitions: topic
                        .partitions()
                        .map(|(index, _)| (index, elect(&topic.name, index)))
                        .filter(|(_, result)| is_news(result))
                        .collect(),
                };
                self.image.topics().map(of_topic).collect()
            }
        };
        Decision::splittable(records, results)
    }

    fn elect(
        &self,
        kind: ElectionKind,
        topic: &str,
        index: PartitionIndex,
    ) -> Result<PartitionChange, ApiError> {
        let unknown = |message: String| ApiError::new(ErrorCode::UnknownTopicOrPartition, message);
        let image = self.image.topic(topic).ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
        let partition =
            image.partition(index).ok_or_else(|| unknown(format!("No such partition as {topic}-{index}")))?;
        let leader = self.wanted_leader(kind, partition)?;
        let mut change =
            PartitionChange { topic: image.id, partition: index, leader: Some(leader), ..Default::default() };
        if !partition.isr.contains(&leader) {
            change.isr = Some(vec![leader]);
        }
        Ok(change)
    }

    fn wanted_leader(&self, kind: ElectionKind, partition: &PartitionImage) -> Result<BrokerId, ApiError> {
        let not_needed =
            || ApiError::new(ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.");
        let bare = ApiError::bare;
        let may_lead = |replica: &BrokerId| self.is_able_to_lead(partition, *replica);
        match kind {
            ElectionKind::Preferred => {
                let preferred = partition.replicas.first().copied();
                if partition.leader.is_some() && partition.leader == preferred {
                    return Err(not_needed());
                }
                preferred
                    .filter(|replica| partition.isr.contains(replica) && may_lead(replica))
                    .ok_or_else(|| bare(ErrorCode::PreferredLeaderNotAvailable))
            }
            ElectionKind::Unclean if partition.leader.is_some() => Err(not_needed()),
            ElectionKind::Unclean => {
                let in_sync = partition.isr.iter().find(|replica| may_lead(replica));
                let any = || partition.replicas.iter().find(|replica| may_lead(replica));
                in_sync.or_else(any).copied().ok_or_else(|| bare(ErrorCode::EligibleLeadersNotAvailable))
            }
        }
    }

    /// Forgets a broker that is gone for good. One that is here stays: it would be unfit to serve from then on.
    pub fn unregister_broker(&self, id: BrokerId) -> Decision<Result<(), ApiError>> {
        let Some(broker) = self.image.broker(id) else {
            let message = format!("Broker ID {id} is not currently registered");
            return Decision::nothing(Err(ApiError::new(ErrorCode::BrokerIdNotRegistered, message)));
        };
        if id == self.config.node_id {
            let message = format!("Broker {id} is this one and serves; it can't be unregistered.");
            return Decision::nothing(Err(ApiError::new(ErrorCode::InvalidRequest, message)));
        }
        let mut records = Vec::new();
        self.leader_changes(Move::Leaves(id), &mut records);
        records.push(UnregisterBroker { broker: id, epoch: broker.epoch.0 }.into());
        Decision::splittable(records, Ok(()))
    }
}

fn unsupported() -> ApiError {
    let message = "Replicas can't move between brokers yet.";
    ApiError::new(ErrorCode::InvalidReplicaAssignment, message)
}
