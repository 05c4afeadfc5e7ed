//! The cluster as requests see it: the metadata image joined with what is local to this broker: which core owns a partition,
//! and each topic's configs resolved. Immutable; every core holds one and gets the next by message, so Metadata,
//! ApiVersions and routing never hop.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_machine::image::{
    BrokerImage, ConfigKind, ConfigResource, DirectoryId, ImageDelta, METADATA_VERSION, MetadataImage,
    TopicImage,
};
use slipring_protocol::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicIdPartition};

use super::placement::Placement;
use crate::config::BrokerConfig;
use crate::config::dynamic;
use crate::config::internal_topic::{OFFSETS_TOPIC, SHARES_TOPIC, TRANSACTIONS_TOPIC};
use crate::config::topic::{TopicOverrides, TopicSettings};
use crate::config::values::DynamicValues;
use crate::net::listener::ConnectionCounts;
use crate::runtime::mailbox::ShardId;

/// Topics that only the broker itself writes.
const INTERNAL_TOPICS: [&str; 3] = [OFFSETS_TOPIC, TRANSACTIONS_TOPIC, SHARES_TOPIC];

/// Whether a topic of this name is one that only the broker itself writes.
#[must_use]
pub fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// One version of the cluster.
#[derive(Clone)]
pub struct ClusterView {
    image: MetadataImage,
    config: Arc<BrokerConfig>,
    topics: BTreeMap<Arc<str>, Arc<TopicView>>,
    by_id: BTreeMap<TopicId, Arc<TopicView>>,
    brokers: Vec<BrokerView>,
}

/// A topic.
#[derive(Debug)]
pub struct TopicView {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: TopicId,
    /// Its configs, the broker's and Kafka's defaults underneath.
    pub settings: TopicSettings,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionView>,
}

/// A partition.
#[derive(Debug)]
pub struct PartitionView {
    /// The core that owns it, when this broker holds a replica.
    pub owner: Option<ShardId>,
    /// The leader; -1 when there is none.
    pub leader: BrokerId,
    /// Its reign.
    pub leader_epoch: LeaderEpoch,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Replicas in sync.
    pub isr: Vec<BrokerId>,
    /// Replicas on brokers that are fenced or gone.
    pub offline: Vec<BrokerId>,
}

/// A broker as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerView {
    /// Node id.
    pub id: BrokerId,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
    /// Not shown to clients, leads nothing.
    pub fenced: bool,
}

/// A feature that this broker supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Its name.
    pub name: &'static str,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// The features of Kafka 4.3 that this broker understands. What later work brings is added with it.
pub const SUPPORTED_FEATURES: [SupportedFeature; 2] = [
    SupportedFeature {
        name: METADATA_VERSION,
        min: slipring_machine::controller::METADATA_VERSION_MIN,
        max: slipring_machine::controller::METADATA_VERSION_4_3_IV0,
    },
    SupportedFeature { name: GROUP_VERSION, min: 0, max: 1 },
];

/// The feature whose level 1 brings the consumer protocol of groups.
pub const GROUP_VERSION: &str = "group.version";

/// What shards must do to serve a new view.
#[derive(Debug, Default)]
pub struct ViewChange {
    /// Logs to open or create.
    pub opened: Vec<PartitionHome>,
    /// Logs to delete.
    pub deleted: Vec<PartitionHome>,
    /// Logs that go on under a new reign.
    pub reigns: Vec<PartitionHome>,
    /// Topics whose configs changed.
    pub settings: Vec<Arc<TopicView>>,
    /// The broker's configuration, when dynamic values changed it.
    pub config: Option<Arc<BrokerConfig>>,
}

/// Where a partition lives on this broker.
#[derive(Clone, Debug)]
pub struct PartitionHome {
    /// Which partition.
    pub id: TopicIdPartition,
    /// Its topic, with the configs of its log.
    pub topic: Arc<TopicView>,
    /// Its core.
    pub owner: ShardId,
    /// Its data directory, by index.
    pub directory: usize,
    /// The leader's reign.
    pub leader_epoch: LeaderEpoch,
}

/// What this broker adds to the metadata: where things lie on it.
pub struct Local {
    /// The configuration that it was started with.
    pub started_with: Arc<BrokerConfig>,
    /// Which core owns what.
    pub placement: Placement,
    /// Its data directories.
    pub directories: Directories,
    /// The connections of the process.
    pub connections: Arc<ConnectionCounts>,
}

/// This broker's data directories by id, in the order of `log.dirs`.
pub struct Directories(pub Vec<DirectoryId>);

impl Directories {
    fn index(&self, id: DirectoryId) -> Option<usize> {
        self.0.iter().position(|directory| *directory == id)
    }
}

impl std::fmt::Debug for ClusterView {
    /// Which version; not all that is in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterView")
            .field("metadata_offset", &self.metadata_offset())
            .finish_non_exhaustive()
    }
}

impl ClusterView {
    /// A cluster without topics.
    #[must_use]
    pub fn empty(image: MetadataImage, config: Arc<BrokerConfig>) -> Self {
        Self { image, config, topics: BTreeMap::new(), by_id: BTreeMap::new(), brokers: Vec::new() }
    }

    /// The next version: `image` came from this view's by `delta`. New partitions are placed on cores.
    #[must_use]
    pub fn advance(&self, image: MetadataImage, delta: &ImageDelta, local: &mut Local) -> (Self, ViewChange) {
        let mut next = Self { image, ..self.clone() };
        let mut change = ViewChange::default();
        for topic in &delta.topics_deleted {
            next.remove(topic.id, local, &mut change);
        }
        let changed = delta.topics_changed.iter().map(|change| &change.new);
        let of_topics = delta.configs_changed.iter().filter(|resource| resource.kind == ConfigKind::TOPIC);
        let configured = of_topics.filter_map(|resource| next.image.topic(&resource.name)).cloned();
        let mut touched: BTreeMap<TopicId, Arc<TopicImage>> =
            delta.topics_created.iter().chain(changed).map(|topic| (topic.id, topic.clone())).collect();
        touched.extend(configured.map(|topic| (topic.id, topic)));
        if delta.configs_changed.iter().any(|resource| resource.kind == ConfigKind::BROKER) {
            next.configure(local, &mut change);
            // What topics do not set themselves, the broker's values decide.
            touched.extend(next.image.topics().map(|topic| (topic.id, topic.clone())));
        }
        if !delta.brokers_changed.is_empty() {
            next.brokers = next.image.brokers().map(|broker| BrokerView::new(broker)).collect();
            // Which replicas are offline depends on the brokers.
            touched.extend(next.image.topics().map(|topic| (topic.id, topic.clone())));
        }
        for topic in touched.values() {
            next.put(topic, local, &mut change);
        }
        (next, change)
    }

    /// Puts the dynamic values of this broker and of the cluster over what it was started with.
    fn configure(&mut self, local: &Local, change: &mut ViewChange) {
        let of = |name: &str| dynamic_configs(&self.image, ConfigKind::BROKER, name);
        let node = self.node().0.to_string();
        match dynamic::applied(&local.started_with, of(""), of(&node)) {
            Ok(config) => {
                local.connections.set_limits(config.network.connection_limits());
                self.config = Arc::new(config);
                change.config = Some(self.config.clone());
            }
            Err(error) => tracing::error!(%error, "dynamic configs can't be applied: the present ones stay"),
        }
    }

    fn put(&mut self, image: &TopicImage, local: &mut Local, change: &mut ViewChange) {
        let old = self.by_id.get(&image.id).cloned();
        let partitions = image.partitions().map(|(index, partition)| {
            let id = TopicIdPartition { topic_id: image.id, partition: index };
            let is_local = partition.replicas.contains(&self.node());
            PartitionView {
                owner: is_local.then(|| local.placement.place(id)),
                leader: partition.leader.unwrap_or(BrokerId(-1)),
                leader_epoch: partition.leader_epoch,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
                offline: partition.replicas.iter().copied().filter(|&id| !self.is_online(id)).collect(),
            }
        });
        let overrides = overrides(&self.image, &image.name);
        let (settings, invalid) = TopicSettings::resolve(self.config.values(), &overrides);
        for invalid in invalid {
            tracing::warn!(topic = %image.name, %invalid, "config ignored");
        }
        let topic = Arc::new(TopicView {
            name: image.name.clone(),
            id: image.id,
            settings,
            partitions: partitions.collect(),
        });
        for (index, partition) in (0..).map(PartitionIndex).zip(&topic.partitions) {
            let Some(home) = self.home(&topic, index, partition, &local.directories) else { continue };
            let before = old.as_ref().and_then(|old| old.partition(index));
            match before {
                None => change.opened.push(home),
                Some(before) if before.leader_epoch != partition.leader_epoch => change.reigns.push(home),
                Some(_) => {}
            }
        }
        if old.is_some_and(|old| old.settings != topic.settings) {
            change.settings.push(topic.clone());
        }
        self.topics.insert(topic.name.clone(), topic.clone());
        self.by_id.insert(topic.id, topic);
    }

    fn remove(&mut self, id: TopicId, local: &mut Local, change: &mut ViewChange) {
        let Some(topic) = self.by_id.remove(&id) else { return };
        // A topic made again under the same name has its own entry.
        if self.topics.get(&topic.name).is_some_and(|named| named.id == id) {
            self.topics.remove(&topic.name);
        }
        for (index, partition) in (0..).map(PartitionIndex).zip(&topic.partitions) {
            change.deleted.extend(self.home(&topic, index, partition, &local.directories));
            local.placement.remove(TopicIdPartition { topic_id: id, partition: index });
        }
    }

    fn home(
        &self,
        topic: &Arc<TopicView>,
        index: PartitionIndex,
        partition: &PartitionView,
        directories: &Directories,
    ) -> Option<PartitionHome> {
        let id = TopicIdPartition { topic_id: topic.id, partition: index };
        let assigned = self.image.partition(id).and_then(|image| image.directory(self.node()));
        let directory = assigned.and_then(|assigned| directories.index(assigned)).unwrap_or(0);
        let leader_epoch = partition.leader_epoch;
        Some(PartitionHome { id, topic: topic.clone(), owner: partition.owner?, directory, leader_epoch })
    }

    fn is_online(&self, id: BrokerId) -> bool {
        self.image.broker(id).is_some_and(|broker| !broker.fenced)
    }

    /// A topic by name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicView>> {
        self.topics.get(name)
    }

    /// A topic by id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicView>> {
        self.by_id.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicView>> {
        self.topics.values()
    }

    /// All brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerView> {
        self.brokers.iter()
    }

    /// The metadata that the view is made of.
    #[must_use]
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// This broker.
    #[must_use]
    pub fn node(&self) -> BrokerId {
        self.config.node_id
    }

    /// This broker's configuration as it is now.
    #[must_use]
    pub fn config(&self) -> &Arc<BrokerConfig> {
        &self.config
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.image.cluster_id()
    }

    /// What clients are told to be the controller: a broker that passes requests on, as KRaft does it.
    #[must_use]
    pub fn controller_id(&self) -> BrokerId {
        self.node()
    }

    /// The offset up to which the metadata log is in the view.
    #[must_use]
    pub fn metadata_offset(&self) -> Offset {
        self.image.version().offset
    }

    /// The features that this broker supports.
    pub fn supported_features(&self) -> impl Iterator<Item = SupportedFeature> {
        SUPPORTED_FEATURES.into_iter()
    }

    /// The features in force, with their levels.
    pub fn finalized_features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.image.features().map(|(name, level)| (&**name, level))
    }
}

/// The configs set for a topic.
#[must_use]
pub fn overrides(image: &MetadataImage, topic: &Arc<str>) -> TopicOverrides {
    dynamic_configs(image, ConfigKind::TOPIC, topic)
}

/// The configs set for a resource.
#[must_use]
pub fn dynamic_configs(image: &MetadataImage, kind: ConfigKind, name: &str) -> DynamicValues {
    let set = image.configs(&ConfigResource { kind, name: name.into() });
    set.into_iter()
        .flat_map(|set| set.iter())
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

impl TopicView {
    /// The core that owns a partition; `None` when there is no such partition here.
    #[must_use]
    pub fn owner(&self, index: PartitionIndex) -> Option<ShardId> {
        self.partition(index)?.owner
    }

    /// A partition.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionView> {
        self.partitions.get(usize::try_from(index.0).ok()?)
    }

    /// How many replicas of a partition are in sync.
    #[must_use]
    pub fn in_sync(&self, index: PartitionIndex) -> usize {
        self.partition(index).map_or(0, |partition| partition.isr.len())
    }

    /// Whether only the broker itself writes it.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }

    /// `min.insync.replicas`, but never more than a partition has replicas (Kafka's `Partition.effectiveMinIsr`).
    #[must_use]
    pub fn in_sync_min(&self, index: PartitionIndex) -> usize {
        let replicas = self.partition(index).map_or(0, |partition| partition.replicas.len());
        usize::try_from(self.settings.insync_replicas_min).unwrap_or(0).min(replicas)
    }
}

impl BrokerView {
    fn new(broker: &BrokerImage) -> Self {
        let endpoint = broker.endpoints.first();
        Self {
            id: broker.id,
            host: endpoint.map(|endpoint| endpoint.host.to_string()).unwrap_or_default(),
            port: endpoint.map_or(0, |endpoint| endpoint.port),
            rack: broker.rack.as_ref().map(ToString::to_string),
            fenced: broker.fenced,
        }
    }
}
