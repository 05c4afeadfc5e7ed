//! Groups of the consumer protocol (KIP-848): one record for each fact, keyed by group and, where it is a member's, member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{CONSUMER_TYPES, ConsumerRecordType as Type, GroupRecordError, ended, read_name, value_reader};
use crate::ids::{PartitionIndex, TimestampMs, TopicId};
use crate::metadata_records::fields::{read_list, read_tags};
use crate::wire::{Reader, WireError, Writer};

/// Partitions by topic.
pub type Partitions = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;

/// Partitions by topic, each with the epoch at which its member got it (KIP-1251); 0 when not known.
pub type EpochedPartitions = BTreeMap<TopicId, BTreeMap<PartitionIndex, i32>>;

/// A member of a group: the key of what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberKey {
    /// Group id.
    pub group: Arc<str>,
    /// Member id.
    pub member_id: Arc<str>,
}

/// A group's epoch (`ConsumerGroupMetadataValue`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupEpoch {
    /// The epoch.
    pub epoch: i32,
    /// Hash of the topics that the group subscribes to, as they were at this epoch (KIP-1101); 0 for none.
    pub metadata_hash: i64,
}

/// The epoch of a group's target assignment (`ConsumerGroupTargetAssignmentMetadataValue`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetEpoch {
    /// The epoch.
    pub epoch: i32,
    /// When it was computed (KIP-1263); 0 when not known.
    pub computed_at: TimestampMs,
}

/// What a member said of itself (`ConsumerGroupMemberMetadataValue`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberMetadata {
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Its rack.
    pub rack_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Host that it speaks from, as Java prints addresses.
    pub client_host: Arc<str>,
    /// Topics that it subscribes to by name; ascending, as Kafka writes them.
    pub topics: BTreeSet<Arc<str>>,
    /// Regular expression of further topics.
    pub regex: Option<Arc<str>>,
    /// Rebalance time-out in milliseconds; -1 when not known.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it would like.
    pub assignor: Option<Arc<str>>,
    /// What a member of the classic protocol said besides.
    pub classic: Option<ClassicMember>,
}

/// A member of the classic protocol in a group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMember {
    /// Session time-out in milliseconds.
    pub session_timeout_ms: i32,
    /// Its protocols in order of preference, each with its metadata.
    pub protocols: Vec<(Arc<str>, Bytes)>,
}

/// What a member has (`ConsumerGroupCurrentMemberAssignmentValue`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentAssignment {
    /// The epoch that the member has reached.
    pub epoch: i32,
    /// The epoch before, which it may still believe in.
    pub previous_epoch: i32,
    /// Its state by Kafka's number (`MemberState`).
    pub state: i8,
    /// Partitions that it owns or may take.
    pub assigned: EpochedPartitions,
    /// Partitions that it is to give up.
    pub pending_revocation: EpochedPartitions,
}

/// The topics that match a regular expression (`ConsumerGroupRegularExpressionValue`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// Names of the topics.
    pub topics: BTreeSet<Arc<str>>,
    /// Version of the metadata that it was resolved by.
    pub version: i64,
    /// When.
    pub resolved_at: TimestampMs,
}

/// A record of a group of the consumer protocol; a null value deletes what the key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// The group's epoch; null deletes the group.
    Epoch(Arc<str>, Option<GroupEpoch>),
    /// Partitions of subscribed topics, as brokers before 4.1 kept them: 4.3 only deletes it.
    PartitionMetadata(Arc<str>, Option<Bytes>),
    /// A member; null deletes it.
    Member(MemberKey, Option<ConsumerMemberMetadata>),
    /// The epoch of the target assignment.
    TargetEpoch(Arc<str>, Option<TargetEpoch>),
    /// What a member is to have.
    Target(MemberKey, Option<Partitions>),
    /// What a member has.
    Current(MemberKey, Option<CurrentAssignment>),
    /// What a regular expression means: group and expression.
    Regex(Arc<str>, Arc<str>, Option<ResolvedRegex>),
}

impl ConsumerRecord {
    /// The group that it is about.
    #[must_use]
    pub const fn group(&self) -> &Arc<str> {
        match self {
            Self::Epoch(group, _)
            | Self::PartitionMetadata(group, _)
            | Self::TargetEpoch(group, _)
            | Self::Regex(group, ..) => group,
            Self::Member(key, _) | Self::Target(key, _) | Self::Current(key, _) => &key.group,
        }
    }

    /// Whether its value is null.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        matches!(
            self,
            Self::Epoch(_, None)
                | Self::PartitionMetadata(_, None)
                | Self::Member(_, None)
                | Self::TargetEpoch(_, None)
                | Self::Target(_, None)
                | Self::Current(_, None)
                | Self::Regex(_, _, None)
        )
    }

    const fn record_type(&self) -> Type {
        match self {
            Self::Epoch(..) => Type::Epoch,
            Self::PartitionMetadata(..) => Type::PartitionMetadata,
            Self::Member(..) => Type::Member,
            Self::TargetEpoch(..) => Type::TargetEpoch,
            Self::Target(..) => Type::Target,
            Self::Current(..) => Type::Current,
            Self::Regex(..) => Type::Regex,
        }
    }

    pub(super) fn encode_key(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out, false);
        writer.i16(self.record_type() as i16);
        writer.text(self.group());
        match self {
            Self::Member(key, _) | Self::Target(key, _) | Self::Current(key, _) => {
                writer.text(&key.member_id);
            }
            Self::Regex(_, regex, _) => writer.text(regex),
            Self::Epoch(..) | Self::PartitionMetadata(..) | Self::TargetEpoch(..) => {}
        }
    }

    /// False, and nothing appended, when the value is null.
    pub(super) fn encode_value(&self, out: &mut Vec<u8>) -> bool {
        if let Self::PartitionMetadata(_, Some(value)) = self {
            out.extend_from_slice(value);
            return true;
        }
        let mut writer = Writer::new(out, true);
        match self {
            Self::Epoch(_, Some(value)) => value.write(&mut writer),
            Self::Member(_, Some(value)) => value.write(&mut writer),
            Self::TargetEpoch(_, Some(value)) => value.write(&mut writer),
            Self::Target(_, Some(value)) => write_target(value, &mut writer),
            Self::Current(_, Some(value)) => value.write(&mut writer),
            Self::Regex(_, _, Some(value)) => value.write(&mut writer),
            _ => return false,
        }
        true
    }

    /// Reads a record whose type `reader` is past.
    pub(super) fn decode(
        record_type: Type,
        reader: &mut Reader<'_>,
        value: Option<&Bytes>,
    ) -> Result<Self, GroupRecordError> {
        fn read<T>(
            record_type: Type,
            value: Option<&Bytes>,
            read: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
        ) -> Result<Option<T>, GroupRecordError> {
            let Some(bytes) = value else { return Ok(None) };
            let (_, mut reader) = value_reader(bytes, record_type as i16, 0, 0)?;
            let value = read(&mut reader)?;
            ended(&reader, Some(value))
        }
        let group = read_name(reader)?;
        let mut member = |group| Ok::<_, WireError>(MemberKey { group, member_id: read_name(reader)? });
        Ok(match record_type {
            Type::Epoch => Self::Epoch(group, read(record_type, value, GroupEpoch::read)?),
            Type::PartitionMetadata => Self::PartitionMetadata(group, value.cloned()),
            Type::Member => {
                Self::Member(member(group)?, read(record_type, value, ConsumerMemberMetadata::read)?)
            }
            Type::TargetEpoch => Self::TargetEpoch(group, read(record_type, value, TargetEpoch::read)?),
            Type::Target => Self::Target(member(group)?, read(record_type, value, read_target)?),
            Type::Current => {
                Self::Current(member(group)?, read(record_type, value, CurrentAssignment::read)?)
            }
            Type::Regex => {
                let regex = read_name(reader)?;
                Self::Regex(group, regex, read(record_type, value, ResolvedRegex::read)?)
            }
        })
    }
}

/// The type of that number, when it is one of the consumer protocol.
pub(super) fn type_of(number: i16) -> Option<Type> {
    CONSUMER_TYPES.into_iter().find(|&record_type| record_type as i16 == number)
}

impl GroupEpoch {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.i16(0);
        writer.i32(self.epoch);
        write_tagged_i64(writer, self.metadata_hash);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { epoch: reader.i32()?, metadata_hash: read_tagged_i64(reader)? })
    }
}

impl TargetEpoch {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.i16(0);
        writer.i32(self.epoch);
        write_tagged_i64(writer, self.computed_at.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { epoch: reader.i32()?, computed_at: TimestampMs(read_tagged_i64(reader)?) })
    }
}

/// The one tagged field of a structure, tag 0; left out when 0.
fn write_tagged_i64(writer: &mut Writer<'_>, value: i64) {
    if value == 0 {
        return writer.no_tags();
    }
    writer.tag_count(1);
    writer.tag(0, 8);
    writer.i64(value);
}

fn read_tagged_i64(reader: &mut Reader<'_>) -> Result<i64, WireError> {
    let mut value = 0;
    read_tags(reader, |tag, reader| {
        if tag == 0 {
            value = reader.i64()?;
        }
        Ok(tag == 0)
    })?;
    Ok(value)
}

impl ConsumerMemberMetadata {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.i16(0);
        writer.nullable_text(self.instance_id.as_deref());
        writer.nullable_text(self.rack_id.as_deref());
        writer.text(&self.client_id);
        writer.text(&self.client_host);
        write_names(writer, &self.topics);
        writer.nullable_text(self.regex.as_deref());
        writer.i32(self.rebalance_timeout_ms);
        writer.nullable_text(self.assignor.as_deref());
        // Kafka writes this field also when it is null: as a zero.
        let mut field = Vec::new();
        match &self.classic {
            Some(classic) => classic.write(&mut Writer::new(&mut field, true)),
            None => field.push(0),
        }
        writer.tag_count(1);
        writer.tag(0, field.len());
        writer.bytes(&field);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut member = Self {
            instance_id: read_nullable_name(reader)?,
            rack_id: read_nullable_name(reader)?,
            client_id: read_name(reader)?,
            client_host: read_name(reader)?,
            topics: read_names(reader)?,
            regex: read_nullable_name(reader)?,
            rebalance_timeout_ms: reader.i32()?,
            assignor: read_nullable_name(reader)?,
            classic: None,
        };
        read_tags(reader, |tag, reader| {
            // A nullable structure begins with whether it is there.
            if tag == 0 && reader.i8()? > 0 {
                member.classic = Some(ClassicMember::read(reader)?);
            }
            Ok(tag == 0)
        })?;
        Ok(member)
    }
}

impl ClassicMember {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.i8(1);
        writer.i32(self.session_timeout_ms);
        writer.length(self.protocols.len());
        for (name, metadata) in &self.protocols {
            writer.text(name);
            writer.length(metadata.len());
            writer.bytes(metadata);
            writer.no_tags();
        }
        writer.no_tags();
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let session_timeout_ms = reader.i32()?;
        // A name, bytes and no tags.
        let protocols = read_list(reader, 3, |reader| {
            let name = read_name(reader)?;
            let metadata = reader.nullable_bytes()?.map(Bytes::copy_from_slice).ok_or(WireError::Null)?;
            reader.skip_tags()?;
            Ok((name, metadata))
        })?;
        reader.skip_tags()?;
        Ok(Self { session_timeout_ms, protocols })
    }
}

impl CurrentAssignment {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.i16(0);
        writer.i32(self.epoch);
        writer.i32(self.previous_epoch);
        writer.i8(self.state);
        write_epoched(&self.assigned, writer);
        write_epoched(&self.pending_revocation, writer);
        writer.no_tags();
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let value = Self {
            epoch: reader.i32()?,
            previous_epoch: reader.i32()?,
            state: reader.i8()?,
            assigned: read_epoched(reader)?,
            pending_revocation: read_epoched(reader)?,
        };
        reader.skip_tags()?;
        Ok(value)
    }
}

impl ResolvedRegex {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.i16(0);
        write_names(writer, &self.topics);
        writer.i64(self.version);
        writer.i64(self.resolved_at.0);
        writer.no_tags();
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let value = Self {
            topics: read_names(reader)?,
            version: reader.i64()?,
            resolved_at: TimestampMs(reader.i64()?),
        };
        reader.skip_tags()?;
        Ok(value)
    }
}

fn write_target(target: &Partitions, writer: &mut Writer<'_>) {
    writer.i16(0);
    writer.length(target.len());
    for (topic, partitions) in target {
        writer.uuid(topic.0);
        writer.length(partitions.len());
        partitions.iter().for_each(|partition| writer.i32(partition.0));
        writer.no_tags();
    }
    writer.no_tags();
}

fn read_target(reader: &mut Reader<'_>) -> Result<Partitions, WireError> {
    let topics = read_list(reader, TOPIC_BYTES_MIN, |reader| {
        let topic = TopicId(reader.uuid()?);
        let partitions = read_list(reader, 4, read_partition)?;
        reader.skip_tags()?;
        Ok((topic, partitions.into_iter().collect()))
    })?;
    reader.skip_tags()?;
    Ok(topics.into_iter().collect())
}

fn write_epoched(topics: &EpochedPartitions, writer: &mut Writer<'_>) {
    writer.length(topics.len());
    for (topic, partitions) in topics {
        writer.uuid(topic.0);
        writer.length(partitions.len());
        partitions.keys().for_each(|partition| writer.i32(partition.0));
        let mut epochs = Vec::with_capacity(5 + 4 * partitions.len());
        let mut field = Writer::new(&mut epochs, true);
        field.length(partitions.len());
        partitions.values().for_each(|epoch| field.i32(*epoch));
        writer.tag_count(1);
        writer.tag(0, epochs.len());
        writer.bytes(&epochs);
    }
}

fn read_epoched(reader: &mut Reader<'_>) -> Result<EpochedPartitions, WireError> {
    let topics = read_list(reader, TOPIC_BYTES_MIN, |reader| {
        let topic = TopicId(reader.uuid()?);
        let partitions = read_list(reader, 4, read_partition)?;
        let mut epochs = Vec::new();
        read_tags(reader, |tag, reader| {
            if tag == 0 {
                epochs = read_list(reader, 4, |reader| reader.i32())?;
            }
            Ok(tag == 0)
        })?;
        let epochs = epochs.into_iter().chain(std::iter::repeat(0));
        Ok((topic, partitions.into_iter().zip(epochs).collect()))
    })?;
    Ok(topics.into_iter().collect())
}

fn read_partition(reader: &mut Reader<'_>) -> Result<PartitionIndex, WireError> {
    reader.i32().map(PartitionIndex)
}

fn write_names(writer: &mut Writer<'_>, names: &BTreeSet<Arc<str>>) {
    writer.length(names.len());
    names.iter().for_each(|name| writer.text(name));
}

fn read_names(reader: &mut Reader<'_>) -> Result<BTreeSet<Arc<str>>, WireError> {
    Ok(read_list(reader, 1, read_name)?.into_iter().collect())
}

fn read_nullable_name(reader: &mut Reader<'_>) -> Result<Option<Arc<str>>, WireError> {
    Ok(reader.nullable_string()?.map(|bytes| String::from_utf8_lossy(bytes).into()))
}

/// An id, an empty array and no tags.
const TOPIC_BYTES_MIN: usize = 18;
