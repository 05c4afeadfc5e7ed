//! Metadata records into an image: the only place that changes one. The controller replays its own records here, and so
//! does every start-up. A record that contradicts the image is an error that names its offset, never a panic: the log is
//! damaged or written by something else.

use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};
use slipring_protocol::metadata_records::{
    BrokerRegistrationChange, Config, FeatureLevel, MetadataRecord, ProducerIds, RegisterBroker,
    RegisterController,
};

use super::{
    BrokerEpoch, BrokerImage, ConfigKind, ConfigResource, ControllerImage, DirectoryId, ImageDelta,
    ImageVersion, MetadataImage,
};

/// A record that cannot follow the ones before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata record at offset {offset}: {problem}")]
pub struct ImageError {
    /// Where the record stands in the metadata log.
    pub offset: Offset,
    /// What is wrong with it.
    pub problem: ImageProblem,
}

/// What can be wrong with a metadata record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageProblem {
    /// The image goes further than the records' first offset already.
    #[error("the image is at offset {at} already")]
    OffsetRepeated {
        /// Offset of the image.
        at: Offset,
    },
    /// The records are of an earlier controller than the ones before.
    #[error("controller epoch {got} after epoch {have}")]
    EpochBackwards {
        /// Epoch of the image.
        have: LeaderEpoch,
        /// Epoch of the records.
        got: LeaderEpoch,
    },
    /// A second topic of the name.
    #[error("topic '{name}' exists")]
    TopicExists {
        /// Name of the topic.
        name: String,
    },
    /// A second topic of the id.
    #[error("topic id {id} exists")]
    TopicIdExists {
        /// Id of the topic.
        id: TopicId,
    },
    /// A topic that there is not, by id.
    #[error("no topic has id {id}")]
    UnknownTopicId {
        /// Id in the record.
        id: TopicId,
    },
    /// A topic that there is not, by name.
    #[error("no topic is called '{name}'")]
    UnknownTopic {
        /// Name in the record.
        name: String,
    },
    /// A partition that there is not.
    #[error("topic '{topic}' has no partition {partition}")]
    UnknownPartition {
        /// Name of the topic.
        topic: String,
        /// Partition in the record.
        partition: PartitionIndex,
    },
    /// Not one directory for each replica.
    #[error("{directories} directories for {replicas} replicas")]
    DirectoryCount {
        /// Replicas of the partition.
        replicas: usize,
        /// Directories in the record.
        directories: usize,
    },
    /// A partition, leader or epoch that cannot be: below what the field's "none" is, or past its end.
    #[error("{field} {value} is out of range")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// A broker that is not registered.
    #[error("broker {id} is not registered")]
    UnknownBroker {
        /// Id in the record.
        id: BrokerId,
    },
    /// The record is about another registration of the broker.
    #[error("broker {id} is registered with epoch {have}, not {got}")]
    BrokerEpochDiffers {
        /// Broker of the record.
        id: BrokerId,
        /// Epoch of its registration.
        have: i64,
        /// Epoch in the record.
        got: i64,
    },
    /// Producer ids would be given out twice.
    #[error("next producer id {got} is not above {have}")]
    ProducerIdsBackwards {
        /// Next id of the image.
        have: ProducerId,
        /// Next id of the record.
        got: ProducerId,
    },
    /// A transaction in a transaction, or the end of none.
    #[error("a metadata transaction {}", if *.open { "is open already" } else { "is not open" })]
    Transaction {
        /// Whether one is open.
        open: bool,
    },
}

impl MetadataImage {
    /// The image after `records`, and what they changed. `base_offset` is the offset of the first record; each takes one.
    /// Offsets may skip (control batches are no records), never go back.
    ///
    /// # Errors
    /// When a record contradicts the ones before it; this image stays as it is.
    pub fn apply(
        &self,
        records: &[MetadataRecord],
        base_offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(Self, ImageDelta), ImageError> {
        let mut image = self.clone();
        image.replay(records, base_offset, epoch)?;
        let delta = ImageDelta::between(self, &image);
        Ok((image, delta))
    }

    /// [`apply`](Self::apply) in place, for loading a long log: copies nothing that no other image holds.
    ///
    /// # Errors
    /// When a record contradicts the ones before it; the image is then of no use any more.
    pub fn replay(
        &mut self,
        records: &[MetadataRecord],
        base_offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(), ImageError> {
        self.check_version(base_offset, epoch)?;
        let mut version = self.version;
        for (index, record) in (0..).zip(records) {
            let offset = base_offset.plus(index);
            self.replay_one(record).map_err(|problem| ImageError { offset, problem })?;
            version = ImageVersion { offset, epoch };
        }
        self.version = version;
        Ok(())
    }

    fn check_version(&self, base_offset: Offset, epoch: LeaderEpoch) -> Result<(), ImageError> {
        let ImageVersion { offset: at, epoch: have } = self.version;
        let problem = if base_offset <= at {
            ImageProblem::OffsetRepeated { at }
        } else if epoch < have {
            ImageProblem::EpochBackwards { have, got: epoch }
        } else {
            return Ok(());
        };
        Err(ImageError { offset: base_offset, problem })
    }

    fn replay_one(&mut self, record: &MetadataRecord) -> Result<(), ImageProblem> {
        match record {
            MetadataRecord::RegisterBroker(record) => self.register_broker(record),
            MetadataRecord::UnregisterBroker(record) => {
                self.registered(record.broker, record.epoch)?;
                Arc::make_mut(&mut self.brokers).remove(&record.broker);
            }
            MetadataRecord::FenceBroker(record) => {
                self.registered(record.broker, record.epoch)?.fenced = true
            }
            MetadataRecord::UnfenceBroker(record) => {
                self.registered(record.broker, record.epoch)?.fenced = false
            }
            MetadataRecord::BrokerRegistrationChange(record) => self.change_registration(record)?,
            MetadataRecord::RegisterController(record) => self.register_controller(record),
            MetadataRecord::Topic(record) => self.create_topic(record)?,
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record)?,
            MetadataRecord::Partition(record) => self.put_partition(record)?,
            MetadataRecord::PartitionChange(record) => self.change_partition(record)?,
            MetadataRecord::ClearElr(record) => self.clear_eligible_leaders(&record.topic)?,
            MetadataRecord::Config(record) => self.set_config(record),
            MetadataRecord::FeatureLevel(record) => self.set_feature(record),
            MetadataRecord::ProducerIds(record) => self.give_producer_ids(record)?,
            MetadataRecord::BeginTransaction(_) => self.begin_transaction()?,
            MetadataRecord::EndTransaction => drop(self.open_transaction()?),
            MetadataRecord::AbortTransaction(_) => {
                let before = self.open_transaction()?;
                *self = Self { version: self.version, ..(*before).clone() };
            }
            MetadataRecord::ClientQuota(_) | MetadataRecord::Opaque { .. } => self.opaque_count += 1,
            MetadataRecord::NoOp => {}
        }
        Ok(())
    }

    fn register_broker(&mut self, record: &RegisterBroker) {
        let broker = BrokerImage {
            id: record.broker,
            epoch: BrokerEpoch(record.epoch),
            incarnation_id: record.incarnation,
            endpoints: record.endpoints.clone(),
            features: record.features.clone(),
            rack: record.rack.as_deref().map(Arc::from),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            directories: directories(&record.log_dirs),
            cordoned: record.cordoned_log_dirs.as_deref().map(directories),
        };
        Arc::make_mut(&mut self.brokers).insert(broker.id, Arc::new(broker));
    }

    fn change_registration(&mut self, record: &BrokerRegistrationChange) -> Result<(), ImageProblem> {
        let broker = self.registered(record.broker, record.epoch)?;
        if let Some(fenced) = record.fenced {
            broker.fenced = fenced;
        }
        broker.in_controlled_shutdown |= record.in_controlled_shutdown;
        if !record.log_dirs.is_empty() {
            broker.directories = directories(&record.log_dirs);
        }
        if let Some(cordoned) = &record.cordoned_log_dirs {
            broker.cordoned = Some(directories(cordoned));
        }
        Ok(())
    }

    /// The registration that a record is about, for a change.
    fn registered(&mut self, id: BrokerId, epoch: i64) -> Result<&mut BrokerImage, ImageProblem> {
        let broker =
            Arc::make_mut(&mut self.brokers).get_mut(&id).ok_or(ImageProblem::UnknownBroker { id })?;
        let have = broker.epoch.0;
        if have == epoch {
            Ok(Arc::make_mut(broker))
        } else {
            Err(ImageProblem::BrokerEpochDiffers { id, have, got: epoch })
        }
    }

    fn register_controller(&mut self, record: &RegisterController) {
        let controller = ControllerImage {
            id: record.controller,
            incarnation_id: record.incarnation,
            endpoints: record.endpoints.clone(),
            features: record.features.clone(),
        };
        Arc::make_mut(&mut self.controllers).insert(controller.id, Arc::new(controller));
    }

    fn set_config(&mut self, record: &Config) {
        let resource = ConfigResource {
            kind: ConfigKind(record.resource_type),
            name: Arc::from(record.resource_name.as_str()),
        };
        let Some(value) = &record.value else {
            if let Some(configs) = self.configs.get_mut(&resource) {
                configs.remove(record.name.as_str());
                if configs.is_empty() {
                    self.configs.remove(&resource);
                }
            }
            return;
        };
        if self.configs.get(&resource).is_none() {
            self.configs.insert(resource.clone(), Arc::default());
        }
        let configs = self.configs.get_mut(&resource).expect("it was put there if it was missing");
        configs.insert(Arc::from(record.name.as_str()), Arc::from(value.as_str()));
    }

    fn set_feature(&mut self, record: &FeatureLevel) {
        let features = Arc::make_mut(&mut self.features);
        if record.level == 0 {
            features.remove(record.name.as_str());
        } else {
            features.insert(Arc::from(record.name.as_str()), record.level);
        }
    }

    fn give_producer_ids(&mut self, record: &ProducerIds) -> Result<(), ImageProblem> {
        let (have, got) = (self.producer_id_next, record.next);
        if got <= have {
            return Err(ImageProblem::ProducerIdsBackwards { have, got });
        }
        self.producer_id_next = got;
        Ok(())
    }

    fn begin_transaction(&mut self) -> Result<(), ImageProblem> {
        if self.in_transaction() {
            return Err(ImageProblem::Transaction { open: true });
        }
        self.before_transaction = Some(Arc::new(self.clone()));
        Ok(())
    }

    fn open_transaction(&mut self) -> Result<Arc<Self>, ImageProblem> {
        self.before_transaction.take().ok_or(ImageProblem::Transaction { open: false })
    }
}

fn directories(ids: &[uuid::Uuid]) -> Vec<DirectoryId> {
    ids.iter().copied().map(DirectoryId).collect()
}
