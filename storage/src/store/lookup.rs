//! Offsets by time (ListOffsets): which segment, which batch, which record. On the owner's core, reading what it must.

use slipring_protocol::batch::{
    BatchHeader, Batches, LookupError, first_record_at_or_after, record_of_max_timestamp,
};
use slipring_protocol::ids::{Offset, TimestampMs};

pub use slipring_protocol::batch::TimestampedOffset;

use super::{LogId, Store};
use crate::error::{ReadError, StorageError};
use crate::log::segment::Cold;
use crate::read::{ReadLimit, ReadRange, ReadSlice, read_range};

impl Store {
    /// The first record at or after `target` (Kafka's `UnifiedLog.fetchOffsetByTimestamp`); `None` when there is none.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn offset_for_timestamp(
        &self,
        id: LogId,
        target: TimestampMs,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let bases = self.segment_bases(id)?;
        for base in bases {
            let Some(from) = self.search_by_time(id, base, target).await? else { continue };
            let log_start = self.bounds(id)?.log_start;
            let found = self
                .walk(id, from.max(log_start), |batch, _| {
                    first_record_at_or_after(batch, target, log_start).transpose()
                })
                .await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first record that carries the log's largest timestamp; `None` for an empty log (ListOffsets -3).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn offset_of_max_timestamp(&self, id: LogId) -> Result<Option<TimestampedOffset>, ReadError> {
        let mut largest = None;
        for base in self.segment_bases(id)? {
            let Some(max) = self.max_timestamp(id, base).await? else { continue };
            if largest.is_none_or(|(timestamp, _)| max > timestamp) {
                largest = Some((max, base));
            }
        }
        // Records may all be without a time: then the first of them.
        let first = self.segment_bases(id)?.first().map(|base| (TimestampMs(-1), *base));
        let Some((max, base)) = largest.or(first) else { return Ok(None) };
        let from = self.search_by_time(id, base, max).await?.unwrap_or(base);
        let log_start = self.bounds(id)?.log_start;
        self.walk(id, from.max(log_start), |batch, header| match header.max_timestamp >= max {
            true => record_of_max_timestamp(batch).transpose(),
            false => None,
        })
        .await
    }

    fn segment_bases(&self, id: LogId) -> Result<Vec<Offset>, ReadError> {
        let bases = self.with(id, |log| {
            let kept = log.segments.iter().filter(|segment| segment.next > log.log_start);
            kept.map(|segment| segment.base).collect()
        });
        bases.map_err(|_| ReadError::NoSuchLog)
    }

    /// Loads what is needed to know a segment's timestamps.
    async fn with_times(&self, id: LogId, base: Offset) -> Result<(), ReadError> {
        let cold = self.with(id, |log| {
            log.segment(base).is_some_and(|segment| matches!(segment.indexes.cold, Cold::OnDisk))
        });
        if cold.map_err(|_| ReadError::NoSuchLog)? {
            self.load_cold(id, base).await?;
        }
        Ok(())
    }

    async fn max_timestamp(&self, id: LogId, base: Offset) -> Result<Option<TimestampMs>, ReadError> {
        self.with_times(id, base).await?;
        let max = self.with(id, |log| log.segment(base).map(|segment| segment.indexes.max_timestamp()));
        Ok(max.map_err(|_| ReadError::NoSuchLog)?.filter(|max| max.0 >= 0))
    }

    /// Where in a segment a search for `target` begins; `None` when all its records are older.
    async fn search_by_time(
        &self,
        id: LogId,
        base: Offset,
        target: TimestampMs,
    ) -> Result<Option<Offset>, ReadError> {
        match self.max_timestamp(id, base).await? {
            Some(max) if max >= target => {}
            _ => return Ok(None),
        }
        let from =
            self.with(id, |log| log.segment(base).map(|segment| segment.indexes.offset_by_time(target)));
        from.map_err(|_| ReadError::NoSuchLog)
    }

    /// Walks batches from the one that contains `from` until `look` finds something or the log ends. What is deleted on the
    /// way is passed over.
    async fn walk<T>(
        &self,
        id: LogId,
        from: Offset,
        look: impl Fn(&[u8], &BatchHeader) -> Option<Result<T, LookupError>>,
    ) -> Result<Option<T>, ReadError> {
        let mut start = from;
        loop {
            let range =
                ReadRange { start, bytes_max: WALK_BYTES, min_one_batch: true, upto: ReadLimit::LogEnd };
            let plan = match self.plan_read(id, range).await {
                Err(ReadError::OffsetOutOfRange { log_start, .. }) if log_start > start => {
                    start = log_start;
                    continue;
                }
                plan => plan?,
            };
            let bytes = self.gather(&plan.slices).await?;
            let mut next = None;
            for batch in Batches::new(&bytes) {
                let batch = batch.map_err(|error| self.unreadable(id, &error.to_string()))?;
                next = Some(batch.header.next_offset());
                match look(batch.bytes, &batch.header) {
                    Some(Ok(found)) => return Ok(Some(found)),
                    Some(Err(error)) => return Err(self.unreadable(id, &error.to_string())),
                    None => {}
                }
            }
            match next {
                Some(next) => start = next,
                None => return Ok(None),
            }
        }
    }

    async fn gather(&self, slices: &[ReadSlice]) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        for slice in slices {
            match slice {
                ReadSlice::Memory(slice) => bytes.extend_from_slice(slice),
                ReadSlice::File(range) => {
                    let pool = self.buf_pool();
                    for slice in read_range(&self.inner.disk, &pool, range).await?.slices {
                        bytes.extend_from_slice(&slice);
                    }
                }
            }
        }
        Ok(bytes)
    }

    fn unreadable(&self, id: LogId, reason: &str) -> ReadError {
        let path = self.with(id, |log| log.directory.clone()).unwrap_or_default();
        ReadError::Storage(StorageError::BadFile { path, reason: reason.to_owned() })
    }
}

const WALK_BYTES: usize = 1 << 20;
