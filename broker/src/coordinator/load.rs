//! Reading a partition of `__consumer_offsets` when its machine starts.

use std::rc::Rc;

use bytes::Bytes;
use slipring_protocol::batch::{BatchHeader, Records, record_area};
use slipring_protocol::group_records::{GroupRecord, GroupRecordError};
use slipring_protocol::ids::Offset;
use slipring_storage::store::{LogId, Store};

use crate::partition::replay::{self, ReplayError};
use crate::shard::Shard;

/// Why groups can't be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] ReplayError),
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
    let mut count = 0;
    replay::read_all(shard, store, log, |header, bytes| {
        count += read_batch(header, bytes, &mut replay)?;
        Ok::<_, LoadError>(())
    })
    .await?;
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
    let malformed = || ReplayError::Batch(header.base_offset);
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
