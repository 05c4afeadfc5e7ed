//! CreateTopics (Kafka's `ControllerApis.createTopics` and `ReplicationControlManager.createTopics`).

use std::collections::{BTreeMap, BTreeSet};

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, PartitionIndex, TopicId};
use slipring_protocol::metadata_records::{Config, MetadataRecord, Topic};

use super::placement::{DirectoryChooser, Placer};
use super::topic_name::{check_topic_name, collision_key, has_collision_chars};
use super::{ApiError, Controller, Decision, PARTITIONS_PER_REQUEST_MAX, RECORDS_PER_OPERATION_MAX};
use crate::image::{ConfigKind, DirectoryId};

/// Topics to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTopics {
    /// The topics, as the request lists them.
    pub topics: Vec<NewTopic>,
    /// Only check, and say what would be.
    pub validate_only: bool,
    /// What stands in where a topic says -1.
    pub defaults: TopicDefaults,
    /// Fresh random number that spreads the replicas over brokers.
    pub placement_seed: u64,
}

/// `num.partitions` and `default.replication.factor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
}

impl Default for TopicDefaults {
    fn default() -> Self {
        Self { partitions: 1, replication_factor: 1 }
    }
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Its id: fresh and random.
    pub id: TopicId,
    /// Partitions; -1 for the default, or with assignments.
    pub partitions: i32,
    /// Replicas of each; -1 for the default, or with assignments.
    pub replication_factor: i16,
    /// The brokers of each partition, where the caller chooses them; else empty.
    pub assignments: Vec<PartitionAssignment>,
    /// Configs, checked by the caller.
    pub configs: Vec<TopicConfig>,
    /// What the caller's check of the configs found. It is told only if nothing before it is wrong.
    pub config_error: Option<ApiError>,
}

/// The brokers of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAssignment {
    /// The partition.
    pub partition: PartitionIndex,
    /// Its brokers, the preferred leader first.
    pub replicas: Vec<BrokerId>,
}

/// One config of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Its key.
    pub name: String,
    /// Its value; `None` is refused.
    pub value: Option<String>,
}

/// What became of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResult {
    /// The name.
    pub name: String,
    /// The topic, or why not.
    pub result: Result<CreatedTopic, ApiError>,
}

/// A topic that was created, or would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: TopicId,
    /// Its partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
}

/// The only topic that is no topic.
const CLUSTER_METADATA: &str = "__cluster_metadata";
/// Longest config value, in UTF-16 units (`Short.MAX_VALUE`).
const CONFIG_VALUE_LENGTH_MAX: usize = 32_767;

impl Controller {
    /// Creates topics. Results stand in the order of the request; then the names that it lists twice, then the metadata
    /// topic.
    pub fn create_topics(&self, command: &CreateTopics) -> Decision<Result<Vec<TopicResult>, ApiError>> {
        let names = Names::of(command);
        let topics = || command.topics.iter().filter(|topic| names.is_wanted(&topic.name));
        if topics().map(|topic| topic.partitions_asked(command.defaults)).sum::<i64>()
            > PARTITIONS_PER_REQUEST_MAX
        {
            let message = "Excessively large number of partitions per request.";
            return Decision::nothing(Err(ApiError::new(ErrorCode::PolicyViolation, message)));
        }
        let mut creation = Creation::new(self, command);
        let mut results = Vec::with_capacity(command.topics.len());
        for topic in topics() {
            results.push(TopicResult { name: topic.name.clone(), result: creation.create(topic) });
        }
        if creation.is_too_large {
            return Decision::nothing(Err(ApiError::too_large()));
        }
        results.extend(names.refused());
        let records = if command.validate_only { Vec::new() } else { creation.records };
        Decision::atomic(records, Ok(results))
    }
}

impl NewTopic {
    fn partitions_asked(&self, defaults: TopicDefaults) -> i64 {
        match (self.assignments.len(), self.partitions) {
            (0, -1) => i64::from(defaults.partitions),
            (0, partitions) => i64::from(partitions.max(0)),
            (assignments, _) => i64::try_from(assignments).unwrap_or(i64::MAX),
        }
    }
}

/// The names of a request, and how often it lists them.
struct Names<'a>(BTreeMap<&'a str, u32>);

impl<'a> Names<'a> {
    fn of(command: &'a CreateTopics) -> Self {
        let mut counts = BTreeMap::new();
        for topic in &command.topics {
            *counts.entry(topic.name.as_str()).or_default() += 1;
        }
        Self(counts)
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.0.get(name) == Some(&1) && name != CLUSTER_METADATA
    }

    fn refused(&self) -> impl Iterator<Item = TopicResult> {
        let refuse = |name: &str, message: &str| TopicResult {
            name: name.to_owned(),
            result: Err(ApiError::new(ErrorCode::InvalidRequest, message)),
        };
        let twice = self.0.iter().filter(|(_, count)| **count > 1);
        let metadata = self.0.get(CLUSTER_METADATA).filter(|count| **count == 1);
        twice.map(move |(name, _)| refuse(name, "Duplicate topic name.")).chain(metadata.map(move |_| {
            refuse(CLUSTER_METADATA, "Creation of internal topic __cluster_metadata is prohibited.")
        }))
    }
}

/// A request on its way through.
struct Creation<'a> {
    controller: &'a Controller,
    command: &'a CreateTopics,
    placer: Placer,
    directories: DirectoryChooser<'a>,
    ids: BTreeSet<TopicId>,
    records: Vec<MetadataRecord>,
    is_too_large: bool,
}

impl<'a> Creation<'a> {
    fn new(controller: &'a Controller, command: &'a CreateTopics) -> Self {
        let brokers = controller.image.brokers().map(|broker| &**broker);
        Self {
            controller,
            command,
            placer: Placer::new(brokers, command.placement_seed),
            directories: DirectoryChooser::new(controller),
            ids: BTreeSet::new(),
            records: Vec::new(),
            is_too_large: false,
        }
    }

    fn create(&mut self, topic: &NewTopic) -> Result<CreatedTopic, ApiError> {
        self.check_name(&topic.name)?;
        let configs = config_records(topic)?;
        let replicas = if topic.assignments.is_empty() { self.place(topic)? } else { self.assigned(topic)? };
        if self.records.len() + 1 + configs.len() + replicas.len() > RECORDS_PER_OPERATION_MAX {
            self.is_too_large = true;
            return Err(ApiError::too_large());
        }
        let id = self.fresh_id(topic.id)?;
        let created = CreatedTopic {
            id,
            partitions: i32::try_from(replicas.len()).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(replicas.first().map_or(0, Vec::len)).unwrap_or(i16::MAX),
        };
        self.records.push(Topic { name: topic.name.clone(), id }.into());
        self.records.extend(configs);
        for (index, replicas) in (0..).map(PartitionIndex).zip(replicas) {
            let directories = self.directories.choose(&replicas);
            let record = self.controller.new_partition(id, index, replicas, &directories);
            self.records.push(record.into());
        }
        Ok(created)
    }

    fn check_name(&self, name: &str) -> Result<(), ApiError> {
        if self.controller.image.topic(name).is_some() {
            let message = format!("Topic '{name}' already exists.");
            return Err(ApiError::new(ErrorCode::TopicAlreadyExists, message));
        }
        check_topic_name(name)?;
        // Names of the same request are not held against each other, as in Kafka.
        let colliding = if has_collision_chars(name) {
            self.controller.collisions.get(&collision_key(name)).and_then(BTreeSet::first)
        } else {
            None
        };
        match colliding {
            None => Ok(()),
            Some(other) => Err(ApiError::new(
                ErrorCode::InvalidTopicException,
                format!("Topic '{name}' collides with existing topic: {other}"),
            )),
        }
    }

    /// An id that is no topic's: the caller drew it at random, so anything else is its mistake.
    fn fresh_id(&mut self, id: TopicId) -> Result<TopicId, ApiError> {
        let is_taken = self.controller.image.topic_by_id(id).is_some() || !self.ids.insert(id);
        if is_taken || DirectoryId(id.0).is_reserved() {
            return Err(ApiError::bare(ErrorCode::UnknownServerError));
        }
        Ok(id)
    }

    fn place(&mut self, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, ApiError> {
        let refuse = |code, message: &str| Err(ApiError::new(code, message));
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return refuse(ErrorCode::InvalidReplicationFactor, message);
        }
        let or_default = |value: i32, default: i32| if value == -1 { default } else { value };
        let defaults = self.command.defaults;
        let partitions = or_default(topic.partitions, defaults.partitions);
        if topic.partitions < -1 || partitions < 1 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return refuse(ErrorCode::InvalidPartitions, message);
        }
        let factor = or_default(topic.replication_factor.into(), defaults.replication_factor.into());
        let unable = |reason: &str| {
            let message = format!("Unable to replicate the partition {factor} time(s): {reason}");
            ApiError::new(ErrorCode::InvalidReplicationFactor, message)
        };
        let factor = usize::try_from(factor).unwrap_or(0);
        self.placer.check(factor).map_err(|reason| unable(&reason))?;
        Ok((0..partitions).map(|_| self.placer.place(factor)).collect())
    }

    fn assigned(&self, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, ApiError> {
        let refuse = |what: &str| {
            let message =
                format!("A manual partition assignment was specified, but {what} was not set to -1.");
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        };
        if topic.replication_factor != -1 {
            return refuse("replication factor");
        }
        if topic.partitions != -1 {
            return refuse("numPartitions");
        }
        let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        let mut partitions: BTreeMap<PartitionIndex, &Vec<BrokerId>> = BTreeMap::new();
        let mut factor = None;
        for PartitionAssignment { partition, replicas } in &topic.assignments {
            if partitions.contains_key(partition) {
                return invalid(format!(
                    "Found multiple manual partition assignments for partition {partition}"
                ));
            }
            self.controller.check_assignment(replicas, factor, *partition)?;
            factor = Some(replicas.len());
            partitions.insert(*partition, replicas);
        }
        if (0..).map(PartitionIndex).zip(partitions.keys()).any(|(expected, &index)| expected != index) {
            return invalid("partitions should be a consecutive 0-based integer sequence".to_owned());
        }
        Ok(partitions.into_values().cloned().collect())
    }
}

/// The configs of a topic as records; of a key that is set twice the last value.
fn config_records(topic: &NewTopic) -> Result<Vec<MetadataRecord>, ApiError> {
    let nulls: Vec<&str> =
        topic.configs.iter().filter(|config| config.value.is_none()).map(|config| &*config.name).collect();
    let invalid = |message| Err(ApiError::new(ErrorCode::InvalidConfig, message));
    if !nulls.is_empty() {
        return invalid(format!("Null value not supported for topic configs: {}", nulls.join(",")));
    }
    let values: BTreeMap<&str, &str> = topic
        .configs
        .iter()
        .filter_map(|config| Some((config.name.as_str(), config.value.as_deref()?)))
        .collect();
    if values.values().any(|value| value.encode_utf16().count() > CONFIG_VALUE_LENGTH_MAX) {
        return invalid(format!(
            "The configuration value cannot be added because it exceeds the maximum value size of \
             {CONFIG_VALUE_LENGTH_MAX} bytes."
        ));
    }
    if let Some(error) = &topic.config_error {
        return Err(error.clone());
    }
    let record = |(name, value): (&str, &str)| {
        MetadataRecord::from(Config {
            resource_type: ConfigKind::TOPIC.0,
            resource_name: topic.name.clone(),
            name: name.to_owned(),
            value: Some(value.to_owned()),
        })
    };
    Ok(values.into_iter().map(record).collect())
}
