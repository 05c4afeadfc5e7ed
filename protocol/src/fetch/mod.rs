//! Fetch (key 1), versions 4 to 18: request and response, both ways. Runs on the connection's core; records are never
//! copied: the response comes out in pieces between which the caller's record handles stand.
//! v5 log start · v7 sessions (KIP-227) · v9 leader epoch · v11 rack · v12 flexible, diverging epoch · v13 topic ids ·
//! v15 replica state · v16 node endpoints · v17 directory id · v18 high watermark of the follower.

mod encoder;
mod request;
mod response;

pub use encoder::{FetchPieces, FetchResponseEncoder, Piece};
pub use request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
pub use response::{
    AbortedTransaction, EpochEndOffset, FetchPartitionHead, FetchPartitionResponse, FetchResponse,
    FetchResponseHead, FetchTopicResponse, SnapshotId,
};

pub use crate::wire::{LeaderIdAndEpoch, NodeEndpoint};

use crate::api::ApiKey;
use crate::ids::TopicId;
use crate::wire::{Decoder, WireError, WireStr, Writer};

const FLEXIBLE_FROM: i16 = 12;
const IDS_FROM: i16 = 13;

fn read_topic_key(version: i16, decoder: &mut Decoder<'_>) -> Result<(WireStr, TopicId), WireError> {
    if version >= IDS_FROM {
        Ok((WireStr::new(), TopicId(decoder.uuid()?)))
    } else {
        Ok((decoder.text()?, TopicId::NONE))
    }
}

fn write_topic_key(version: i16, name: &str, topic_id: TopicId, writer: &mut Writer<'_>) {
    if version >= IDS_FROM {
        writer.uuid(topic_id.0);
    } else {
        writer.text(name);
    }
}

const fn check_version(version: i16) -> Result<(), WireError> {
    let api = ApiKey::Fetch.info();
    if api.serves(version) {
        Ok(())
    } else {
        Err(WireError::UnsupportedVersion { key: api.key.code(), version })
    }
}

/// Key, partition count and tags of a topic take at least this much.
const fn topic_bytes_min(version: i16) -> usize {
    match version {
        IDS_FROM.. => 16 + 1 + 1,
        FLEXIBLE_FROM.. => 1 + 1 + 1,
        _ => 2 + 4,
    }
}
