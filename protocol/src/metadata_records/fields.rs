//! Field types that several records share, on top of the wire's primitives. Every count is held against the bytes left.

use uuid::Uuid;

use crate::ids::BrokerId;
use crate::wire::{Reader, WireError, Writer};

/// Tagged fields in the making: empty ones are never added, as Kafka leaves out defaults.
#[derive(Debug, Default)]
pub(crate) struct Tags(Vec<(u32, Vec<u8>)>);

impl Tags {
    /// Adds a field, which `write` writes. Tags must be added in ascending order.
    pub(crate) fn add(&mut self, tag: u32, write: impl FnOnce(&mut Writer<'_>)) {
        debug_assert!(self.0.last().is_none_or(|&(last, _)| last < tag), "tags ascend");
        let mut field = Vec::new();
        write(&mut Writer::new(&mut field, true));
        self.0.push((tag, field));
    }

    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.tag_count(self.0.len() as u32);
        for (tag, field) in &self.0 {
            writer.tag(*tag, field.len());
            writer.bytes(field);
        }
    }
}

/// Reads the tagged fields that end a structure; `known` reads one of its tags, or says that it has none such. As in
/// Kafka a known field is read by its type, whatever size it claims.
pub(crate) fn read_tags(
    reader: &mut Reader<'_>,
    mut known: impl FnMut(u32, &mut Reader<'_>) -> Result<bool, WireError>,
) -> Result<(), WireError> {
    for _ in 0..reader.tag_count()? {
        let (tag, size) = reader.tag()?;
        if !known(tag, reader)? {
            reader.take(size)?;
        }
    }
    Ok(())
}

pub(crate) fn read_bool(reader: &mut Reader<'_>) -> Result<bool, WireError> {
    Ok(reader.i8()? != 0)
}

pub(crate) fn read_text(reader: &mut Reader<'_>) -> Result<String, WireError> {
    read_nullable_text(reader)?.ok_or(WireError::Null)
}

/// Malformed UTF-8 is replaced, as Java does.
pub(crate) fn read_nullable_text(reader: &mut Reader<'_>) -> Result<Option<String>, WireError> {
    Ok(reader.nullable_string()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// Elements of at least `wire_min` bytes each, read by `read`.
pub(crate) fn read_list<T>(
    reader: &mut Reader<'_>,
    wire_min: usize,
    read: impl FnMut(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    read_nullable_list(reader, wire_min, read)?.ok_or(WireError::Null)
}

pub(crate) fn read_nullable_list<T>(
    reader: &mut Reader<'_>,
    wire_min: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Option<Vec<T>>, WireError> {
    let Some(count) = reader.nullable_count(wire_min, size_of::<T>())? else {
        return Ok(None);
    };
    (0..count).map(|_| read(reader)).collect::<Result<_, _>>().map(Some)
}

pub(crate) fn read_broker(reader: &mut Reader<'_>) -> Result<BrokerId, WireError> {
    reader.i32().map(BrokerId)
}

pub(crate) fn read_brokers(reader: &mut Reader<'_>) -> Result<Vec<BrokerId>, WireError> {
    read_list(reader, 4, read_broker)
}

pub(crate) fn read_nullable_brokers(reader: &mut Reader<'_>) -> Result<Option<Vec<BrokerId>>, WireError> {
    read_nullable_list(reader, 4, read_broker)
}

fn read_uuid(reader: &mut Reader<'_>) -> Result<Uuid, WireError> {
    reader.uuid()
}

pub(crate) fn read_uuids(reader: &mut Reader<'_>) -> Result<Vec<Uuid>, WireError> {
    read_list(reader, 16, read_uuid)
}

pub(crate) fn read_nullable_uuids(reader: &mut Reader<'_>) -> Result<Option<Vec<Uuid>>, WireError> {
    read_nullable_list(reader, 16, read_uuid)
}

pub(crate) fn write_brokers(writer: &mut Writer<'_>, brokers: &[BrokerId]) {
    writer.length(brokers.len());
    for broker in brokers {
        writer.i32(broker.0);
    }
}

pub(crate) fn write_uuids(writer: &mut Writer<'_>, uuids: &[Uuid]) {
    writer.length(uuids.len());
    for &uuid in uuids {
        writer.uuid(uuid);
    }
}
