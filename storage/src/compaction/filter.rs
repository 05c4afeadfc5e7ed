//! Cleaning one batch (Kafka's `Cleaner.cleanInto`, `MemoryRecords.filterTo`): which of its records stay, and the batch that
//! holds them. Pure. Offsets never change, nor does a batch's last offset while anything of it is left.

use std::borrow::Cow;
use std::collections::BTreeMap;

use slipring_protocol::batch::{
    BATCH_HEADER_SIZE, BatchBuilder, BatchError, BatchHeader, Compression, LookupError, Record, RecordError,
    RecordSpec, Records, TimestampType, record_area,
};
use slipring_protocol::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::offset_map::OffsetMap;
use super::txns::{CleanedTxns, Control};

/// What a cleaning goes by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// When the cleaning began, by the wall clock.
    pub now: TimestampMs,
    /// `delete.retention.ms`: how long tombstones and markers stay once their horizon is set (KIP-534).
    pub delete_retention_ms: i64,
    /// Last record of each producer that the log remembers.
    pub producers: BTreeMap<ProducerId, LastRecord>,
}

/// What the log remembers of a producer (Kafka's `LastRecord`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRecord {
    /// Offset of its last data record, when it wrote one.
    pub data: Option<Offset>,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of it, unchanged.
    All,
    /// This.
    Some(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// A batch that cannot be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Its header.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its records, as a whole.
    #[error(transparent)]
    Area(#[from] LookupError),
    /// One of its records.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Largest inflated batch that is looked into. A larger one stays as it is, and its keys count for nothing: too much is
/// kept, never too little.
pub const AREA_BYTES_MAX: usize = 256 << 20;

/// Puts a batch's keys into the table. False when the table is full: the batch is then not in it.
///
/// # Errors
/// When the batch cannot be read.
pub fn index_batch(
    batch: &[u8],
    first_dirty: Offset,
    map: &mut OffsetMap,
    txns: &mut CleanedTxns,
) -> Result<bool, FilterError> {
    let header = BatchHeader::parse(batch)?;
    if header.is_control() {
        txns.on_control(&header, control_of(batch, &header)?);
    } else if !txns.on_data(&header)
        && let Some(area) = area_of(batch)?
    {
        for record in Records::new(&area, header.record_count) {
            let record = record?;
            let offset = header.base_offset.plus(i64::from(record.offset_delta));
            let wanted = record.key.filter(|_| offset >= first_dirty);
            if wanted.is_some_and(|key| !map.put(key, offset)) {
                return Ok(false);
            }
        }
    }
    if header.last_offset() >= first_dirty {
        map.set_latest(header.last_offset());
    }
    Ok(true)
}

/// Cleans a batch.
///
/// # Errors
/// When the batch cannot be read.
pub fn clean_batch(
    batch: &[u8],
    rules: &Rules,
    map: &OffsetMap,
    txns: &mut CleanedTxns,
) -> Result<Kept, FilterError> {
    let header = BatchHeader::parse(batch)?;
    let horizon = header.has_delete_horizon().then_some(header.base_timestamp);
    let is_gone = match header.is_control() {
        true => txns.on_control(&header, control_of(batch, &header)?),
        false => txns.on_data(&header),
    };
    let discard = is_gone && (!header.is_control() || horizon.is_some_and(|horizon| horizon <= rules.now));
    let empty = match is_last_of_producer(&header, rules) {
        true => Kept::Some(empty_batch(&header)),
        false => Kept::Nothing,
    };
    if discard {
        return Ok(empty);
    }
    let Some(area) = area_of(batch)? else { return Ok(Kept::All) };
    let mut kept = Vec::new();
    let mut all = true;
    for record in Records::new(&area, header.record_count) {
        let record = record?;
        let stays = header.is_control() || stays(&header, &record, horizon, rules, map);
        all &= stays;
        kept.extend(stays.then_some(record));
    }
    if kept.is_empty() {
        return Ok(empty);
    }
    let tombstones = kept.iter().any(|record| record.value.is_none());
    let marker_of_nothing = is_gone && header.is_control();
    let sets_horizon = horizon.is_none() && (tombstones || marker_of_nothing);
    if all && !sets_horizon {
        return Ok(Kept::All);
    }
    let horizon = match sets_horizon {
        true => Some(TimestampMs(rules.now.0.saturating_add(rules.delete_retention_ms))),
        false => horizon,
    };
    Ok(Kept::Some(rebuild(&header, &kept, horizon)?))
}

/// A record stays when it is the last of its key, and no tombstone whose time is over; what the table does not know stays.
fn stays(
    header: &BatchHeader,
    record: &Record<'_>,
    horizon: Option<TimestampMs>,
    rules: &Rules,
    map: &OffsetMap,
) -> bool {
    let offset = header.base_offset.plus(i64::from(record.offset_delta));
    if offset > map.latest() {
        return true;
    }
    let Some(key) = record.key else { return false };
    let is_last = map.get(key).is_none_or(|last| offset >= last);
    let over = record.value.is_none() && horizon.is_some_and(|horizon| rules.now >= horizon);
    is_last && !over
}

/// The batch that a retry of its producer would be recognised by.
fn is_last_of_producer(header: &BatchHeader, rules: &Rules) -> bool {
    let known = rules.producers.get(&header.producer_id).filter(|_| header.has_producer_id());
    known.is_some_and(|last| match last.data {
        Some(offset) => header.last_offset() == offset,
        None => header.is_control() && header.producer_epoch == last.epoch,
    })
}

fn rebuild(
    header: &BatchHeader,
    kept: &[Record<'_>],
    horizon: Option<TimestampMs>,
) -> Result<Vec<u8>, FilterError> {
    let mut builder = begin(header);
    builder.compression(header.compression()?).last_offset_delta(header.last_offset_delta);
    if let Some(horizon) = horizon {
        builder.delete_horizon(horizon);
    }
    for record in kept {
        let headers: Vec<_> = record.headers.collect();
        let timestamp = match header.timestamp_type() {
            TimestampType::CreateTime => {
                TimestampMs(header.base_timestamp.0.wrapping_add(record.timestamp_delta))
            }
            TimestampType::LogAppendTime => header.max_timestamp,
        };
        builder.append_record(&RecordSpec {
            offset_delta: Some(record.offset_delta),
            timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        });
    }
    Ok(builder.build())
}

/// A batch without records: it keeps what is known of its producer (`DefaultRecordBatch.writeEmptyHeader`).
fn empty_batch(header: &BatchHeader) -> Vec<u8> {
    let mut builder = begin(header);
    builder.compression(Compression::None).last_offset_delta(header.last_offset_delta);
    builder.max_timestamp(header.max_timestamp);
    builder.build()
}

/// A builder with all that stays of a batch whatever its records.
fn begin(header: &BatchHeader) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    builder.base_offset(header.base_offset).leader_epoch(header.leader_epoch);
    builder.producer(header.producer_id, header.producer_epoch, header.base_sequence);
    if header.is_transactional() {
        builder.transactional();
    }
    if header.is_control() {
        builder.control();
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        builder.log_append_time(header.max_timestamp);
    }
    builder
}

/// The records, inflated; `None` when that takes too much memory.
fn area_of(batch: &[u8]) -> Result<Option<Cow<'_, [u8]>>, FilterError> {
    match record_area(batch, AREA_BYTES_MAX) {
        Ok(area) => Ok(Some(area)),
        Err(LookupError::TooLarge(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The type of a control batch: version and type stand in its first record's key (`ControlRecordType`).
fn control_of(batch: &[u8], header: &BatchHeader) -> Result<Control, FilterError> {
    let area = batch.get(BATCH_HEADER_SIZE..header.size()).unwrap_or_default();
    let Some(record) = Records::new(area, header.record_count).next() else { return Ok(Control::Empty) };
    Ok(match record?.key {
        Some([_, _, 0, 0, ..]) => Control::Abort,
        Some([_, _, 0, 1, ..]) => Control::Commit,
        _ => Control::Other,
    })
}
