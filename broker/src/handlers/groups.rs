//! What the handlers of group requests share: text from the wire as the machine keeps it, and back.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;
use slipring_machine::group::Member;

/// Text that outlives its frame.
pub(super) fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

pub(super) fn nullable_name(text: Option<&StrBytes>) -> Option<Arc<str>> {
    text.map(|text| Arc::from(text.as_str()))
}

/// Bytes that outlive their frame: the machine keeps them as long as the member lives.
pub(super) fn owned(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn text(name: &Arc<str>) -> StrBytes {
    StrBytes::from_string(name.to_string())
}

pub(super) fn nullable_text(name: Option<&Arc<str>>) -> Option<StrBytes> {
    name.map(text)
}

pub(super) fn group_id(name: &Arc<str>) -> GroupId {
    GroupId(text(name))
}

pub(super) fn member(
    group: &GroupId,
    generation: i32,
    member_id: &StrBytes,
    instance_id: Option<&StrBytes>,
) -> Member {
    Member {
        group: name(group),
        generation,
        member_id: name(member_id),
        instance_id: nullable_name(instance_id),
    }
}
