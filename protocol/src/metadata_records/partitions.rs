//! Records of topics and partitions.

use uuid::Uuid;

use super::Body;
use super::fields::{
    Tags, read_broker, read_brokers, read_nullable_brokers, read_nullable_uuids, read_tags, read_text,
    read_uuids, write_brokers, write_uuids,
};
use crate::ids::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};
use crate::wire::{Reader, WireError, Writer};

/// A topic exists (`TopicRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Name.
    pub name: String,
    /// Id, never used again.
    pub id: TopicId,
}

impl Body for Topic {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(&self.name);
        writer.uuid(self.id.0);
        writer.no_tags();
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let record = Self { name: read_text(reader)?, id: TopicId(reader.uuid()?) };
        reader.skip_tags()?;
        Ok(record)
    }
}

/// A topic is deleted, with its partitions and configs (`RemoveTopicRecord`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoveTopic {
    /// Topic.
    pub id: TopicId,
}

impl Body for RemoveTopic {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.uuid(self.id.0);
        writer.no_tags();
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let record = Self { id: TopicId(reader.uuid()?) };
        reader.skip_tags()?;
        Ok(record)
    }
}

/// Forget the eligible leader replicas of a topic, or of all when the name is empty (`ClearElrRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearElr {
    /// Topic name.
    pub topic: String,
}

impl Body for ClearElr {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(&self.topic);
        writer.no_tags();
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let record = Self { topic: read_text(reader)? };
        reader.skip_tags()?;
        Ok(record)
    }
}

/// Whether a partition's leader came from an unclean election and has not said yet that it recovered (KIP-704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderRecoveryState {
    /// All is well.
    #[default]
    Recovered,
    /// After an unclean election.
    Recovering,
}

impl LeaderRecoveryState {
    /// Kafka's number of it.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// Kafka itself refuses anything else; a bit we do not know must not pass for "recovered".
    const fn from_code(code: i8) -> Self {
        if code == 0 { Self::Recovered } else { Self::Recovering }
    }
}

/// A partition exists, with all its state (`PartitionRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the topic.
    pub partition: PartitionIndex,
    /// Topic.
    pub topic: TopicId,
    /// Replicas in preferred order.
    pub replicas: Vec<BrokerId>,
    /// In-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Replicas that a reassignment removes.
    pub removing_replicas: Vec<BrokerId>,
    /// Replicas that a reassignment adds.
    pub adding_replicas: Vec<BrokerId>,
    /// Leader, or `BrokerId(-1)` when there is none.
    pub leader: BrokerId,
    /// State after an unclean election.
    pub leader_recovery: LeaderRecoveryState,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change of the partition.
    pub partition_epoch: i32,
    /// Directory of every replica, in their order; empty from versions before 1.
    pub directories: Vec<Uuid>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The last eligible leader replicas before there were none.
    pub last_known_elr: Vec<BrokerId>,
}

impl Body for Partition {
    const VERSION: i16 = 2;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i32(self.partition.0);
        writer.uuid(self.topic.0);
        write_brokers(writer, &self.replicas);
        write_brokers(writer, &self.isr);
        write_brokers(writer, &self.removing_replicas);
        write_brokers(writer, &self.adding_replicas);
        writer.i32(self.leader.0);
        writer.i32(self.leader_epoch.0);
        writer.i32(self.partition_epoch);
        write_uuids(writer, &self.directories);
        let mut tags = Tags::default();
        if self.leader_recovery != LeaderRecoveryState::Recovered {
            tags.add(0, |writer| writer.i8(self.leader_recovery.code()));
        }
        // Null and empty mean the same here, and Kafka writes neither.
        for (tag, brokers) in [(1, &self.elr), (2, &self.last_known_elr)] {
            if !brokers.is_empty() {
                tags.add(tag, |writer| write_brokers(writer, brokers));
            }
        }
        tags.write(writer);
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut record = Self {
            partition: PartitionIndex(reader.i32()?),
            topic: TopicId(reader.uuid()?),
            replicas: read_brokers(reader)?,
            isr: read_brokers(reader)?,
            removing_replicas: read_brokers(reader)?,
            adding_replicas: read_brokers(reader)?,
            leader: read_broker(reader)?,
            leader_recovery: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(reader.i32()?),
            partition_epoch: reader.i32()?,
            directories: if version >= 1 { read_uuids(reader)? } else { Vec::new() },
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        };
        read_tags(reader, |tag, reader| {
            match tag {
                0 => record.leader_recovery = LeaderRecoveryState::from_code(reader.i8()?),
                1 if version >= 2 => record.elr = read_nullable_brokers(reader)?.unwrap_or_default(),
                2 if version >= 2 => {
                    record.last_known_elr = read_nullable_brokers(reader)?.unwrap_or_default()
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }
}

/// Part of a partition's state has changed (`PartitionChangeRecord`). `None` is "no change" everywhere. Every such record
/// raises the partition epoch by one, and one that names a leader raises the leader epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionChange {
    /// Its number in the topic.
    pub partition: PartitionIndex,
    /// Topic.
    pub topic: TopicId,
    /// In-sync replicas.
    pub isr: Option<Vec<BrokerId>>,
    /// Leader; `BrokerId(-1)` when there is none any more.
    pub leader: Option<BrokerId>,
    /// Replicas in preferred order.
    pub replicas: Option<Vec<BrokerId>>,
    /// Replicas that a reassignment removes.
    pub removing_replicas: Option<Vec<BrokerId>>,
    /// Replicas that a reassignment adds.
    pub adding_replicas: Option<Vec<BrokerId>>,
    /// State after an unclean election.
    pub leader_recovery: Option<LeaderRecoveryState>,
    /// Eligible leader replicas.
    pub elr: Option<Vec<BrokerId>>,
    /// The last eligible leader replicas before there were none.
    pub last_known_elr: Option<Vec<BrokerId>>,
    /// Directory of every replica.
    pub directories: Option<Vec<Uuid>>,
}

impl Body for PartitionChange {
    const VERSION: i16 = 2;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i32(self.partition.0);
        writer.uuid(self.topic.0);
        let mut tags = Tags::default();
        let brokers = |tags: &mut Tags, tag, brokers: &Option<Vec<BrokerId>>| {
            if let Some(brokers) = brokers {
                tags.add(tag, |writer| write_brokers(writer, brokers));
            }
        };
        brokers(&mut tags, 0, &self.isr);
        if let Some(leader) = self.leader {
            tags.add(1, |writer| writer.i32(leader.0));
        }
        brokers(&mut tags, 2, &self.replicas);
        brokers(&mut tags, 3, &self.removing_replicas);
        brokers(&mut tags, 4, &self.adding_replicas);
        if let Some(state) = self.leader_recovery {
            tags.add(5, |writer| writer.i8(state.code()));
        }
        brokers(&mut tags, 6, &self.elr);
        brokers(&mut tags, 7, &self.last_known_elr);
        if let Some(directories) = &self.directories {
            tags.add(8, |writer| write_uuids(writer, directories));
        }
        tags.write(writer);
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut record = Self {
            partition: PartitionIndex(reader.i32()?),
            topic: TopicId(reader.uuid()?),
            ..Self::default()
        };
        read_tags(reader, |tag, reader| {
            match tag {
                0 => record.isr = read_nullable_brokers(reader)?,
                1 => record.leader = Some(read_broker(reader)?).filter(|leader| leader.0 != LEADER_UNCHANGED),
                2 => record.replicas = read_nullable_brokers(reader)?,
                3 => record.removing_replicas = read_nullable_brokers(reader)?,
                4 => record.adding_replicas = read_nullable_brokers(reader)?,
                5 => {
                    let code = reader.i8()?;
                    record.leader_recovery = (code != -1).then(|| LeaderRecoveryState::from_code(code));
                }
                6 if version >= 2 => record.elr = read_nullable_brokers(reader)?,
                7 if version >= 2 => record.last_known_elr = read_nullable_brokers(reader)?,
                8 if version >= 1 => record.directories = read_nullable_uuids(reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }
}

/// What stands for "the leader did not change" on the wire.
const LEADER_UNCHANGED: i32 = -2;
