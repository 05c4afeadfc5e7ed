//! The cluster's topics as the group machines see them: the view itself.

use std::sync::Arc;

use slipring_machine::group::{TopicInfo, Topics};
use slipring_protocol::ids::{PartitionIndex, TopicId};

use crate::controller::view::ClusterView;

impl Topics for ClusterView {
    fn version(&self) -> i64 {
        self.metadata_offset().0
    }

    fn topic(&self, name: &str) -> Option<TopicInfo> {
        let topic = Self::topic(self, name)?;
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        Some(TopicInfo { id: topic.id, partitions })
    }

    fn name(&self, id: TopicId) -> Option<Arc<str>> {
        self.topic_by_id(id).map(|topic| topic.name.clone())
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.topics().map(|topic| topic.name.clone()).collect()
    }

    fn racks(&self, name: &str, partition: PartitionIndex) -> Vec<String> {
        let Some(partition) = Self::topic(self, name).and_then(|topic| topic.partition(partition)) else {
            return Vec::new();
        };
        let rack = |id| self.brokers().find(|broker| broker.id == id)?.rack.clone();
        partition.replicas.iter().filter_map(|id| rack(*id)).collect()
    }
}
