//! CreatePartitions (Kafka's `ControllerApis.createPartitions` and `ReplicationControlManager.createPartitions`).

use std::collections::{BTreeMap, BTreeSet};

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, PartitionIndex};
use slipring_protocol::metadata_records::MetadataRecord;

use super::placement::{DirectoryChooser, Placer};
use super::{ApiError, Controller, Decision, RECORDS_PER_OPERATION_MAX};
use crate::image::TopicImage;

/// Topics that get more partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topics, as the request lists them.
    pub topics: Vec<MorePartitions>,
    /// Only check.
    pub validate_only: bool,
    /// Fresh random number that spreads the replicas over brokers.
    pub placement_seed: u64,
}

/// A topic that gets more partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MorePartitions {
    /// Its name.
    pub name: String,
    /// How many it shall have.
    pub count: i32,
    /// The brokers of each new partition, where the caller chooses them.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// What became of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionsResult {
    /// The name.
    pub name: String,
    /// Done, or why not.
    pub result: Result<(), ApiError>,
}

impl Controller {
    /// Adds partitions. Results: first the names that the request lists twice, then the others in its order.
    pub fn create_partitions(
        &self,
        command: &CreatePartitions,
    ) -> Decision<Result<Vec<PartitionsResult>, ApiError>> {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for topic in &command.topics {
            *counts.entry(&topic.name).or_default() += 1;
        }
        let twice: BTreeSet<&str> =
            counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, _)| name).collect();
        let refuse = |name: &&str| PartitionsResult {
            name: (*name).to_owned(),
            result: Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
        };
        let mut results: Vec<_> = twice.iter().map(refuse).collect();
        let mut placer = Placer::new(self.image.brokers().map(|broker| &**broker), command.placement_seed);
        let mut directories = DirectoryChooser::new(self);
        let mut records: Vec<MetadataRecord> = Vec::new();
        for topic in command.topics.iter().filter(|topic| !twice.contains(topic.name.as_str())) {
            let room = RECORDS_PER_OPERATION_MAX - records.len();
            let result = self.add_partitions(topic, room, &mut placer).map(|(image, replicas)| {
                let first = image.partition_count();
                for (index, replicas) in (first..).zip(replicas) {
                    let index = PartitionIndex(i32::try_from(index).expect("below the count asked for"));
                    let chosen = directories.choose(&replicas);
                    records.push(self.new_partition(image.id, index, replicas, &chosen).into());
                }
            });
            results.push(PartitionsResult { name: topic.name.clone(), result });
        }
        let records = if command.validate_only { Vec::new() } else { records };
        Decision::atomic(records, Ok(results))
    }

    /// The topic, and the brokers of its new partitions.
    fn add_partitions(
        &self,
        topic: &MorePartitions,
        room: usize,
        placer: &mut Placer,
    ) -> Result<(&TopicImage, Vec<Vec<BrokerId>>), ApiError> {
        let MorePartitions { name, count, assignments } = topic;
        let image = self.image.topic(name).ok_or(ApiError::bare(ErrorCode::UnknownTopicOrPartition))?;
        let have = image.partition_count();
        let invalid = |message| Err(ApiError::new(ErrorCode::InvalidPartitions, message));
        let wanted = usize::try_from(*count).unwrap_or(0);
        if wanted == have {
            return invalid(format!("Topic already has {have} partition(s)."));
        }
        if wanted < have {
            return invalid(format!(
                "The topic {name} currently has {have} partition(s); {count} would not be an increase."
            ));
        }
        let additional = wanted - have;
        if let Some(assignments) = assignments.as_ref().filter(|given| given.len() != additional) {
            let message = format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        // Before anything of that size is built.
        if additional > room {
            return Err(ApiError::too_large());
        }
        let factor = image.replication_factor();
        if let Some(assignments) = assignments {
            for (index, replicas) in (have..).zip(assignments) {
                let index = PartitionIndex(i32::try_from(index).expect("below the count asked for"));
                self.check_assignment(replicas, Some(factor), index)?;
            }
            return Ok((image, assignments.clone()));
        }
        let unable = |reason| ApiError::new(ErrorCode::InvalidReplicationFactor, reason);
        placer.check(factor).map_err(unable)?;
        Ok((image, (0..additional).map(|_| placer.place(factor)).collect()))
    }
}
