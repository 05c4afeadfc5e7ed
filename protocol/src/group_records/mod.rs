//! The records of `__consumer_offsets` in Kafka's own bytes: a key that begins with its type, and a value that begins with
//! its version or is null, which deletes what the key names (`GroupCoordinatorRecordSerde`). Pure; used by the group
//! coordinator on the core that owns the partition.
//!
//! Values are written in the versions that Kafka 4.3 writes and read in all versions up to them.

mod classic;
mod consumer;
mod offsets;

pub use classic::{GroupMetadata, MemberMetadata};
pub use consumer::{
    ClassicMember, ConsumerMemberMetadata, ConsumerRecord, CurrentAssignment, EpochedPartitions, GroupEpoch,
    MemberKey, Partitions, ResolvedRegex, TargetEpoch,
};
pub use offsets::{CommittedOffset, OffsetKey};

use std::sync::Arc;

use bytes::Bytes;

use crate::wire::{Reader, WireError, Writer};

/// One record of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// A committed offset (`OffsetCommitKey`, `OffsetCommitValue`).
    Offset(OffsetKey, Option<CommittedOffset>),
    /// A group of the classic protocol (`GroupMetadataKey`, `GroupMetadataValue`).
    Group(Arc<str>, Option<GroupMetadata>),
    /// A record of a group of the consumer protocol.
    Consumer(ConsumerRecord),
    /// A record of a type that we have no use for yet. Kept as it is.
    Opaque {
        /// The key with its type.
        key: Bytes,
        /// The value with its version; none for a tombstone.
        value: Option<Bytes>,
    },
}

impl GroupRecord {
    /// Appends the record's key.
    pub fn encode_key(&self, out: &mut Vec<u8>) {
        match self {
            Self::Offset(key, _) => key.encode(out),
            Self::Group(group, _) => {
                let mut writer = Writer::new(out, false);
                writer.i16(GROUP_TYPE);
                writer.text(group);
            }
            Self::Consumer(record) => record.encode_key(out),
            Self::Opaque { key, .. } => out.extend_from_slice(key),
        }
    }

    /// Appends the record's value; false, and nothing appended, when it is null.
    pub fn encode_value(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Offset(_, Some(value)) => value.encode(out),
            Self::Group(_, Some(value)) => value.encode(out),
            Self::Consumer(record) => return record.encode_value(out),
            Self::Opaque { value: Some(value), .. } => out.extend_from_slice(value),
            Self::Offset(_, None) | Self::Group(_, None) | Self::Opaque { value: None, .. } => return false,
        }
        true
    }

    /// Reads a record. Types that we have no fields for become [`GroupRecord::Opaque`]; unknown tagged fields are passed over.
    ///
    /// # Errors
    /// When the bytes are no such record, or are one of a version after 4.3's. Kafka's coordinator does not load a partition
    /// with such a record.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Self, GroupRecordError> {
        let mut reader = Reader::new(key, false);
        let record = match reader.i16()? {
            LEGACY_OFFSET_TYPE | OFFSET_TYPE => {
                let key = OffsetKey::read(&mut reader)?;
                Self::Offset(key, value.map(|value| CommittedOffset::decode(value)).transpose()?)
            }
            GROUP_TYPE => {
                let group = read_name(&mut reader)?;
                Self::Group(group, value.map(|value| GroupMetadata::decode(value)).transpose()?)
            }
            number if let Some(record_type) = consumer::type_of(number) => {
                Self::Consumer(ConsumerRecord::decode(record_type, &mut reader, value)?)
            }
            0.. => return Ok(Self::Opaque { key: key.clone(), value: value.cloned() }),
            negative => return Err(GroupRecordError::Type(negative)),
        };
        match reader.left() {
            0 => Ok(record),
            left => Err(GroupRecordError::Trailing { left }),
        }
    }
}

/// Bytes that are no record of a known version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRecordError {
    /// A field cannot be read.
    #[error(transparent)]
    Field(#[from] WireError),
    /// A key of no type.
    #[error("record type {0}")]
    Type(i16),
    /// A value of a version that we do not know.
    #[error("version {version} of record type {record_type}")]
    Version {
        /// Type of the record.
        record_type: i16,
        /// Version of its value.
        version: i16,
    },
    /// Bytes after a key or value.
    #[error("{left} bytes after the last field")]
    Trailing {
        /// Bytes left.
        left: usize,
    },
}

/// For fuzzers: any bytes; what is read must be written so that it reads back the same.
///
/// # Panics
/// When it does not.
#[doc(hidden)]
pub fn fuzz_group_record(bytes: &[u8]) {
    let (key, value) = bytes.split_at(bytes.len() / 2);
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    if let Ok(record) = GroupRecord::decode(&key, Some(&value)) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        record.encode_key(&mut key);
        assert!(record.encode_value(&mut value), "the value was not null");
        let again = GroupRecord::decode(&key.into(), Some(&value.into())).expect("what we write can be read");
        assert_eq!(again, record, "a record has one form");
    }
}

/// Starts reading a value: its version decides the encoding.
fn value_reader(
    bytes: &[u8],
    record_type: i16,
    max: i16,
    flexible_from: i16,
) -> Result<(i16, Reader<'_>), GroupRecordError> {
    let version = Reader::new(bytes, false).i16()?;
    if !(0..=max).contains(&version) {
        return Err(GroupRecordError::Version { record_type, version });
    }
    let mut reader = Reader::new(bytes, version >= flexible_from);
    reader.i16()?;
    Ok((version, reader))
}

fn ended<T>(reader: &Reader<'_>, value: T) -> Result<T, GroupRecordError> {
    match reader.left() {
        0 => Ok(value),
        left => Err(GroupRecordError::Trailing { left }),
    }
}

fn read_name(reader: &mut Reader<'_>) -> Result<Arc<str>, WireError> {
    reader.nullable_string()?.map(|bytes| String::from_utf8_lossy(bytes).into()).ok_or(WireError::Null)
}

const LEGACY_OFFSET_TYPE: i16 = 0;
const OFFSET_TYPE: i16 = 1;
const GROUP_TYPE: i16 = 2;

/// Types of the consumer protocol's records (`CoordinatorRecordType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConsumerRecordType {
    Epoch = 3,
    PartitionMetadata = 4,
    Member = 5,
    TargetEpoch = 6,
    Target = 7,
    Current = 8,
    Regex = 16,
}

const CONSUMER_TYPES: [ConsumerRecordType; 7] = [
    ConsumerRecordType::Epoch,
    ConsumerRecordType::PartitionMetadata,
    ConsumerRecordType::Member,
    ConsumerRecordType::TargetEpoch,
    ConsumerRecordType::Target,
    ConsumerRecordType::Current,
    ConsumerRecordType::Regex,
];

#[cfg(test)]
mod tests;
