//! DescribeLogDirs (key 35), v1-5. v2 flexible · v3 top-level error · v4 size of the volume (KIP-827) · v5 cordoned (KIP-1066).
//! Sizes are those of the segments, what is still in memory on its way to them included. The answer of version 5 has a field that
//! the published codec does not know, so this file writes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::DescribeLogDirsRequest;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::log_dirs::{LogDir, LogDirPartition, LogDirTopic, encode_response};

use crate::net::connection::Closed;
use crate::partition::sizes::LogSize;
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::runtime::mailbox::ShardId;
use crate::shard::message::{ShardReply, ShardRequest};

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DescribeLogDirsRequest = request.decode()?;
    let is_wanted = |topic: &str, partition: i32| match &body.topics {
        None => true,
        Some(topics) => {
            topics.iter().any(|asked| *asked.topic == *topic && asked.partitions.contains(&partition))
        }
    };
    let shard = request.shard;
    let mut topics: BTreeMap<usize, BTreeMap<Arc<str>, Vec<LogDirPartition>>> = BTreeMap::new();
    for owner in (0..shard.mail.shards()).map(ShardId) {
        let ShardReply::LogSizes(sizes) = shard.call(owner, ShardRequest::LogSizes).await else {
            unreachable!("sizes are answered with sizes")
        };
        for LogSize { directory, topic, partition, bytes } in sizes {
            if is_wanted(&topic, partition.0) {
                let partitions = topics.entry(directory).or_default().entry(topic).or_default();
                partitions.push(LogDirPartition { partition, bytes });
            }
        }
    }
    let directories: Vec<LogDir> = shard
        .directories
        .iter()
        .enumerate()
        .map(|(index, open)| {
            let path = open.directory.path();
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let (error, space) = match shard.disk.space(path) {
                Ok(space) => (ErrorCode::None, Some(space)),
                Err(_) => (ErrorCode::KafkaStorageError, None),
            };
            let of_directory = topics.remove(&index).unwrap_or_default().into_iter();
            LogDir {
                error,
                path: absolute.display().to_string(),
                topics: of_directory.map(|(name, partitions)| LogDirTopic { name, partitions }).collect(),
                total_bytes: space.map(|space| space.total),
                usable_bytes: space.map(|space| space.available),
            }
        })
        .collect();
    let version = request.header.version;
    request.respond_with(|out| {
        encode_response(version, &directories, out);
        Ok(())
    })
}
