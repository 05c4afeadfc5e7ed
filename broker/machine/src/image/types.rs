//! What an image is made of: topics, partitions, brokers, controllers. Immutable once published; read by every core.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};
use slipring_protocol::metadata_records::{
    DIRECTORY_LOST, DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, Endpoint, FeatureRange, LeaderRecoveryState,
};
use uuid::Uuid;

/// Identity of one data directory (`directory.id` of its `meta.properties`), or one of three reserved values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryId(pub Uuid);

impl DirectoryId {
    /// The replica stands in some directory that the records do not name (logs from before KIP-858).
    pub const MIGRATING: Self = Self(DIRECTORY_MIGRATING);
    /// The broker has still to choose.
    pub const UNASSIGNED: Self = Self(DIRECTORY_UNASSIGNED);
    /// The directory is offline, whichever it was.
    pub const LOST: Self = Self(DIRECTORY_LOST);

    /// Whether the value lies in the range that no real directory may use (Kafka's `DirectoryId.reserved`).
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.0.as_u128() < 100
    }
}

/// Number of one registration of a broker; that registration's offset in the metadata log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerEpoch(pub i64);

/// Version of a partition's state: rises with every change to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionEpoch(pub i32);

/// How far an image goes in the metadata log. Later images compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageVersion {
    /// Offset of the last record in it; -1 before the first.
    pub offset: Offset,
    /// Epoch of the controller that wrote that record.
    pub epoch: LeaderEpoch,
}

impl Default for ImageVersion {
    fn default() -> Self {
        Self { offset: Offset(-1), epoch: LeaderEpoch::NONE }
    }
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Name.
    pub name: Arc<str>,
    /// Id; never used again, even by a topic of the same name.
    pub id: TopicId,
    pub(super) partitions: BTreeMap<PartitionIndex, Arc<PartitionImage>>,
}

impl TopicImage {
    /// A partition of the topic.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<PartitionImage>> {
        self.partitions.get(&index)
    }

    /// All partitions, by index.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = (PartitionIndex, &Arc<PartitionImage>)> {
        self.partitions.iter().map(|(&index, partition)| (index, partition))
    }

    /// Number of partitions.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// Replicas of each partition, as its first partition has them; 0 without partitions.
    #[must_use]
    pub fn replication_factor(&self) -> usize {
        self.partitions.values().next().map_or(0, |partition| partition.replicas.len())
    }
}

/// A partition (Kafka's `PartitionRegistration`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The directory of each replica, in the order of `replicas`.
    pub directories: Vec<DirectoryId>,
    /// Replicas in sync.
    pub isr: Vec<BrokerId>,
    /// Replicas that a reassignment takes away.
    pub removing: Vec<BrokerId>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<BrokerId>,
    /// Replicas outside the ISR that may still lead without loss (KIP-966).
    pub eligible_leaders: Vec<BrokerId>,
    /// The last ones known to be eligible.
    pub last_known_eligible: Vec<BrokerId>,
    /// The leader, when there is one.
    pub leader: Option<BrokerId>,
    /// Whether the leader came from outside the ISR and has not recovered from that yet (KIP-704).
    pub leader_recovery: LeaderRecoveryState,
    /// Rises with every change of leader, also to none.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change.
    pub partition_epoch: PartitionEpoch,
}

impl PartitionImage {
    /// The directory of one broker's replica.
    #[must_use]
    pub fn directory(&self, broker: BrokerId) -> Option<DirectoryId> {
        let place = self.replicas.iter().position(|&replica| replica == broker)?;
        self.directories.get(place).copied()
    }
}

/// A registered broker (Kafka's `BrokerRegistration`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Node id.
    pub id: BrokerId,
    /// Epoch of this registration.
    pub epoch: BrokerEpoch,
    /// The process that registered.
    pub incarnation_id: Uuid,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
    /// Feature levels that it supports.
    pub features: Vec<FeatureRange>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
    /// Fenced brokers lead nothing and are not shown to clients.
    pub fenced: bool,
    /// On its way to a clean stop.
    pub in_controlled_shutdown: bool,
    /// Directories that are online. Empty means "not told".
    pub directories: Vec<DirectoryId>,
    /// Directories that take no new replicas; `None` while the broker has not told.
    pub cordoned: Option<Vec<DirectoryId>>,
}

impl BrokerImage {
    /// Whether it may lead and follow: neither fenced nor stopping.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether a replica in this directory is reachable (Kafka's `DirectoryId.isOnline`).
    #[must_use]
    pub fn has_online(&self, directory: DirectoryId) -> bool {
        match directory {
            DirectoryId::UNASSIGNED | DirectoryId::MIGRATING => true,
            DirectoryId::LOST => false,
            _ => self.directories.is_empty() || self.directories.contains(&directory),
        }
    }

    /// Whether a new replica can be placed here: some directory is not cordoned.
    #[must_use]
    pub fn takes_replicas(&self) -> bool {
        match &self.cordoned {
            Some(cordoned) if !self.directories.is_empty() => {
                self.directories.iter().any(|directory| !cordoned.contains(directory))
            }
            _ => true,
        }
    }

    /// The endpoint of a listener.
    #[must_use]
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }
}

/// A registered controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerImage {
    /// Node id.
    pub id: BrokerId,
    /// The process that registered.
    pub incarnation_id: Uuid,
    /// Where it can be reached.
    pub endpoints: Vec<Endpoint>,
    /// Feature levels that it supports.
    pub features: Vec<FeatureRange>,
}

/// Kind of thing that a config belongs to, by Kafka's number (`ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigKind(pub i8);

impl ConfigKind {
    /// A topic.
    pub const TOPIC: Self = Self(2);
    /// A broker; the empty name stands for all of them.
    pub const BROKER: Self = Self(4);
    /// A subscription of client metrics.
    pub const CLIENT_METRICS: Self = Self(16);
    /// A group.
    pub const GROUP: Self = Self(32);
}

/// The thing that a config belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Its kind.
    pub kind: ConfigKind,
    /// Its name.
    pub name: Arc<str>,
}

impl ConfigResource {
    /// A topic's configs.
    #[must_use]
    pub const fn topic(name: Arc<str>) -> Self {
        Self { kind: ConfigKind::TOPIC, name }
    }
}

/// The configs of one resource: key to value.
pub type ConfigImage = BTreeMap<Arc<str>, Arc<str>>;
