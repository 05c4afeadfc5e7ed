//! Control records: transaction markers and what KRaft writes into its log (`ControlRecordType`, `ControlRecordUtils`).
//! They stand in control batches, take offsets, and are never handed to consumers.

use uuid::Uuid;

use super::builder::{BatchBuilder, RecordSpec};
use super::header::{BATCH_HEADER_SIZE, BatchError, BatchHeader};
use super::records::{Record, RecordError};
use crate::ids::{BrokerId, LeaderEpoch, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::wire::{Reader, WireError, Writer};

/// One control record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// A transaction ends in this partition.
    EndTxn(EndTxnMarker),
    /// A leader of the metadata quorum begins its epoch (`LeaderChangeMessage`).
    LeaderChange(LeaderChange),
    /// First record of a snapshot.
    SnapshotHeader {
        /// Append time of the last log record that the snapshot holds.
        last_contained_log_timestamp: TimestampMs,
    },
    /// Last record of a snapshot: without it the file is not whole.
    SnapshotFooter,
    /// Level of the feature `kraft.version` from here on.
    KRaftVersion(i16),
    /// The quorum's voters from here on (KIP-853).
    Voters(Vec<Voter>),
    /// A type that 4.3 does not know; to be passed over.
    Unknown(i16),
}

/// End of a transaction, as its coordinator decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Committed, else aborted.
    pub commit: bool,
    /// Epoch of the coordinator: fences markers of an older one.
    pub coordinator_epoch: i32,
}

/// A new leader and who stood behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderChange {
    /// The leader.
    pub leader: BrokerId,
    /// All voters of the epoch.
    pub voters: Vec<BrokerId>,
    /// Voters that voted for it.
    pub granting_voters: Vec<BrokerId>,
}

/// A voter of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its node id.
    pub id: BrokerId,
    /// Its metadata log's directory.
    pub directory: Uuid,
    /// Listeners of its controller.
    pub endpoints: Vec<VoterEndpoint>,
    /// Lowest and highest level of `kraft.version` it can do.
    pub kraft_version: (i16, i16),
}

/// A listener of a voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// Listener name.
    pub name: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Bytes that are no control record. The log is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The batch is none, or compressed (control batches never are).
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its first record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Not a control batch.
    #[error("not a control batch")]
    NotControl,
    /// Key or value is missing.
    #[error("control record without key or value")]
    Null,
    /// A field cannot be read.
    #[error(transparent)]
    Field(#[from] WireError),
    /// A negative version number.
    #[error("control record version {0}")]
    Version(i16),
}

impl ControlRecord {
    /// Kafka's number of the type.
    #[must_use]
    pub const fn type_id(&self) -> i16 {
        match self {
            Self::EndTxn(marker) => marker.commit as i16,
            Self::LeaderChange(_) => 2,
            Self::SnapshotHeader { .. } => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion(_) => 5,
            Self::Voters(_) => 6,
            Self::Unknown(type_id) => *type_id,
        }
    }

    /// Key of the record: key version 0 and the type.
    #[must_use]
    pub fn key(&self) -> [u8; 4] {
        let [high, low] = self.type_id().to_be_bytes();
        [0, 0, high, low]
    }

    /// Value of the record. All of Kafka 4.3's control records are version 0.
    #[must_use]
    pub fn value(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, true);
        writer.i16(0);
        match self {
            Self::EndTxn(marker) => {
                // The one in the old encoding: no tagged fields.
                writer.i32(marker.coordinator_epoch);
                return out;
            }
            Self::LeaderChange(change) => {
                writer.i32(change.leader.0);
                write_voter_ids(&mut writer, &change.voters);
                write_voter_ids(&mut writer, &change.granting_voters);
            }
            Self::SnapshotHeader { last_contained_log_timestamp } => {
                writer.i64(last_contained_log_timestamp.0);
            }
            Self::SnapshotFooter | Self::Unknown(_) => {}
            Self::KRaftVersion(level) => writer.i16(*level),
            Self::Voters(voters) => write_voters(&mut writer, voters),
        }
        writer.no_tags();
        out
    }

    /// Reads a record's key and value.
    ///
    /// # Errors
    /// When the bytes are no control record. An unknown type is none: [`ControlRecord::Unknown`].
    pub fn parse(key: &[u8], value: &[u8]) -> Result<Self, ControlError> {
        let mut reader = Reader::new(key, true);
        version(reader.i16()?)?;
        let type_id = reader.i16()?;
        let mut reader = Reader::new(value, true);
        if (0..=6).contains(&type_id) {
            version(reader.i16()?)?;
        }
        Ok(match type_id {
            0 | 1 => Self::EndTxn(EndTxnMarker { commit: type_id == 1, coordinator_epoch: reader.i32()? }),
            2 => Self::LeaderChange(LeaderChange {
                leader: BrokerId(reader.i32()?),
                voters: read_voter_ids(&mut reader)?,
                granting_voters: read_voter_ids(&mut reader)?,
            }),
            3 => Self::SnapshotHeader { last_contained_log_timestamp: TimestampMs(reader.i64()?) },
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion(reader.i16()?),
            6 => Self::Voters(read_voters(&mut reader)?),
            _ => Self::Unknown(type_id),
        })
    }

    /// The first record of a whole control batch; markers stand alone in theirs.
    ///
    /// # Errors
    /// When it is no such batch, or damaged.
    pub fn first_of(batch: &[u8]) -> Result<Self, ControlError> {
        let header = BatchHeader::parse(batch)?;
        if !header.is_control() {
            return Err(ControlError::NotControl);
        }
        if header.compression()? != super::Compression::None {
            return Err(BatchError::Codec((header.attributes & 7) as u8).into());
        }
        let area = batch.get(BATCH_HEADER_SIZE..header.size());
        let mut area = area.ok_or(BatchError::Short { have: batch.len() })?;
        let record = Record::take(&mut area)?;
        match (record.key, record.value) {
            (Some(key), Some(value)) => Self::parse(key, value),
            _ => Err(ControlError::Null),
        }
    }
}

impl BatchBuilder {
    /// Appends a control record and makes the batch a control batch.
    pub fn append_control(&mut self, timestamp: TimestampMs, record: &ControlRecord) -> &mut Self {
        let (key, value) = (record.key(), record.value());
        let spec = RecordSpec { timestamp, key: Some(&key), value: Some(&value), ..RecordSpec::default() };
        self.control().append_record(&spec)
    }
}

/// A whole batch with the marker of one producer (`MemoryRecords.withEndTransactionMarker`). Its base offset is set when
/// it is appended.
#[must_use]
pub fn end_txn_batch(
    producer: (ProducerId, ProducerEpoch),
    marker: EndTxnMarker,
    leader_epoch: LeaderEpoch,
    timestamp: TimestampMs,
) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.leader_epoch(leader_epoch).transactional().producer(producer.0, producer.1, Sequence::NONE);
    builder.append_control(timestamp, &ControlRecord::EndTxn(marker)).build()
}

/// Newer versions only add fields, so any that is not negative is read as version 0.
const fn version(version: i16) -> Result<(), ControlError> {
    if version < 0 { Err(ControlError::Version(version)) } else { Ok(()) }
}

fn write_voter_ids(writer: &mut Writer<'_>, voters: &[BrokerId]) {
    writer.length(voters.len());
    for voter in voters {
        writer.i32(voter.0);
        writer.no_tags();
    }
}

fn read_voter_ids(reader: &mut Reader<'_>) -> Result<Vec<BrokerId>, WireError> {
    let count = reader.count(5, size_of::<BrokerId>())?;
    (0..count)
        .map(|_| {
            let voter = BrokerId(reader.i32()?);
            reader.skip_tags().map(|()| voter)
        })
        .collect()
}

fn write_voters(writer: &mut Writer<'_>, voters: &[Voter]) {
    writer.length(voters.len());
    for voter in voters {
        writer.i32(voter.id.0);
        writer.uuid(voter.directory);
        writer.length(voter.endpoints.len());
        for endpoint in &voter.endpoints {
            writer.text(&endpoint.name);
            writer.text(&endpoint.host);
            writer.i16(endpoint.port as i16);
            writer.no_tags();
        }
        writer.i16(voter.kraft_version.0);
        writer.i16(voter.kraft_version.1);
        writer.no_tags();
        writer.no_tags();
    }
}

fn read_voters(reader: &mut Reader<'_>) -> Result<Vec<Voter>, WireError> {
    let count = reader.count(27, size_of::<Voter>())?;
    (0..count).map(|_| read_voter(reader)).collect()
}

fn read_voter(reader: &mut Reader<'_>) -> Result<Voter, WireError> {
    let (id, directory) = (BrokerId(reader.i32()?), reader.uuid()?);
    let count = reader.count(5, size_of::<VoterEndpoint>())?;
    let endpoints = (0..count)
        .map(|_| {
            let endpoint =
                VoterEndpoint { name: text(reader)?, host: text(reader)?, port: reader.i16()? as u16 };
            reader.skip_tags().map(|()| endpoint)
        })
        .collect::<Result<_, _>>()?;
    let kraft_version = (reader.i16()?, reader.i16()?);
    reader.skip_tags()?;
    reader.skip_tags()?;
    Ok(Voter { id, directory, endpoints, kraft_version })
}

fn text(reader: &mut Reader<'_>) -> Result<String, WireError> {
    let bytes = reader.nullable_string()?.ok_or(WireError::Null)?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_from_its_batch() {
        let endpoint = VoterEndpoint { name: "CONTROLLER".into(), host: "::1".into(), port: 60_000 };
        let voter = Voter {
            id: BrokerId(1),
            directory: Uuid::from_u128(7),
            endpoints: vec![endpoint],
            kraft_version: (0, 1),
        };
        let ids = vec![BrokerId(1), BrokerId(2)];
        for record in [
            ControlRecord::EndTxn(EndTxnMarker { commit: false, coordinator_epoch: 3 }),
            ControlRecord::EndTxn(EndTxnMarker { commit: true, coordinator_epoch: -1 }),
            ControlRecord::LeaderChange(LeaderChange {
                leader: BrokerId(1),
                voters: ids.clone(),
                granting_voters: ids,
            }),
            ControlRecord::SnapshotHeader { last_contained_log_timestamp: TimestampMs(99) },
            ControlRecord::SnapshotFooter,
            ControlRecord::KRaftVersion(1),
            ControlRecord::Voters(vec![voter.clone(), voter]),
            ControlRecord::Unknown(9),
        ] {
            let batch = BatchBuilder::new().append_control(TimestampMs(5), &record).build();
            assert_eq!(ControlRecord::first_of(&batch), Ok(record.clone()));
            let value = record.value();
            for cut in 2..value.len().saturating_sub(1) {
                let cut = ControlRecord::parse(&record.key(), &value[..cut]);
                assert!(cut.is_err() || matches!(record, ControlRecord::Unknown(_)), "{record:?} {cut:?}");
            }
        }
    }

    #[test]
    fn what_is_no_control_record() {
        assert_eq!(ControlRecord::parse(&[0xff, 0xff, 0, 1], &[0; 6]), Err(ControlError::Version(-1)));
        assert!(matches!(ControlRecord::parse(&[0, 0, 0], &[]), Err(ControlError::Field(_))));
        let batch = BatchBuilder::new().append(TimestampMs(0), None, None).build();
        assert_eq!(ControlRecord::first_of(&batch), Err(ControlError::NotControl));
        let batch = BatchBuilder::new().control().append(TimestampMs(0), None, None).build();
        assert_eq!(ControlRecord::first_of(&batch), Err(ControlError::Null));
    }
}
