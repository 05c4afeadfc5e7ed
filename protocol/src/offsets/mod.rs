//! OffsetCommit (key 8, versions 2 to 10) and OffsetFetch (key 9, versions 1 to 10): requests and responses, both ways, by
//! codecs of our own, as the published ones lack version 10 with its topic ids. On the connection's core; names stay slices of
//! the frame.

mod commit;
mod fetch;

pub use commit::{
    OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse, OffsetCommitTopic,
    OffsetCommitTopicResponse,
};
pub use fetch::{
    OffsetFetchGroup, OffsetFetchGroupResponse, OffsetFetchPartition, OffsetFetchRequest,
    OffsetFetchResponse, OffsetFetchTopic, OffsetFetchTopicResponse,
};

use crate::api::ApiKey;
use crate::ids::TopicId;
use crate::wire::{Decoder, WireError, WireStr, Writer};

/// First version of both that names topics by id.
pub const TOPIC_IDS_FROM: i16 = 10;

fn read_topic(version: i16, decoder: &mut Decoder<'_>) -> Result<(WireStr, TopicId), WireError> {
    if version >= TOPIC_IDS_FROM {
        Ok((WireStr::default(), TopicId(decoder.uuid()?)))
    } else {
        Ok((decoder.text()?, TopicId::NONE))
    }
}

fn write_topic(version: i16, name: &str, topic_id: TopicId, writer: &mut Writer<'_>) {
    if version >= TOPIC_IDS_FROM {
        writer.uuid(topic_id.0);
    } else {
        writer.text(name);
    }
}

/// Bytes of a topic on the wire at least: its name or id, and the length of its partitions.
const fn topic_bytes_min(version: i16) -> usize {
    if version >= TOPIC_IDS_FROM { 18 } else { 3 }
}

fn check_version(key: ApiKey, version: i16) -> Result<bool, WireError> {
    let api = key.info();
    if api.min <= version && version <= api.max {
        Ok(api.is_flexible(version))
    } else {
        Err(WireError::UnsupportedVersion { key: key.code(), version })
    }
}

#[cfg(test)]
mod tests;
