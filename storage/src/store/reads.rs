//! Reads on the owner's core: the plan from memory at once, or after loading what it needs. The file part of a plan is
//! executed elsewhere (`crate::read`).

use slipring_protocol::ids::{LeaderEpoch, Offset};

use super::{LogId, State, Store};
use crate::epoch_cache::EpochEnd;
use crate::error::{ReadError, StorageError};
use crate::log::Located;
use crate::log::segment::Cold;
use crate::read::{ReadPlan, ReadRange};
use crate::recovery::files::load_indexes;

/// Whether a read could be planned from memory alone.
#[derive(Debug)]
pub enum Planned {
    /// It could.
    Ready(ReadPlan),
    /// Something has to be loaded first: use [`Store::plan_read`].
    NeedsDisk,
}

impl Store {
    /// Plans a read without waiting, which for the tail always works.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn try_plan_read(&self, id: LogId, range: &ReadRange) -> Result<Planned, ReadError> {
        let mut state = self.inner.state.borrow_mut();
        Ok(match state.locate(id, range)? {
            Located::Plan(plan) => Planned::Ready(plan),
            Located::NeedsIndex(_) | Located::NeedsFile(_) => Planned::NeedsDisk,
        })
    }

    pub(super) async fn plan_read_loading(&self, id: LogId, range: ReadRange) -> Result<ReadPlan, ReadError> {
        for _ in 0..PLAN_ATTEMPTS {
            let located = self.inner.state.borrow_mut().locate(id, &range)?;
            match located {
                Located::Plan(plan) => return Ok(plan),
                Located::NeedsIndex(base) => self.load_cold(id, base).await?,
                Located::NeedsFile(base) => self.open_segment(id, base).await?,
            }
        }
        // Evicted again and again between load and use: the caches are far too small.
        Err(ReadError::Storage(StorageError::BadFile {
            path: self.inner.directory.path().to_path_buf(),
            reason: "index cache or open-file budget too small to plan a read".to_owned(),
        }))
    }

    /// Loads a segment's index files.
    pub(super) async fn load_cold(&self, id: LogId, base: Offset) -> Result<(), StorageError> {
        let (directory, end, interval, bytes_max) = {
            let state = self.inner.state.borrow();
            let log = state.logs.get(id).ok_or(StorageError::NoSuchLog)?;
            let Some(segment) = log.segment(base) else { return Ok(()) };
            if !matches!(segment.indexes.cold, Cold::OnDisk) {
                return Ok(());
            }
            let config = &log.config;
            (log.directory.clone(), segment.on_disk, config.index_interval_bytes, config.segment_index_bytes)
        };
        let loaded = load_indexes(&self.inner.disk, &directory, base, end, interval, bytes_max).await;
        let loaded = match loaded {
            // Retention took the segment meanwhile.
            Err(_) if !self.has_segment(id, base) => return Ok(()),
            loaded => loaded?,
        };
        let mut state = self.inner.state.borrow_mut();
        let state = &mut *state;
        let segment = state.logs.get_mut(id).and_then(|log| log.segment_mut(base));
        if let Some(segment) = segment.filter(|segment| matches!(segment.indexes.cold, Cold::OnDisk)) {
            segment.indexes.cold = Cold::Loaded(loaded);
            state.cold_bytes += segment.indexes.cold_bytes();
            state.cold_loaded.push_back((id, base));
        }
        state.evict_cold((id, base));
        Ok(())
    }

    /// Where the records of an epoch end (`OffsetForLeaderEpoch`, and truncation of followers).
    ///
    /// # Errors
    /// [`StorageError::NoSuchLog`].
    pub fn end_offset_for_epoch(&self, id: LogId, epoch: LeaderEpoch) -> Result<EpochEnd, StorageError> {
        self.with(id, |log| log.epochs.end_offset_for(epoch, log.log_end))
    }

    /// The epoch that the record at `offset` was written in.
    ///
    /// # Errors
    /// [`StorageError::NoSuchLog`].
    pub fn epoch_for_offset(&self, id: LogId, offset: Offset) -> Result<Option<LeaderEpoch>, StorageError> {
        self.with(id, |log| log.epochs.epoch_for_offset(offset))
    }
}

impl State {
    /// Finds a read's bytes; a plan that goes to the disk counts as one that a larger tail might have spared.
    fn locate(&mut self, id: LogId, range: &ReadRange) -> Result<Located, ReadError> {
        let located = self.logs.get(id).ok_or(ReadError::NoSuchLog)?.locate(range)?;
        if let Located::Plan(plan) = &located
            && let Some(behind) = plan.missed_by
        {
            self.tail_target.missed(behind, plan.bytes);
        }
        Ok(located)
    }

    /// Forgets loaded indexes beyond the budget, the longest loaded first, but not `keep`.
    fn evict_cold(&mut self, keep: (LogId, Offset)) {
        let mut kept = None;
        while self.cold_bytes > self.config.index_cache_bytes {
            let Some(oldest) = self.cold_loaded.pop_front() else { break };
            if oldest == keep {
                // It may be in the queue more than once.
                kept = Some(oldest);
                continue;
            }
            let segment = self.logs.get_mut(oldest.0).and_then(|log| log.segment_mut(oldest.1));
            if let Some(segment) = segment.filter(|segment| segment.indexes.is_on_disk()) {
                self.cold_bytes -= segment.indexes.cold_bytes();
                segment.indexes.unload();
            }
        }
        self.cold_loaded.extend(kept);
    }
}

const PLAN_ATTEMPTS: usize = 16;
