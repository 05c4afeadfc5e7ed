//! The answer to DescribeLogDirs, versions 1 to 5, written by hand: the published codec knows versions up to 4. Bytes only.

use std::sync::Arc;

use crate::error_code::ErrorCode;
use crate::ids::PartitionIndex;
use crate::wire::Writer;

/// A data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Whether it can be used.
    pub error: ErrorCode,
    /// Its absolute path.
    pub path: String,
    /// The topics with partitions in it.
    pub topics: Vec<LogDirTopic>,
    /// Size of its volume in bytes; `None` when that is unknown.
    pub total_bytes: Option<u64>,
    /// Bytes that are free there.
    pub usable_bytes: Option<u64>,
}

/// A topic in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions there.
    pub partitions: Vec<LogDirPartition>,
}

/// A partition in a directory. It never lags, and none is on its way to another directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDirPartition {
    /// Which.
    pub partition: PartitionIndex,
    /// Bytes of its segments.
    pub bytes: u64,
}

/// First version with compact lengths and tagged fields.
const FLEXIBLE_FROM: i16 = 2;

/// Appends the body of an answer without a throttle time or an error of its own.
pub fn encode_response(version: i16, directories: &[LogDir], out: &mut Vec<u8>) {
    let mut writer = Writer::new(out, version >= FLEXIBLE_FROM);
    writer.i32(0);
    if version >= 3 {
        writer.i16(ErrorCode::None.code());
    }
    writer.length(directories.len());
    for directory in directories {
        writer.i16(directory.error.code());
        writer.text(&directory.path);
        writer.length(directory.topics.len());
        for topic in &directory.topics {
            writer.text(&topic.name);
            writer.length(topic.partitions.len());
            for partition in &topic.partitions {
                writer.i32(partition.partition.0);
                writer.i64(number(Some(partition.bytes)));
                writer.i64(0);
                writer.i8(0);
                writer.no_tags();
            }
            writer.no_tags();
        }
        if version >= 4 {
            writer.i64(number(directory.total_bytes));
            writer.i64(number(directory.usable_bytes));
        }
        if version >= 5 {
            // No directory is ever cordoned here.
            writer.i8(0);
        }
        writer.no_tags();
    }
    writer.no_tags();
}

fn number(bytes: Option<u64>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::DescribeLogDirsResponse;
    use kafka_protocol::protocol::{Decodable, Encodable};

    use super::*;

    /// Up to version 4 the published codec reads what we write and writes the same; version 5 has one byte more a directory.
    #[test]
    fn the_published_codec_writes_the_same() {
        let partition = LogDirPartition { partition: PartitionIndex(3), bytes: 77 };
        let topic = LogDirTopic { name: "topic".into(), partitions: vec![partition] };
        let directory = |error, total_bytes| LogDir {
            error,
            path: "/data".to_owned(),
            topics: vec![topic.clone()],
            total_bytes,
            usable_bytes: total_bytes,
        };
        let directories =
            [directory(ErrorCode::None, Some(5)), directory(ErrorCode::KafkaStorageError, None)];
        let mut lengths = Vec::new();
        for version in 1..=5 {
            let mut ours = Vec::new();
            encode_response(version, &directories, &mut ours);
            lengths.push(ours.len());
            if version <= 4 {
                let mut rest = bytes::Bytes::from(ours.clone());
                let read = DescribeLogDirsResponse::decode(&mut rest, version).unwrap();
                assert!(rest.is_empty());
                let mut theirs = Vec::new();
                read.encode(&mut theirs, version).unwrap();
                assert_eq!(ours, theirs, "{version}");
            }
        }
        assert_eq!(lengths[4], lengths[3] + directories.len());
    }
}
