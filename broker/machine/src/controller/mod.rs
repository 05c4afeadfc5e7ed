//! The controller as a pure machine: a command is decided on the present image and gives records and a reply; the records
//! are replayed into the image, live and at start alike. On the core that hosts the metadata log. It never waits, never
//! reads a clock and changes nothing while it decides.
//!
//! Behaviour, error codes and messages are those of Kafka's `QuorumController` and the managers behind it
//! (`ReplicationControlManager`, `ClusterControlManager`, `ProducerIdControlManager`) at metadata.version 4.3-IV0, with
//! eligible leader replicas off (those in a log of Kafka are honoured). Missing, for later work: heartbeats and broker sessions, AlterPartition, replicas that move,
//! quotas, ACLs.

mod activate;
mod brokers;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod error;
mod features;
mod leadership;
mod partitions;
mod placement;
mod producer_ids;
mod reassign;
mod topic_name;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, LeaderEpoch, Offset, TimestampMs};
use slipring_protocol::metadata_records::{METADATA_VERSION_LEVEL, MetadataRecord};

pub use activate::ActivateController;
pub use brokers::{BrokerRef, RegisterBroker};
pub use configs::{
    AlterConfigs, ConfigAlteration, ConfigChange, ConfigOperation, ConfigResult, ConfigRules, ListChange,
    Rules,
};
pub use create_partitions::{CreatePartitions, MorePartitions, PartitionsResult};
pub use create_topics::{
    CreateTopics, CreatedTopic, NewTopic, PartitionAssignment, TopicConfig, TopicDefaults, TopicResult,
};
pub use delete_topics::{DeleteResult, DeleteTopics, TopicSelector};
pub use error::ApiError;
pub use features::{FeatureDirection, FeatureUpdate, UpdateFeatures};
pub use producer_ids::{PRODUCER_ID_BLOCK_SIZE, ProducerIdBlock};
pub use reassign::{AlterReassignments, ElectLeaders, ElectionKind, ElectionResult, Reassignment};
pub use topic_name::check_topic_name;

use crate::image::{BrokerEpoch, DirectoryId, ImageDelta, ImageError, MetadataImage, TopicImage};
use topic_name::{collision_key, has_collision_chars};

/// Lowest level of `metadata.version` that Kafka 4.3 reads: 3.3-IV3.
pub const METADATA_VERSION_MIN: i16 = 7;
/// Level of `metadata.version` 4.3-IV0, which a new log starts with.
pub const METADATA_VERSION_4_3_IV0: i16 = METADATA_VERSION_LEVEL;
/// Most records that one user's operation may write (Kafka's `MAX_RECORDS_PER_USER_OP`).
pub const RECORDS_PER_OPERATION_MAX: usize = 10_000;
/// Most partitions that one CreateTopics request may ask for (Kafka's `MAX_PARTITIONS_PER_BATCH`).
pub const PARTITIONS_PER_REQUEST_MAX: i64 = 10_000;

/// What of the node's configuration the controller decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerConfig {
    /// This node.
    pub node_id: BrokerId,
    /// `unclean.leader.election.enable` where neither the topic nor the cluster says otherwise.
    pub unclean_leader_election: bool,
}

/// Something for the controller to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// This node becomes the active controller.
    ActivateController(ActivateController),
    /// A broker starts, or tells of a change in its registration.
    RegisterBroker(RegisterBroker),
    /// A broker has caught up and may lead.
    UnfenceBroker(BrokerRef),
    /// A broker is gone, or stops: it leads nothing any more.
    FenceBroker(BrokerRef),
    /// New topics.
    CreateTopics(CreateTopics),
    /// Topics to delete.
    DeleteTopics(DeleteTopics),
    /// More partitions for topics.
    CreatePartitions(CreatePartitions),
    /// A broker needs producer ids.
    AllocateProducerIds(BrokerRef),
    /// Configs change.
    AlterConfigs(AlterConfigs),
    /// Partitions get other replicas.
    AlterReassignments(AlterReassignments),
    /// Partitions elect leaders.
    ElectLeaders(ElectLeaders),
    /// A broker is gone for good.
    UnregisterBroker(BrokerId),
    /// Features get other levels.
    UpdateFeatures(UpdateFeatures),
}

/// The answer to the [`Command`] of the same name. An outer error is one of the whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to say.
    ActivateController(Result<(), ApiError>),
    /// The epoch of the registration.
    RegisterBroker(Result<BrokerEpoch, ApiError>),
    /// Nothing to say.
    UnfenceBroker(Result<(), ApiError>),
    /// Nothing to say.
    FenceBroker(Result<(), ApiError>),
    /// One result for each topic.
    CreateTopics(Result<Vec<TopicResult>, ApiError>),
    /// One result for each topic.
    DeleteTopics(Result<Vec<DeleteResult>, ApiError>),
    /// One result for each topic.
    CreatePartitions(Result<Vec<PartitionsResult>, ApiError>),
    /// The ids.
    AllocateProducerIds(Result<ProducerIdBlock, ApiError>),
    /// One result for each resource.
    AlterConfigs(Result<Vec<ConfigResult>, ApiError>),
    /// One result for each partition.
    AlterReassignments(Vec<Result<(), ApiError>>),
    /// The results by topic.
    ElectLeaders(Vec<ElectionResult>),
    /// Nothing to say.
    UnregisterBroker(Result<(), ApiError>),
    /// Nothing to say.
    UpdateFeatures(Result<(), ApiError>),
}

/// What was decided. The host appends `records`, replays them at once, and gives the reply when they are durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<R = Reply> {
    /// Records to append.
    pub records: Vec<MetadataRecord>,
    /// Whether the records must take effect together: one batch, or a metadata transaction around several. Otherwise they
    /// may be cut anywhere; what is lost in between is decided again at the next start.
    pub atomic: bool,
    /// The answer.
    pub reply: R,
}

impl<R> Decision<R> {
    fn atomic(records: Vec<MetadataRecord>, reply: R) -> Self {
        Self { records, atomic: true, reply }
    }

    fn splittable(records: Vec<MetadataRecord>, reply: R) -> Self {
        Self { records, atomic: false, reply }
    }

    fn nothing(reply: R) -> Self {
        Self::atomic(Vec::new(), reply)
    }

    fn map<T>(self, wrap: impl FnOnce(R) -> T) -> Decision<T> {
        Decision { records: self.records, atomic: self.atomic, reply: wrap(self.reply) }
    }
}

/// The controller's state: the image of the whole log, and what is derived from it to decide faster.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    config: ControllerConfig,
    image: MetadataImage,
    /// Topic names by what they would be if `.` were `_`; only names with one of the two.
    collisions: BTreeMap<String, BTreeSet<Arc<str>>>,
    /// Replicas in each directory.
    directory_loads: BTreeMap<DirectoryId, u32>,
}

impl Controller {
    /// A controller that stands where `image` does.
    #[must_use]
    pub fn new(config: ControllerConfig, image: MetadataImage) -> Self {
        let nothing = MetadataImage::empty(image.cluster_id().clone());
        let delta = ImageDelta::between(&nothing, &image);
        let mut controller =
            Self { config, image, collisions: BTreeMap::new(), directory_loads: BTreeMap::new() };
        controller.derive(&delta);
        controller
    }

    /// The metadata as of the last record replayed.
    #[must_use]
    pub const fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Decides a command. Nothing changes until the records are replayed. `_now` is for broker sessions, which come with
    /// heartbeats.
    #[must_use]
    pub fn decide(&self, _now: TimestampMs, command: Command) -> Decision {
        match command {
            Command::ActivateController(command) => self.activate(&command).map(Reply::ActivateController),
            Command::RegisterBroker(command) => self.register_broker(&command).map(Reply::RegisterBroker),
            Command::UnfenceBroker(broker) => self.unfence_broker(broker).map(Reply::UnfenceBroker),
            Command::FenceBroker(broker) => self.fence_broker(broker).map(Reply::FenceBroker),
            Command::CreateTopics(command) => self.create_topics(&command).map(Reply::CreateTopics),
            Command::DeleteTopics(command) => self.delete_topics(&command).map(Reply::DeleteTopics),
            Command::CreatePartitions(command) => {
                self.create_partitions(&command).map(Reply::CreatePartitions)
            }
            Command::AllocateProducerIds(broker) => {
                self.allocate_producer_ids(broker).map(Reply::AllocateProducerIds)
            }
            Command::AlterConfigs(command) => self.alter_configs(&command).map(Reply::AlterConfigs),
            Command::AlterReassignments(command) => {
                self.alter_reassignments(&command).map(Reply::AlterReassignments)
            }
            Command::ElectLeaders(command) => self.elect_leaders(&command).map(Reply::ElectLeaders),
            Command::UpdateFeatures(command) => self.update_features(&command).map(Reply::UpdateFeatures),
            Command::UnregisterBroker(id) => self.unregister_broker(id).map(Reply::UnregisterBroker),
        }
    }

    /// Takes over records that were appended, and says what they changed. `base_offset` is the offset of the first.
    ///
    /// # Errors
    /// When a record contradicts the ones before it; nothing is taken over then.
    pub fn replay(
        &mut self,
        records: &[MetadataRecord],
        base_offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<ImageDelta, ImageError> {
        let (image, delta) = self.image.apply(records, base_offset, epoch)?;
        self.image = image;
        self.derive(&delta);
        Ok(delta)
    }

    fn derive(&mut self, delta: &ImageDelta) {
        for topic in &delta.topics_deleted {
            self.forget_name(topic);
            for (_, partition) in topic.partitions() {
                self.unload(&partition.directories);
            }
        }
        for topic in &delta.topics_created {
            if has_collision_chars(&topic.name) {
                self.collisions.entry(collision_key(&topic.name)).or_default().insert(topic.name.clone());
            }
        }
        for change in &delta.partitions_changed {
            if let Some(old) = &change.old {
                self.unload(&old.directories);
            }
            for &directory in change.new.directories.iter().filter(|directory| !directory.is_reserved()) {
                *self.directory_loads.entry(directory).or_default() += 1;
            }
        }
    }

    fn forget_name(&mut self, topic: &TopicImage) {
        let key = collision_key(&topic.name);
        if let Some(names) = self.collisions.get_mut(&key) {
            names.remove(&topic.name);
            if names.is_empty() {
                self.collisions.remove(&key);
            }
        }
    }

    fn unload(&mut self, directories: &[DirectoryId]) {
        for directory in directories {
            if let Some(load) = self.directory_loads.get_mut(directory) {
                *load -= 1;
                if *load == 0 {
                    self.directory_loads.remove(directory);
                }
            }
        }
    }
}
