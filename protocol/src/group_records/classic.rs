//! Groups of the classic protocol.

use std::sync::Arc;

use bytes::Bytes;

use super::{GROUP_TYPE, GroupRecordError, ended, read_name, value_reader};
use crate::ids::TimestampMs;
use crate::metadata_records::fields::read_list;
use crate::wire::{Reader, WireError, Writer};

/// A group at the end of a rebalance: stable, or empty when it has no members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Protocol type, `consumer` for consumers; empty for a group that never had members.
    pub protocol_type: Arc<str>,
    /// Generation.
    pub generation: i32,
    /// Name of the protocol (assignor) chosen.
    pub protocol: Option<Arc<str>>,
    /// Member id of the leader.
    pub leader: Option<Arc<str>>,
    /// Since when the group is in its state; -1 when not known.
    pub state_since: TimestampMs,
    /// Its members.
    pub members: Vec<MemberMetadata>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    /// Member id.
    pub member_id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Host that it joined from, as Java prints addresses.
    pub client_host: Arc<str>,
    /// Rebalance time-out in milliseconds; -1 when not known.
    pub rebalance_timeout_ms: i32,
    /// Session time-out in milliseconds.
    pub session_timeout_ms: i32,
    /// Its metadata under the chosen protocol.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

impl GroupMetadata {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out, false);
        writer.i16(VERSION_WRITTEN);
        writer.text(&self.protocol_type);
        writer.i32(self.generation);
        writer.nullable_text(self.protocol.as_deref());
        writer.nullable_text(self.leader.as_deref());
        writer.i64(self.state_since.0);
        writer.length(self.members.len());
        for member in &self.members {
            member.write(&mut writer);
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, GroupRecordError> {
        let (version, mut reader) = value_reader(bytes, GROUP_TYPE, VERSION_MAX, FLEXIBLE_FROM)?;
        let value = Self {
            protocol_type: read_nullable_name(&mut reader)?.unwrap_or_default(),
            generation: reader.i32()?,
            protocol: read_nullable_name(&mut reader)?,
            leader: read_nullable_name(&mut reader)?,
            state_since: TimestampMs(if version >= 2 { reader.i64()? } else { -1 }),
            members: read_list(&mut reader, MEMBER_BYTES_MIN, |reader| {
                MemberMetadata::read(version, reader)
            })?,
        };
        reader.skip_tags()?;
        ended(&reader, value)
    }
}

impl MemberMetadata {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(&self.member_id);
        writer.nullable_text(self.instance_id.as_deref());
        writer.text(&self.client_id);
        writer.text(&self.client_host);
        writer.i32(self.rebalance_timeout_ms);
        writer.i32(self.session_timeout_ms);
        for bytes in [&self.subscription, &self.assignment] {
            writer.length(bytes.len());
            writer.bytes(bytes);
        }
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let member = Self {
            member_id: read_name(reader)?,
            instance_id: if version >= 3 { read_nullable_name(reader)? } else { None },
            client_id: read_name(reader)?,
            client_host: read_name(reader)?,
            rebalance_timeout_ms: if version >= 1 { reader.i32()? } else { -1 },
            session_timeout_ms: reader.i32()?,
            subscription: read_bytes(reader)?,
            assignment: read_bytes(reader)?,
        };
        reader.skip_tags()?;
        Ok(member)
    }
}

fn read_nullable_name(reader: &mut Reader<'_>) -> Result<Option<Arc<str>>, WireError> {
    Ok(reader.nullable_string()?.map(|bytes| String::from_utf8_lossy(bytes).into()))
}

fn read_bytes(reader: &mut Reader<'_>) -> Result<Bytes, WireError> {
    reader.nullable_bytes()?.map(Bytes::copy_from_slice).ok_or(WireError::Null)
}

/// Kafka writes the last version without tagged fields.
const VERSION_WRITTEN: i16 = 3;
const VERSION_MAX: i16 = 4;
const FLEXIBLE_FROM: i16 = 4;
/// Six one-byte lengths and a number, in the flexible encoding.
const MEMBER_BYTES_MIN: usize = 10;
