//! Names of files and directories, exactly Kafka's (`LogFileUtils`, `LocalLog`), so that either broker opens the other's
//! directories. Pure text in and out: used on every core, touches no file.

use std::sync::Arc;

use slipring_protocol::ids::{Offset, PartitionIndex, TopicPartition};
use uuid::Uuid;

/// `meta.properties` at the root of a data directory.
pub const META_PROPERTIES: &str = "meta.properties";
/// The lock file at the root of a data directory.
pub const LOCK: &str = ".lock";
/// Marker of a clean stop at the root of a data directory.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Root checkpoint: per partition, everything below is durable in the segments.
pub const RECOVERY_POINT_CHECKPOINT: &str = "recovery-point-offset-checkpoint";
/// Root checkpoint: per partition, the first offset clients may read.
pub const LOG_START_CHECKPOINT: &str = "log-start-offset-checkpoint";
/// Root checkpoint: per partition, the high watermark.
pub const HIGH_WATERMARK_CHECKPOINT: &str = "replication-offset-checkpoint";
/// Root checkpoint of the log cleaner.
pub const CLEANER_CHECKPOINT: &str = "cleaner-offset-checkpoint";
/// Per partition: which leader epoch began at which offset.
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
/// Per partition: the topic's id.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// The directory of the metadata log, which no topic scan may treat as a topic's partition.
pub const METADATA_LOG_DIRECTORY: &str = "__cluster_metadata-0";
/// Kafka's cache of remote indexes: a directory at the root that is no partition (`RemoteIndexCache.DIR_NAME`).
pub const REMOTE_INDEX_CACHE: &str = "remote-log-index-cache";

/// Longest name of a directory that Linux's file systems take, in bytes.
const NAME_LENGTH_MAX: usize = 255;
/// Digits of an offset in a file name.
const OFFSET_DIGITS: usize = 20;

/// Which file of a segment a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentFile {
    /// Record batches.
    Log,
    /// Offset to position.
    OffsetIndex,
    /// Timestamp to offset.
    TimeIndex,
    /// Aborted transactions.
    TxnIndex,
    /// Producer state as it stood before the offset in the name.
    ProducerSnapshot,
}

impl SegmentFile {
    /// All kinds, in a fixed order.
    pub const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex, Self::ProducerSnapshot];

    /// The suffix, with its dot.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::ProducerSnapshot => ".snapshot",
        }
    }

    /// The file's name for a base offset: 20 digits and the suffix.
    #[must_use]
    pub fn name(self, base: Offset) -> String {
        format!("{:0OFFSET_DIGITS$}{}", base.0, self.suffix())
    }
}

/// What stands behind a segment file's suffix while Kafka works on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileState {
    /// In use.
    Live,
    /// `.deleted`: waits for its removal.
    Deleted,
    /// `.cleaned`: the cleaner had not finished; to be removed.
    Cleaned,
    /// `.swap`: finished by the cleaner or a split; replaces the segments it covers.
    Swap,
}

/// Suffix of a file that waits for its removal.
pub const DELETED_SUFFIX: &str = ".deleted";

/// One file name of a partition's directory, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentFileName {
    /// The offset in the name.
    pub base: Offset,
    /// What the file holds.
    pub kind: SegmentFile,
    /// Whether it is in use.
    pub state: FileState,
}

/// Reads a segment file's name; `None` when it is another kind of file.
#[must_use]
pub fn parse_segment_file(name: &str) -> Option<SegmentFileName> {
    let (name, state) = if let Some(rest) = name.strip_suffix(DELETED_SUFFIX) {
        (rest, FileState::Deleted)
    } else if let Some(rest) = name.strip_suffix(".cleaned") {
        (rest, FileState::Cleaned)
    } else if let Some(rest) = name.strip_suffix(".swap") {
        (rest, FileState::Swap)
    } else {
        (name, FileState::Live)
    };
    let (digits, _) = name.split_once('.')?;
    let suffix = &name[digits.len()..];
    let kind = SegmentFile::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(SegmentFileName { base: Offset(digits.parse().ok()?), kind, state })
}

/// The directory of a partition: `topic-partition`.
#[must_use]
pub fn partition_directory(topic: &str, partition: PartitionIndex) -> String {
    format!("{topic}-{partition}")
}

/// Why a partition's directory carries a suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DirectoryRole {
    /// The partition's log.
    Current,
    /// `.<id>-delete`: waits for its removal.
    Delete,
    /// `.<id>-future`: the copy that a move between data directories fills.
    Future,
    /// `.<id>-stray`: found without a place in the metadata.
    Stray,
}

impl DirectoryRole {
    const SUFFIXED: [Self; 3] = [Self::Delete, Self::Future, Self::Stray];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Current => "",
            Self::Delete => "-delete",
            Self::Future => "-future",
            Self::Stray => "-stray",
        }
    }
}

/// A partition's directory name, understood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionDirectoryName {
    /// Topic and partition. The topic of a directory that waits for removal may be cut short.
    pub partition: TopicPartition,
    /// Why it carries a suffix.
    pub role: DirectoryRole,
}

/// Reads a directory's name as Kafka's `LocalLog.parseTopicPartitionName` does; `None` when it is no partition's.
#[must_use]
pub fn parse_partition_directory(name: &str) -> Option<PartitionDirectoryName> {
    let role = DirectoryRole::SUFFIXED.into_iter().find(|role| name.ends_with(role.suffix()));
    let (stem, role) = match role {
        Some(role) => {
            // `topic-partition.id-role`: the id holds no dot, and none of the three parts is empty.
            let (stem, rest) = name.rsplit_once('.')?;
            if rest.len() <= role.suffix().len() || stem.contains(char::is_whitespace) {
                return None;
            }
            (stem, role)
        }
        None => (name, DirectoryRole::Current),
    };
    let (topic, partition) = stem.rsplit_once('-')?;
    let digits = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    if topic.is_empty() || !digits {
        return None;
    }
    let partition = PartitionIndex(partition.parse().ok()?);
    Some(PartitionDirectoryName { partition: TopicPartition { topic: Arc::from(topic), partition }, role })
}

/// The name a partition's directory gets before it is removed: `topic-partition.<32 hex>-delete`, the topic cut so that
/// the whole stays within 255 bytes. `unique` comes from the caller: storage draws no random numbers.
#[must_use]
pub fn delete_directory(topic: &str, partition: PartitionIndex, unique: Uuid) -> String {
    suffixed_directory(topic, partition, unique, DirectoryRole::Delete)
}

/// The name of a directory that has no place in the metadata: `topic-partition.<32 hex>-stray`.
#[must_use]
pub fn stray_directory(topic: &str, partition: PartitionIndex, unique: Uuid) -> String {
    suffixed_directory(topic, partition, unique, DirectoryRole::Stray)
}

fn suffixed_directory(topic: &str, partition: PartitionIndex, unique: Uuid, role: DirectoryRole) -> String {
    let tail = format!("-{partition}.{}{}", unique.simple(), role.suffix());
    let mut keep = topic.len().min(NAME_LENGTH_MAX - tail.len());
    while !topic.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{tail}", &topic[..keep])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_files_read_back() {
        assert_eq!(SegmentFile::Log.name(Offset(0)), "00000000000000000000.log");
        assert_eq!(SegmentFile::TimeIndex.name(Offset(i64::MAX)), "09223372036854775807.timeindex");
        for kind in SegmentFile::ALL {
            for base in [0, 1, 4_294_967_296, i64::MAX] {
                let name = kind.name(Offset(base));
                for (suffix, state) in [
                    ("", FileState::Live),
                    (".deleted", FileState::Deleted),
                    (".cleaned", FileState::Cleaned),
                    (".swap", FileState::Swap),
                ] {
                    let read = parse_segment_file(&format!("{name}{suffix}"));
                    assert_eq!(read, Some(SegmentFileName { base: Offset(base), kind, state }));
                }
            }
        }
        for other in [
            "leader-epoch-checkpoint",
            "partition.metadata",
            ".log",
            "x.log",
            "-1.log",
            "+1.log",
            "00000000000000000000.log.tmp",
            "99999999999999999999.log",
            "00000000000000000000",
        ] {
            assert_eq!(parse_segment_file(other), None, "{other}");
        }
    }

    #[test]
    fn partition_directories_read_as_kafka_reads_them() {
        let read = |name: &str| {
            parse_partition_directory(name)
                .map(|found| (found.partition.topic.to_string(), found.partition.partition.0, found.role))
        };
        assert_eq!(read("a-0"), Some(("a".into(), 0, DirectoryRole::Current)));
        assert_eq!(read("a-b.c-12"), Some(("a-b.c".into(), 12, DirectoryRole::Current)));
        assert_eq!(read("a-b-7.0123abc-delete"), Some(("a-b".into(), 7, DirectoryRole::Delete)));
        assert_eq!(read("a.x-7.9f-future"), Some(("a.x".into(), 7, DirectoryRole::Future)));
        assert_eq!(read("a-7.9f-stray"), Some(("a".into(), 7, DirectoryRole::Stray)));
        for other in
            ["a", "-1", "a-", "a-x", "a-7-delete", "a-7.-delete", "a-+1", "a-99999999999", "lost+found", ""]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn names_for_removal_stay_within_the_limit() {
        let unique = Uuid::from_u128(0xabcd);
        let name = delete_directory("t", PartitionIndex(3), unique);
        assert_eq!(name, "t-3.0000000000000000000000000000abcd-delete");
        let long = "x".repeat(249);
        let name = delete_directory(&long, PartitionIndex(10_000), unique);
        assert_eq!(name.len(), 255);
        let read = parse_partition_directory(&name).expect("our own name");
        assert_eq!(read.role, DirectoryRole::Delete);
        assert_eq!(read.partition.partition, PartitionIndex(10_000));
        let stray = stray_directory("a-b", PartitionIndex(0), unique);
        assert_eq!(parse_partition_directory(&stray).expect("our own name").role, DirectoryRole::Stray);
    }
}
