//! The metadata image: what the metadata log says at one offset. Immutable and cheap to copy; every core holds one and
//! replaces it when a newer one is published. Never asks, never waits: lookups only.

mod apply;
mod buckets;
mod delta;
mod partitions;
mod types;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, PartitionIndex, ProducerId, TopicId, TopicIdPartition};

pub use apply::{ImageError, ImageProblem};
use buckets::{Bucketed, Buckets};
pub use delta::{BrokerChange, FeatureChange, ImageDelta, PartitionChange, TopicChange};
pub use types::{
    BrokerEpoch, BrokerImage, ConfigImage, ConfigKind, ConfigResource, ControllerImage, DirectoryId,
    ImageVersion, PartitionEpoch, PartitionImage, TopicImage,
};

/// The feature whose level says which records the log may hold.
pub const METADATA_VERSION: &str = "metadata.version";

/// Everything that the metadata log says up to [`version`](Self::version). Two images are equal when they say the same at
/// the same version; their Debug prints are then equal too.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataImage {
    version: ImageVersion,
    cluster_id: Arc<str>,
    brokers: Arc<BTreeMap<BrokerId, Arc<BrokerImage>>>,
    controllers: Arc<BTreeMap<BrokerId, Arc<ControllerImage>>>,
    topics: Buckets<TopicId, TopicImage>,
    topic_ids: Buckets<Arc<str>, TopicId>,
    configs: Buckets<ConfigResource, ConfigImage>,
    features: Arc<BTreeMap<Arc<str>, i16>>,
    producer_id_next: ProducerId,
    /// Records that carry state of later work (ACLs, SCRAM, quotas, tokens) or of a newer Kafka: counted, not kept.
    opaque_count: u64,
    /// The image before the metadata transaction (KIP-868) that is open, to fall back to when it is aborted.
    before_transaction: Option<Arc<MetadataImage>>,
}

impl MetadataImage {
    /// The image of an empty log.
    #[must_use]
    pub fn empty(cluster_id: Arc<str>) -> Self {
        Self {
            version: ImageVersion::default(),
            cluster_id,
            brokers: Arc::default(),
            controllers: Arc::default(),
            topics: Buckets::default(),
            topic_ids: Buckets::default(),
            configs: Buckets::default(),
            features: Arc::default(),
            producer_id_next: ProducerId(0),
            opaque_count: 0,
            before_transaction: None,
        }
    }

    /// How far in the log the image goes.
    #[must_use]
    pub const fn version(&self) -> ImageVersion {
        self.version
    }

    /// The cluster's id; not from the log but from `meta.properties`.
    #[must_use]
    pub fn cluster_id(&self) -> &Arc<str> {
        &self.cluster_id
    }

    /// Whether a metadata transaction is open. Such an image is not to be published: an abort takes it back.
    #[must_use]
    pub const fn in_transaction(&self) -> bool {
        self.before_transaction.is_some()
    }

    /// The image without what an open transaction did.
    pub(crate) fn settled(&self) -> &Self {
        self.before_transaction.as_deref().unwrap_or(self)
    }

    /// A topic by name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topic_by_id(**self.topic_ids.get(name)?)
    }

    /// A topic by id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// A partition by topic id.
    #[must_use]
    pub fn partition(&self, id: TopicIdPartition) -> Option<&Arc<PartitionImage>> {
        self.topic_by_id(id.topic_id)?.partition(id.partition)
    }

    /// A partition by topic name.
    #[must_use]
    pub fn partition_by_name(&self, topic: &str, index: PartitionIndex) -> Option<&Arc<PartitionImage>> {
        self.topic(topic)?.partition(index)
    }

    /// All topics, in no useful order (the same on every run).
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.iter().map(|(_, topic)| topic)
    }

    /// Number of topics.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// A broker's registration, fenced or not.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerImage>> {
        self.brokers.values()
    }

    /// A controller's registration.
    #[must_use]
    pub fn controller(&self, id: BrokerId) -> Option<&Arc<ControllerImage>> {
        self.controllers.get(&id)
    }

    /// All registered controllers, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<ControllerImage>> {
        self.controllers.values()
    }

    /// The configs set for a resource; `None` when none are.
    #[must_use]
    pub fn configs(&self, resource: &ConfigResource) -> Option<&Arc<ConfigImage>> {
        self.configs.get(resource)
    }

    /// One config set for a topic.
    #[must_use]
    pub fn topic_config(&self, topic: &Arc<str>, key: &str) -> Option<&Arc<str>> {
        self.configs(&ConfigResource::topic(topic.clone()))?.get(key)
    }

    /// All resources with configs, in no useful order.
    pub fn config_resources(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<ConfigImage>)> {
        self.configs.iter()
    }

    /// The finalised level of a feature; 0 when it is off.
    #[must_use]
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// All features above level 0, by name.
    pub fn features(&self) -> impl Iterator<Item = (&Arc<str>, i16)> {
        self.features.iter().map(|(name, &level)| (name, level))
    }

    /// The level of `metadata.version`; `None` in an empty log.
    #[must_use]
    pub fn metadata_version(&self) -> Option<i16> {
        self.features.get(METADATA_VERSION).copied()
    }

    /// First producer id that no block covers yet.
    #[must_use]
    pub const fn producer_id_next(&self) -> ProducerId {
        self.producer_id_next
    }

    /// Records seen whose contents the image does not keep.
    #[must_use]
    pub const fn opaque_count(&self) -> u64 {
        self.opaque_count
    }
}

#[cfg(test)]
impl MetadataImage {
    /// What must hold in every image.
    pub(crate) fn check(&self) {
        assert_eq!(self.topics.len(), self.topic_ids.len());
        assert_eq!(self.topics.iter().count(), self.topics.len());
        for (name, id) in self.topic_ids.iter() {
            assert_eq!(self.topics.get(&**id).map(|topic| &topic.name), Some(name));
        }
    }
}

impl Bucketed for TopicId {
    fn bucket(&self) -> u8 {
        // Topic ids are random; the last byte has no version bits in it.
        self.0.as_bytes()[15]
    }
}

impl Bucketed for ConfigResource {
    fn bucket(&self) -> u8 {
        self.name.bucket()
    }
}
