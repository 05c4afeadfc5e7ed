//! What the partitions of this core take on disk, and who produces to them: for operators. Reads counters; touches no file.

use std::sync::Arc;

use slipring_protocol::ids::{PartitionIndex, TopicId, TopicIdPartition};
use slipring_storage::producer_state::snapshot::SnapshotEntry;

use crate::shard::Shard;

/// What one partition takes on disk.
pub struct LogSize {
    /// Its data directory, by index.
    pub directory: usize,
    /// Its topic.
    pub topic: Arc<str>,
    /// Its index.
    pub partition: PartitionIndex,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// Every partition of this core but the metadata log, which no client sees.
pub fn all(shard: &Shard) -> Vec<LogSize> {
    let partitions = shard.partitions.borrow();
    let visible = partitions.iter().filter(|partition| partition.id.topic_id != TopicId::CLUSTER_METADATA);
    visible
        .filter_map(|partition| {
            Some(LogSize {
                directory: partition.store,
                topic: partition.topic.clone(),
                partition: partition.id.partition,
                bytes: shard.stores[partition.store].log_bytes(partition.log).ok()?,
            })
        })
        .collect()
}

/// The idempotent producers that partitions of this core remember; `None` for a partition that is not here.
pub fn producers(shard: &Shard, partitions: &[TopicIdPartition]) -> Vec<Option<Vec<SnapshotEntry>>> {
    let table = shard.partitions.borrow();
    let of = |id: &TopicIdPartition| {
        let partition = table.get(*id)?;
        shard.stores[partition.store].producers(partition.log).ok()
    };
    partitions.iter().map(of).collect()
}
