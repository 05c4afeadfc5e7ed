//! The records of `__cluster_metadata` in KRaft's own bytes: a frame (version 1, record key, record version, all unsigned
//! varints) and a body in flexible encoding (`MetadataRecordSerde`). Pure; used by the controller and by every image.
//!
//! Records are written with the versions that metadata.version 4.3-IV0 writes and read in all versions up to them.

mod brokers;
pub(crate) mod fields;
mod partitions;
mod settings;

pub use brokers::{
    BrokerRegistrationChange, Endpoint, FeatureRange, FenceBroker, RegisterBroker, RegisterController,
    UnfenceBroker, UnregisterBroker,
};
pub use partitions::{ClearElr, LeaderRecoveryState, Partition, PartitionChange, RemoveTopic, Topic};
pub use settings::{
    AbortTransaction, BeginTransaction, ClientQuota, Config, FeatureLevel, ProducerIds, QuotaEntity,
};

use uuid::Uuid;

use crate::wire::{Reader, WireError, Writer};

/// Feature level of `metadata.version` that these records are written for: 4.3-IV0.
pub const METADATA_VERSION_LEVEL: i16 = 30;

/// Directory of replicas placed before directories had ids (Kafka's `DirectoryId.MIGRATING`).
pub const DIRECTORY_MIGRATING: Uuid = Uuid::from_u128(0);
/// Directory not yet chosen (`DirectoryId.UNASSIGNED`).
pub const DIRECTORY_UNASSIGNED: Uuid = Uuid::from_u128(1);
/// Some directory that is offline (`DirectoryId.LOST`).
pub const DIRECTORY_LOST: Uuid = Uuid::from_u128(2);

macro_rules! metadata_records {
    ($($key:literal $name:ident,)+) => {
        /// One metadata record.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each variant is documented at its struct")]
        pub enum MetadataRecord {
            $($name($name),)+
            /// Does nothing; keeps an idle log's offsets moving (`NoOpRecord`).
            NoOp,
            /// Closes a transaction: its records take effect (`EndTransactionRecord`, KIP-868).
            EndTransaction,
            /// A record whose fields we have no use for yet. Kept as it is and written back as it was.
            Opaque {
                /// Record key.
                key: i16,
                /// Record version.
                version: i16,
                /// Body after the frame.
                body: Vec<u8>,
            },
        }

        impl MetadataRecord {
            /// Kafka's number of the record type.
            #[must_use]
            pub const fn key(&self) -> i16 {
                match self {
                    $(Self::$name(_) => $key,)+
                    Self::NoOp => NO_OP_KEY,
                    Self::EndTransaction => END_TRANSACTION_KEY,
                    Self::Opaque { key, .. } => *key,
                }
            }

            /// Version that the record is written with.
            #[must_use]
            pub const fn version(&self) -> i16 {
                match self {
                    $(Self::$name(_) => <$name as Body>::VERSION,)+
                    Self::NoOp | Self::EndTransaction => 0,
                    Self::Opaque { version, .. } => *version,
                }
            }

            fn write_body(&self, writer: &mut Writer<'_>) {
                match self {
                    $(Self::$name(body) => body.write(writer),)+
                    Self::NoOp | Self::EndTransaction => writer.no_tags(),
                    Self::Opaque { body, .. } => writer.bytes(body),
                }
            }

            fn read_body(key: i16, version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(match key {
                    $($key => Self::$name(read_checked(key, version, reader)?),)+
                    NO_OP_KEY => {
                        reader.skip_tags()?;
                        Self::NoOp
                    }
                    END_TRANSACTION_KEY => {
                        reader.skip_tags()?;
                        Self::EndTransaction
                    }
                    _ => Self::Opaque { key, version, body: reader.take(reader.left())?.to_vec() },
                })
            }
        }

        $(
            impl From<$name> for MetadataRecord {
                fn from(body: $name) -> Self {
                    Self::$name(body)
                }
            }
        )+
    };
}

metadata_records! {
    0 RegisterBroker,
    1 UnregisterBroker,
    2 Topic,
    3 Partition,
    4 Config,
    5 PartitionChange,
    7 FenceBroker,
    8 UnfenceBroker,
    9 RemoveTopic,
    12 FeatureLevel,
    14 ClientQuota,
    15 ProducerIds,
    17 BrokerRegistrationChange,
    23 BeginTransaction,
    25 AbortTransaction,
    27 RegisterController,
    28 ClearElr,
}

const NO_OP_KEY: i16 = 20;
const END_TRANSACTION_KEY: i16 = 24;

impl MetadataRecord {
    /// Appends frame and body: the value of one record of the metadata log (its key is null).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out, true);
        writer.uvarint(FRAME_VERSION);
        writer.uvarint(u32::from(self.key() as u16));
        writer.uvarint(u32::from(self.version() as u16));
        self.write_body(&mut writer);
    }

    /// Frame and body in a vector of their own.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads frame and body. Record types that we have no fields for become [`MetadataRecord::Opaque`]; unknown tagged
    /// fields are passed over.
    ///
    /// # Errors
    /// When the bytes are no such record, or are one of a version after 4.3's. The log is damaged, or written by a newer
    /// controller.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetadataRecordError> {
        let mut reader = Reader::new(bytes, true);
        let frame = reader.uvarint()?;
        if frame != FRAME_VERSION {
            return Err(MetadataRecordError::Frame(frame));
        }
        let key = short(reader.uvarint()?)?;
        let version = short(reader.uvarint()?)?;
        let record = Self::read_body(key, version, &mut reader)?;
        match reader.left() {
            0 => Ok(record),
            left => Err(MetadataRecordError::Trailing { key, left }),
        }
    }
}

/// Bytes that are no metadata record of a known version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataRecordError {
    /// A field cannot be read, or the version is unknown.
    #[error(transparent)]
    Field(#[from] WireError),
    /// Not frame version 1.
    #[error("frame version {0}")]
    Frame(u32),
    /// A key or version that fits no short.
    #[error("record key or version {0}")]
    Number(u32),
    /// Bytes after the body.
    #[error("{left} bytes after a record of key {key}")]
    Trailing {
        /// Record key.
        key: i16,
        /// Bytes left.
        left: usize,
    },
}

/// Fields of one record type.
trait Body: Sized {
    /// Version written, and the highest that is read.
    const VERSION: i16;
    /// Writes all fields of [`Self::VERSION`], tagged ones included.
    fn write(&self, writer: &mut Writer<'_>);
    /// Reads `version`, at most [`Self::VERSION`].
    fn read(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError>;
}

fn read_checked<B: Body>(key: i16, version: i16, reader: &mut Reader<'_>) -> Result<B, WireError> {
    if version > B::VERSION {
        return Err(WireError::UnsupportedVersion { key, version });
    }
    B::read(version, reader)
}

/// For fuzzers: any bytes; what is read must be written so that it reads back the same.
///
/// # Panics
/// When it does not.
#[doc(hidden)]
pub fn fuzz_metadata_record(bytes: &[u8]) {
    if let Ok(record) = MetadataRecord::decode(bytes) {
        let written = record.to_bytes();
        let again = MetadataRecord::decode(&written).expect("what we write can be read");
        assert_eq!(again.to_bytes(), written, "a record has one form");
    }
}

fn short(value: u32) -> Result<i16, MetadataRecordError> {
    i16::try_from(value).map_err(|_| MetadataRecordError::Number(value))
}

const FRAME_VERSION: u32 = 1;

#[cfg(test)]
mod tests;
