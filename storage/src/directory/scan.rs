//! What lies in a data directory: partitions with their topic ids, and what is to be cleaned up or reported. For the start
//! of a broker.

use std::path::Path;

use slipring_protocol::ids::{TopicId, TopicPartition};

use crate::checkpoint::{FileError, load_partition_metadata};
use crate::disk::{DirEntry, Disk};
use crate::layout::{self, DirectoryRole};

/// One partition's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDirectory {
    /// Its name.
    pub name: String,
    /// Topic and partition in its name.
    pub partition: TopicPartition,
    /// Topic id in its `partition.metadata`; `None` when it has no such file.
    pub topic_id: Option<TopicId>,
}

/// A partition's directory whose `partition.metadata` cannot be used: to be fenced and reported.
#[derive(Debug)]
pub struct DamagedDirectory {
    /// Its name.
    pub name: String,
    /// Topic and partition in its name.
    pub partition: TopicPartition,
    /// What is wrong.
    pub error: FileError,
}

/// All directories below a data directory's root, sorted by name.
#[derive(Debug, Default)]
pub struct DirectoryScan {
    /// Partitions of topics.
    pub partitions: Vec<PartitionDirectory>,
    /// Partitions of topics that cannot be told whose they are.
    pub damaged: Vec<DamagedDirectory>,
    /// Whether the metadata log's directory is there; it is not among the partitions.
    pub metadata_log: bool,
    /// `-delete`: their removal did not finish.
    pub deleted: Vec<String>,
    /// `-future`: a move between data directories did not finish.
    pub future: Vec<String>,
    /// `-stray`: found without a place in the metadata by an earlier start.
    pub stray: Vec<String>,
    /// Directories that are no partition's. Kafka refuses to start over them, save `remote-log-index-cache`.
    pub unknown: Vec<String>,
}

pub(super) async fn scan(disk: &Disk, root: &Path, entries: Vec<DirEntry>) -> DirectoryScan {
    let mut found = DirectoryScan::default();
    for name in entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name) {
        if name == layout::METADATA_LOG_DIRECTORY {
            found.metadata_log = true;
            continue;
        }
        let Some(parsed) = layout::parse_partition_directory(&name) else {
            if name != layout::REMOTE_INDEX_CACHE {
                found.unknown.push(name);
            }
            continue;
        };
        match parsed.role {
            DirectoryRole::Delete => found.deleted.push(name),
            DirectoryRole::Future => found.future.push(name),
            DirectoryRole::Stray => found.stray.push(name),
            DirectoryRole::Current => {
                let partition = parsed.partition;
                let file = root.join(&name).join(layout::PARTITION_METADATA);
                match load_partition_metadata(disk, &file).await {
                    Ok(topic_id) => {
                        found.partitions.push(PartitionDirectory { name, partition, topic_id });
                    }
                    Err(error) => found.damaged.push(DamagedDirectory { name, partition, error }),
                }
            }
        }
    }
    found
}
