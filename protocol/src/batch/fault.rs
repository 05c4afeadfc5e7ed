//! What is wrong with a produced batch, and the one mapping of it to Kafka's error codes.

use super::records::RecordError;
use super::stream::RecordsError;
use crate::error_code::ErrorCode;
use crate::ids::{Offset, Sequence};

/// A refused record set, as a partition of a Produce response carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBatch {
    /// Code for the response.
    pub error: ErrorCode,
    /// Message for the response. As in Kafka only for refused records; otherwise clients show the code's own text.
    pub message: Option<String>,
    /// Index in the batch and reason of refused records, at most [`RECORD_ERRORS_MAX`].
    pub record_errors: Vec<(i32, Option<String>)>,
    /// The reason, for logs and metrics.
    pub fault: BatchFault,
}

impl From<BatchFault> for InvalidBatch {
    fn from(fault: BatchFault) -> Self {
        Self { error: fault.error_code(), message: None, record_errors: Vec::new(), fault }
    }
}

/// Why a record set is refused. Always the producer's fault (or the network's, for a wrong CRC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// Null, empty, or less than one whole batch.
    #[error("no whole record batch")]
    NoBatch,
    /// A length field that no batch can have.
    #[error("batch length {0}")]
    Length(i32),
    /// A magic that never was.
    #[error("unknown record format {0}")]
    UnknownMagic(i8),
    /// The formats before v2.
    #[error("record format {0}, only 2 is accepted")]
    OldMagic(i8),
    /// zstd needs Produce v7 (KIP-110).
    #[error("zstd in a Produce request of version {0}")]
    ZstdTooEarly(i16),
    /// A second batch for the same partition.
    #[error("more than one record batch")]
    SecondBatch,
    /// Producers count from 0.
    #[error("base offset {0}, not 0")]
    BaseOffset(Offset),
    /// More than `max.message.bytes`, header included.
    #[error("batch of {size} bytes, {max} are allowed")]
    TooLarge {
        /// Size of the batch.
        size: usize,
        /// `max.message.bytes` of the topic.
        max: usize,
    },
    /// The checksum does not match.
    #[error("wrong CRC")]
    Crc,
    /// Codec bits 5-7.
    #[error("unknown compression codec {0}")]
    Codec(u8),
    /// The count is not positive or not what the last offset delta says.
    #[error("{count} records with a last offset delta of {last_offset_delta}")]
    Count {
        /// Record count field.
        count: i32,
        /// Last offset delta field.
        last_offset_delta: i32,
    },
    /// Only brokers write control records.
    #[error("control records from a client")]
    Control,
    /// A producer id without a sequence.
    #[error("sequence {0} with a producer id")]
    Sequence(Sequence),
    /// The records, or their compressed form, cannot be read.
    #[error(transparent)]
    Records(RecordsError),
    /// Offset deltas of compressed records do not count from 0.
    #[error("record {index} has offset delta {delta}")]
    OffsetDelta {
        /// Place in the batch.
        index: i32,
        /// Its offset delta.
        delta: i32,
    },
    /// The fields of a compressed record do not fill the length it claims.
    #[error("record {index} does not fill its length")]
    RecordLength {
        /// Place in the batch.
        index: i32,
    },
    /// Single records were refused for their key or timestamp.
    #[error("{count} records refused")]
    Refused {
        /// How many.
        count: u32,
        /// Whether a timestamp was among the reasons.
        timestamp: bool,
    },
}

impl BatchFault {
    /// Kafka 4.3's code for it. Where Kafka stumbles over an exception that it does not map (an unknown codec, data that
    /// its codec cannot read, compressed records with wrong offset deltas) it answers UNKNOWN_SERVER_ERROR; we say
    /// INVALID_RECORD, which clients treat the same (no retry) and which blames the right side.
    #[must_use]
    pub const fn error_code(self) -> ErrorCode {
        match self {
            Self::Length(_) | Self::UnknownMagic(_) | Self::Crc => ErrorCode::CorruptMessage,
            Self::ZstdTooEarly(_) => ErrorCode::UnsupportedCompressionType,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::Refused { timestamp: true, .. } => ErrorCode::InvalidTimestamp,
            Self::NoBatch
            | Self::OldMagic(_)
            | Self::SecondBatch
            | Self::BaseOffset(_)
            | Self::Codec(_)
            | Self::Count { .. }
            | Self::Control
            | Self::Sequence(_)
            | Self::Records(_)
            | Self::OffsetDelta { .. }
            | Self::RecordLength { .. }
            | Self::Refused { timestamp: false, .. } => ErrorCode::InvalidRecord,
        }
    }
}

impl From<RecordsError> for BatchFault {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}

impl From<RecordError> for BatchFault {
    fn from(error: RecordError) -> Self {
        Self::Records(error.into())
    }
}

/// Refused records named in one response. Kafka has no bound here; a small compressed batch could fill the memory with
/// reasons. Records past it are refused all the same, and counted in the message.
pub const RECORD_ERRORS_MAX: usize = 4_096;

/// Refused records as they are found.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    named: Vec<(i32, Option<String>)>,
    count: u32,
    timestamp: bool,
}

impl Refusals {
    pub(super) fn refuse_key(&mut self, index: i32) {
        self.note(index, || "a record without a key cannot go to a compacted topic".into());
    }

    pub(super) fn refuse_timestamp(&mut self, index: i32, reason: impl FnOnce() -> String) {
        self.timestamp = true;
        self.note(index, reason);
    }

    fn note(&mut self, index: i32, reason: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(1);
        if self.named.len() < RECORD_ERRORS_MAX {
            self.named.push((index, Some(reason())));
        }
    }

    /// The response for them, if there are any.
    pub(super) fn into_result(self) -> Result<(), InvalidBatch> {
        if self.count == 0 {
            return Ok(());
        }
        let fault = BatchFault::Refused { count: self.count, timestamp: self.timestamp };
        let message = if self.timestamp {
            "records were refused for their timestamp".into()
        } else {
            format!("{} records of the batch were refused", self.count)
        };
        Err(InvalidBatch { message: Some(message), record_errors: self.named, ..fault.into() })
    }
}
