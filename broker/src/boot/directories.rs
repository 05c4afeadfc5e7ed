//! The data directories at start and stop: opened, locked and recovered before any shard exists, marked clean when all have
//! stopped. On any driver's disk.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, Offset, PartitionIndex, TopicId, TopicIdPartition, TopicPartition};
use slipring_storage::directory::{DataDirectory, Expectation};
use slipring_storage::disk::{DirectIo, Disk};
use slipring_storage::recovery::{DirectoryRecovery, recover_directory};

use super::BootError;
use crate::config::BrokerConfig;
use crate::controller::metadata_log;

/// A data directory that is open, locked and recovered.
#[derive(Clone)]
pub struct OpenDirectory {
    /// The directory.
    pub directory: Arc<DataDirectory>,
    /// What replaying its journals told.
    pub recovered: Arc<DirectoryRecovery>,
    /// The logs that were there at start, with the topic id that each says it has.
    pub logs: Arc<BTreeMap<TopicPartition, Option<TopicId>>>,
}

impl OpenDirectory {
    /// Whether a partition's log was there at start.
    #[must_use]
    pub fn has_log(&self, id: TopicIdPartition, topic: &Arc<str>) -> bool {
        let partition = TopicPartition { topic: topic.clone(), partition: id.partition };
        self.logs.get(&partition).is_some_and(|found| found.is_none_or(|found| found == id.topic_id))
    }
}

/// Opens the configured directories, replaying their journals. `expect` makes what a directory is held against, given the
/// cluster id when an earlier one told it.
///
/// # Errors
/// When a directory can't be used or recovered.
pub async fn open(
    disk: &Disk,
    config: &BrokerConfig,
    expect: impl Fn(Option<String>, BrokerId) -> Expectation,
) -> Result<Vec<OpenDirectory>, BootError> {
    let mut cluster_id = None;
    let mut open = Vec::new();
    for path in &config.log_dirs {
        let expectation = expect(cluster_id.clone(), config.node_id);
        let directory = DataDirectory::open(disk, path, &expectation).await?;
        cluster_id = Some(directory.cluster_id().to_owned());
        if matches!(disk.direct_io(path).await, Ok(DirectIo::No)) {
            tracing::warn!(
                directory = %path.display(),
                "no direct I/O here (tmpfs or overlay?): falling back to buffered writes, which are slower"
            );
        }
        let began = std::time::Instant::now();
        let recovered = recover_directory(disk, &directory).await?;
        tracing::info!(
            directory = %path.display(),
            clean = directory.is_clean(),
            took_ms = began.elapsed().as_millis(),
            "data directory open"
        );
        for lost in &recovered.lost {
            tracing::error!(partition = %lost, "acknowledged data is lost: its log's directory is gone");
        }
        let scan = directory.scan(disk).await?;
        for name in &scan.deleted {
            // What a stop or a crash kept the removal from finishing.
            if let Err(error) = remove(disk, &path.join(name)).await {
                tracing::warn!(directory = name, %error, "a deleted log's directory can't be removed");
            }
        }
        for damaged in &scan.damaged {
            tracing::error!(directory = damaged.name, error = %damaged.error, "log can't be used");
        }
        let mut logs: BTreeMap<_, _> =
            scan.partitions.into_iter().map(|found| (found.partition, found.topic_id)).collect();
        if scan.metadata_log {
            let partition =
                TopicPartition { topic: metadata_log::TOPIC.into(), partition: PartitionIndex(0) };
            logs.insert(partition, Some(TopicId::CLUSTER_METADATA));
        }
        // From here on the directory is in use; a stop that is not clean shows.
        directory.clear_clean(disk).await?;
        open.push(OpenDirectory {
            directory: Arc::new(directory),
            recovered: Arc::new(recovered),
            logs: Arc::new(logs),
        });
    }
    Ok(open)
}

/// Removes a partition's directory with its files.
///
/// # Errors
/// Those of the disk.
pub async fn remove(disk: &Disk, directory: &Path) -> io::Result<()> {
    for entry in disk.list(directory)? {
        disk.remove_file(&directory.join(entry.name)).await?;
    }
    disk.remove_dir(directory).await
}

/// Marks the directories as cleanly closed, so that the next start trusts their checkpoints. True when all could be marked.
pub async fn mark_clean(disk: &Disk, directories: &[OpenDirectory]) -> bool {
    let mut all = true;
    for open in directories {
        if let Err(error) = open.directory.mark_clean(disk, Offset(-1).0).await {
            tracing::warn!(%error, "the clean mark could not be written: the next start recovers");
            all = false;
        }
    }
    all
}
