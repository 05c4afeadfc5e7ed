//! Reading a whole log of this core when what it says is loaded into memory: the metadata, and the groups. Before anything
//! waits for the log; hands its batches on in order, and decides nothing.

use std::rc::Rc;

use slipring_protocol::batch::{BatchHeader, Batches, crc_ok};
use slipring_protocol::ids::Offset;
use slipring_storage::error::{ReadError, StorageError};
use slipring_storage::read::{ReadLimit, ReadRange, ReadSlice, read_range};
use slipring_storage::store::{LogId, Store};

use crate::runtime;
use crate::shard::Shard;

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// Why a log can't be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is not there, or its file can't be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It is damaged: what can be read is not all that it has promised to keep.
    #[error("only what is before the damage can be read: {0}")]
    Damaged(StorageError),
    /// A read was refused.
    #[error("offset {offset} can't be read: {error}")]
    Read {
        /// Which.
        offset: Offset,
        /// Why.
        error: ReadError,
    },
    /// A batch makes no sense, or is not what was written.
    #[error("the batch at offset {0} can't be read, or its checksum is wrong")]
    Batch(Offset),
}

/// Hands every batch of the log to `take`, header and bytes.
///
/// # Errors
/// Those of `take`, and when the log can't be read to its end: a damaged one never can.
pub async fn read_all<E: From<ReplayError>>(
    shard: &Rc<Shard>,
    store: &Store,
    log: LogId,
    mut take: impl FnMut(&BatchHeader, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(cause) = store.fence_of(log) {
        return Err(ReplayError::Damaged(StorageError::Fenced(cause)).into());
    }
    let bounds = store.bounds(log).map_err(ReplayError::from)?;
    let mut offset = bounds.log_start;
    while offset < bounds.log_end {
        let bytes = read(shard, store, log, offset).await?;
        let before = offset;
        for batch in Batches::new(&bytes) {
            let batch = batch.map_err(|_| ReplayError::Batch(offset))?;
            if batch.header.last_offset() >= offset {
                // Also after a clean stop, when nothing else has looked into the file.
                if !crc_ok(batch.bytes) {
                    return Err(ReplayError::Batch(offset).into());
                }
                take(&batch.header, batch.bytes)?;
                offset = batch.header.last_offset().plus(1);
            }
        }
        if offset == before {
            return Err(ReplayError::Batch(offset).into());
        }
        runtime::yield_if_needed().await;
    }
    Ok(())
}

/// Whole batches from the one with `offset` on.
async fn read(shard: &Rc<Shard>, store: &Store, log: LogId, offset: Offset) -> Result<Vec<u8>, ReplayError> {
    let range =
        ReadRange { start: offset, bytes_max: READ_BYTES, min_one_batch: true, upto: ReadLimit::LogEnd };
    let plan = store.plan_read(log, range).await.map_err(|error| ReplayError::Read { offset, error })?;
    // In one piece: a batch may run on from one slice into the next.
    let mut bytes = Vec::with_capacity(plan.bytes);
    for slice in plan.slices {
        match slice {
            ReadSlice::Memory(slice) => bytes.extend_from_slice(&slice),
            ReadSlice::File(range) => {
                let read = read_range(&shard.disk, &shard.read_pool, &range).await?;
                read.slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
            }
        }
    }
    Ok(bytes)
}
