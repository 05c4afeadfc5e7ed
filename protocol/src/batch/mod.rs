//! Kafka's record batch, format v2: header view, whole-batch iterator, records, validation, compression, builder.
//! Pure functions over byte slices; runs on any core, does no I/O and reads no clock.
//!
//! Layout (KIP-98, `DefaultRecordBatch`), big endian:
//!
//! ```text
//! 0   base offset       i64   not under the CRC
//! 8   batch length      i32   bytes after this field; not under the CRC
//! 12  leader epoch      i32   not under the CRC
//! 16  magic             i8    2; not under the CRC
//! 17  crc               u32   CRC-32C of everything from `attributes` on
//! 21  attributes        i16   0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//! 23  last offset delta i32
//! 27  base timestamp    i64   delete horizon when attribute 6 is set
//! 35  max timestamp     i64
//! 43  producer id       i64
//! 51  producer epoch    i16
//! 53  base sequence     i32
//! 57  record count      i32
//! 61  records           compressed by the codec
//! ```

mod builder;
mod compression;
mod control;
mod decompress;
mod deep;
mod encoder;
mod fault;
mod fuzz;
mod header;
mod iter;
mod lookup;
mod records;
mod repack;
mod stream;
mod validate;
mod varint;

pub use builder::{BatchBuilder, RecordSpec};
pub use compression::{Compression, StoredCodec, compress};
pub use control::{
    ControlError, ControlRecord, EndTxnMarker, LeaderChange, Voter, VoterEndpoint, end_txn_batch,
};
pub use decompress::{CodecError, decompression_memory};
pub use deep::{DeepCheck, Progress};
pub use fault::{BatchFault, InvalidBatch, RECORD_ERRORS_MAX};
#[doc(hidden)]
pub use fuzz::fuzz_batch;
pub use header::{
    BATCH_HEADER_SIZE, BATCH_PREFIX_SIZE, BatchError, BatchHeader, TimestampType, compute_crc, crc_ok,
    patch_base_offset_and_epoch, patch_max_timestamp,
};
pub use iter::{Batch, Batches};
pub use lookup::{
    LookupError, TimestampedOffset, first_record_at_or_after, record_area, record_of_max_timestamp,
};
pub use records::{Headers, Record, RecordError, Records};
pub use stream::RecordsError;
pub use validate::{BatchRules, Checked, CheckedBatch, check_produced, is_long};
