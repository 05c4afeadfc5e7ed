//! What changed between two images: found by comparing them, so it is right for any two versions, also when some in
//! between were never published. Runs where images are published, and costs what changed, not what there is.

use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, PartitionIndex, TopicIdPartition};

use super::buckets::diff;
use super::{BrokerImage, ConfigResource, MetadataImage, PartitionImage, TopicImage};

/// The differences between two images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageDelta {
    /// Topics that are new; a topic deleted and made again under its name is in both lists.
    pub topics_created: Vec<Arc<TopicImage>>,
    /// Topics that are gone, as they were last.
    pub topics_deleted: Vec<Arc<TopicImage>>,
    /// Topics that had and have some partition that changed.
    pub topics_changed: Vec<TopicChange>,
    /// Partitions that are new or changed, those of new topics included, by topic and index. Partitions of deleted topics
    /// are not listed.
    pub partitions_changed: Vec<PartitionChange>,
    /// Brokers registered, changed or gone, by id.
    pub brokers_changed: Vec<BrokerChange>,
    /// Controllers registered or changed.
    pub controllers_changed: Vec<BrokerId>,
    /// Resources whose configs changed, those of deleted topics included.
    pub configs_changed: Vec<ConfigResource>,
    /// Features whose level changed, by name.
    pub features_changed: Vec<FeatureChange>,
    /// Whether a block of producer ids was given out.
    pub producer_ids_changed: bool,
}

/// A topic before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicChange {
    /// As it was.
    pub old: Arc<TopicImage>,
    /// As it is.
    pub new: Arc<TopicImage>,
}

/// A partition before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionChange {
    /// Its topic's name.
    pub topic: Arc<str>,
    /// Which one.
    pub id: TopicIdPartition,
    /// As it was; `None` when it is new.
    pub old: Option<Arc<PartitionImage>>,
    /// As it is.
    pub new: Arc<PartitionImage>,
}

/// A broker before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerChange {
    /// Which one.
    pub id: BrokerId,
    /// As it was; `None` when it is new.
    pub old: Option<Arc<BrokerImage>>,
    /// As it is; `None` when it is gone.
    pub new: Option<Arc<BrokerImage>>,
}

/// A feature before and after; 0 is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureChange {
    /// Which one.
    pub name: Arc<str>,
    /// Level before.
    pub old: i16,
    /// Level now.
    pub new: i16,
}

impl ImageDelta {
    /// What changed from `old` to `new`.
    #[must_use]
    pub fn between(old: &MetadataImage, new: &MetadataImage) -> Self {
        let mut delta = Self::default();
        old.topics.diff(&new.topics, &mut |_, old, new| delta.topic(old, new));
        diff(&old.brokers, &new.brokers, &mut |&id, old, new| {
            delta.brokers_changed.push(BrokerChange { id, old: old.cloned(), new: new.cloned() });
        });
        diff(&old.controllers, &new.controllers, &mut |&id, _, _| delta.controllers_changed.push(id));
        old.configs.diff(&new.configs, &mut |resource, _, _| delta.configs_changed.push(resource.clone()));
        delta.features(old, new);
        delta.producer_ids_changed = old.producer_id_next != new.producer_id_next;
        delta
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn topic(&mut self, old: Option<&Arc<TopicImage>>, new: Option<&Arc<TopicImage>>) {
        match (old, new) {
            (Some(old), Some(new)) => {
                diff(&old.partitions, &new.partitions, &mut |&index, old, partition| {
                    self.partition(new, index, old, partition);
                });
                self.topics_changed.push(TopicChange { old: old.clone(), new: new.clone() });
            }
            (None, Some(new)) => {
                for (&index, partition) in &new.partitions {
                    self.partition(new, index, None, Some(partition));
                }
                self.topics_created.push(new.clone());
            }
            (Some(old), None) => self.topics_deleted.push(old.clone()),
            (None, None) => {}
        }
    }

    fn partition(
        &mut self,
        topic: &TopicImage,
        partition: PartitionIndex,
        old: Option<&Arc<PartitionImage>>,
        new: Option<&Arc<PartitionImage>>,
    ) {
        // No record takes a single partition away.
        let Some(new) = new else { return };
        self.partitions_changed.push(PartitionChange {
            topic: topic.name.clone(),
            id: TopicIdPartition { topic_id: topic.id, partition },
            old: old.cloned(),
            new: new.clone(),
        });
    }

    fn features(&mut self, old: &MetadataImage, new: &MetadataImage) {
        let gone = old.features().filter(|(name, _)| new.feature(name) == 0);
        for (name, now) in new.features().chain(gone.map(|(name, _)| (name, 0))) {
            let before = old.feature(name);
            if before != now {
                self.features_changed.push(FeatureChange { name: name.clone(), old: before, new: now });
            }
        }
        self.features_changed.sort_by(|a, b| a.name.cmp(&b.name));
    }
}
