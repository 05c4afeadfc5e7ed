//! Reading a partition of `__consumer_offsets` when its machine starts.

use std::rc::Rc;

use bytes::Bytes;
use slipring_protocol::batch::{BatchHeader, Batches, Records, record_area};
use slipring_protocol::group_records::{GroupRecord, GroupRecordError};
use slipring_protocol::ids::Offset;
use slipring_storage::error::{ReadError, StorageError};
use slipring_storage::read::{ReadLimit, ReadRange, ReadSlice, read_range};
use slipring_storage::store::{LogId, Store};

use crate::runtime;
use crate::shard::Shard;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// Why groups can't be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The log is not there or fenced.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It could not be read.
    #[error("offset {0} can't be read: {1}")]
    Read(Offset, ReadError),
    /// A batch makes no sense.
    #[error("the batch at offset {0} can't be read")]
    Batch(Offset),
    /// A record makes no sense.
    #[error("the record at offset {0} can't be read: {1}")]
    Record(Offset, GroupRecordError),
}

/// Hands every record of the log to `replay`, in order; gives their number.
pub(super) async fn read_all(
    shard: &Rc<Shard>,
    store: &Store,
    log: LogId,
    mut replay: impl FnMut(GroupRecord),
) -> Result<u64, LoadError> {
    let bounds = store.bounds(log)?;
    let (mut offset, mut count) = (bounds.log_start, 0);
    while offset < bounds.log_end {
        let range =
            ReadRange { start: offset, bytes_max: READ_BYTES, min_one_batch: true, upto: ReadLimit::LogEnd };
        let plan = store.plan_read(log, range).await.map_err(|error| LoadError::Read(offset, error))?;
        let before = offset;
        for slice in plan.slices {
            let slices = match slice {
                ReadSlice::Memory(slice) => vec![slice],
                ReadSlice::File(range) => read_range(&shard.disk, &shard.read_pool, &range).await?.slices,
            };
            // A batch may go on in the next slice.
            let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>();
            for batch in Batches::new(&bytes) {
                let batch = batch.map_err(|_| LoadError::Batch(offset))?;
                if batch.header.last_offset() >= offset {
                    count += read_batch(&batch.header, batch.bytes, &mut replay)?;
                    offset = batch.header.last_offset().plus(1);
                }
            }
            runtime::yield_if_needed().await;
        }
        if offset == before {
            return Err(LoadError::Batch(offset));
        }
    }
    Ok(count)
}

fn read_batch(
    header: &BatchHeader,
    bytes: &[u8],
    replay: &mut impl FnMut(GroupRecord),
) -> Result<u64, LoadError> {
    // Transactions' markers, and offsets that wait for them: nothing writes such here yet.
    if header.is_control() || header.is_transactional() {
        return Ok(0);
    }
    let malformed = || LoadError::Batch(header.base_offset);
    let area = record_area(bytes, AREA_BYTES_MAX).map_err(|_| malformed())?;
    let mut count = 0;
    for record in Records::new(&area, header.record_count) {
        let record = record.map_err(|_| malformed())?;
        let offset = header.base_offset.plus(i64::from(record.offset_delta));
        // Kafka passes over records without a key, too.
        let Some(key) = record.key else { continue };
        let value = record.value.map(Bytes::copy_from_slice);
        let read = GroupRecord::decode(&Bytes::copy_from_slice(key), value.as_ref());
        replay(read.map_err(|error| LoadError::Record(offset, error))?);
        count += 1;
    }
    Ok(count)
}

/// Most that a compressed batch may unpack to.
const AREA_BYTES_MAX: usize = 64 << 20;
