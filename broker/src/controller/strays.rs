//! Logs on disk that the metadata does not know, at start. A crash between a topic's deletion in the metadata and that of its
//! logs leaves them; they must be gone before a topic of the same name gets its own. Deletes only what the metadata log
//! says was deleted; anything else is moved aside for the operator, as Kafka does it.

use std::collections::BTreeSet;
use std::io;

use slipring_machine::image::MetadataImage;
use slipring_protocol::ids::{TopicId, TopicIdPartition};
use slipring_storage::disk::Disk;
use slipring_storage::layout;

use super::host::HostError;
use crate::boot::directories::{OpenDirectory, remove};
use crate::runtime;

/// Refuses a start with logs of topics when the metadata log holds nothing: it was lost, since topics are made there first.
/// (Kafka takes all of them for strays then.)
pub(super) fn refuse_any(directories: &[OpenDirectory]) -> Result<(), HostError> {
    let known = |topic_id: &TopicId| *topic_id != TopicId::CLUSTER_METADATA;
    let mut logs = directories
        .iter()
        .flat_map(|open| open.logs.iter())
        .filter(|(_, topic_id)| topic_id.as_ref().is_some_and(known));
    match logs.next() {
        None => Ok(()),
        Some((partition, _)) => {
            let example = layout::partition_directory(&partition.topic, partition.partition);
            Err(HostError::MetadataLost { logs: 1 + logs.count(), example })
        }
    }
}

/// Clears all directories. `removed` are the topics that the metadata log has seen go.
///
/// # Errors
/// When the disk fails.
pub(super) async fn clear(
    disk: &Disk,
    directories: &[OpenDirectory],
    image: &MetadataImage,
    removed: &BTreeSet<TopicId>,
) -> io::Result<()> {
    for open in directories {
        let root = open.directory.path();
        let mut moved = Vec::new();
        for (partition, topic_id) in open.logs.iter() {
            let Some(topic_id) = topic_id.filter(|id| *id != TopicId::CLUSTER_METADATA) else { continue };
            let id = TopicIdPartition { topic_id, partition: partition.partition };
            if image.partition(id).is_some() {
                continue;
            }
            let (topic, index) = (&partition.topic, partition.partition);
            let name = layout::partition_directory(topic, index);
            let is_removed = removed.contains(&topic_id);
            let target = if is_removed {
                layout::delete_directory(topic, index, runtime::random_id())
            } else {
                layout::stray_directory(topic, index, runtime::random_id())
            };
            tracing::warn!(log = name, %topic_id, moved_to = target, "log of a topic that is not in the metadata");
            disk.rename(&root.join(name), &root.join(&target)).await?;
            moved.push((target, is_removed));
        }
        if moved.is_empty() {
            continue;
        }
        disk.sync_dir(root).await?;
        for (name, _) in moved.iter().filter(|(_, is_removed)| *is_removed) {
            remove(disk, &root.join(name)).await?;
        }
    }
    Ok(())
}
