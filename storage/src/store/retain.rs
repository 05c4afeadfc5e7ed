//! Retention and DeleteRecords: the log start moves up, durably; then files are renamed, and unlinked after their delay. On
//! the store's core, a few logs a step, in the background task; the unlinks themselves run on the ring's own threads.
//!
//! Order: new log start durable, then the segments leave the log, then their files are renamed. A crash in between leaves
//! files wholly below the log start, which the next opening removes; replay writes nothing into them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use slipring_protocol::ids::{Offset, TimestampMs, TopicPartition};

use super::logs::file_error;
use super::{LogId, State, Store};
use crate::directory::RootCheckpoint;
use crate::error::{IoContext, StorageError};
use crate::layout::{DELETED_SUFFIX, FileState as NameState, SegmentFile, parse_segment_file};
use crate::log::segment::FileState;
use crate::log::{Breach, Segment};
use crate::recovery::files::write_file;

/// Why records were not deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeleteRecordsError {
    /// There is no such log here.
    #[error("no such log")]
    NoSuchLog,
    /// Negative, or beyond the high watermark.
    #[error("offset {requested} is beyond the high watermark {high_watermark}, or negative")]
    OutOfRange {
        /// What was asked for.
        requested: Offset,
        /// Up to where records may be deleted.
        high_watermark: Offset,
    },
    /// The disk's fault: the new log start is not durable.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Files to unlink when their delay is over.
#[derive(Debug)]
pub(super) struct Doomed {
    /// Bytes in them, for log lines.
    pub(super) bytes: u64,
    pub(super) paths: Vec<PathBuf>,
}

/// What retention took from one log.
struct Cut {
    id: LogId,
    partition: TopicPartition,
    directory: PathBuf,
    first_kept: Offset,
    /// The last of the removed segments was not finished: the producer state at its end.
    snapshot: Option<Vec<u8>>,
}

impl Store {
    /// Has the background look at all logs for what retention may delete (`log.retention.check.interval.ms`). `now` is the
    /// wall clock. Ignored while an earlier look is still under way.
    pub fn begin_retention(&self, now: TimestampMs) {
        let mut state = self.inner.state.borrow_mut();
        if !state.retaining {
            state.retention_now = now;
            state.retention = state.logs.ids().into();
            state.retaining = true;
            drop(state);
            self.inner.work.notify();
        }
    }

    /// Whether a look that [`Store::begin_retention`] began is still under way: log starts may move until it is not.
    #[must_use]
    pub fn is_retaining(&self) -> bool {
        self.inner.state.borrow().retaining
    }

    /// Moves log starts up to the given offsets (`Offset(-1)`: the high watermark). When it answers, the new log starts
    /// are durable; the files go later. Gives each log's start.
    pub async fn delete_records(
        &self,
        wanted: &[(LogId, Offset)],
    ) -> Vec<Result<Offset, DeleteRecordsError>> {
        let moved: Vec<_> = {
            let mut state = self.inner.state.borrow_mut();
            wanted.iter().map(|(id, before)| state.delete_records(*id, *before)).collect()
        };
        let ids = wanted.iter().zip(&moved).filter(|(_, moved)| moved.is_ok()).map(|((id, _), _)| *id);
        match self.store_log_starts(ids.collect()).await {
            Ok(()) => moved,
            Err(error) => {
                moved.into_iter().map(|moved| moved.and_then(|_| Err(error.clone().into()))).collect()
            }
        }
    }

    /// Makes the log starts of these logs durable where they are not yet.
    async fn store_log_starts(&self, mut ids: Vec<LogId>) -> Result<(), StorageError> {
        let is_behind = |id: &LogId| self.with(*id, |log| log.log_start_durable < log.log_start);
        ids.retain(|id| is_behind(id).unwrap_or(false));
        #[cfg(any(test, feature = "sim"))]
        if self.inner.state.borrow().config.planted == Some(super::PlantedBug::DeleteEarly) {
            return Ok(());
        }
        if ids.is_empty() {
            return Ok(());
        }
        let mut starts = Vec::with_capacity(ids.len());
        let changes = || {
            let state = self.inner.state.borrow();
            starts.extend(ids.iter().filter_map(|id| Some((*id, state.logs.get(*id)?.log_start))));
            let logs = starts.iter().filter_map(|(id, start)| Some((state.logs.get(*id)?, *start)));
            logs.map(|(log, start)| (log.partition(), Some(start))).collect()
        };
        let (disk, directory) = (&self.inner.disk, &self.inner.directory);
        let stored = directory.update_checkpoint_with(disk, RootCheckpoint::LogStart, changes).await;
        stored.map_err(file_error)?;
        let mut state = self.inner.state.borrow_mut();
        for (id, start) in starts {
            if let Some(log) = state.logs.get_mut(id) {
                log.log_start_durable = log.log_start_durable.max(start);
            }
        }
        state.checkpoint_due = true;
        Ok(())
    }

    /// Looks at some of the logs that retention has yet to look at. True when there are more.
    pub(super) async fn retain(&self, now_ms: u64) -> bool {
        let mut breached = Vec::new();
        for _ in 0..LOGS_PER_STEP {
            let Some(id) = self.inner.state.borrow_mut().retention.pop_front() else { break };
            match self.breach(id).await {
                Ok(true) => breached.push(id),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "retention leaves a log for now"),
            }
            if breached.len() >= BREACHED_PER_STEP {
                break;
            }
        }
        let mut cuts = Vec::with_capacity(breached.len());
        for id in breached {
            match self.begin_cut(id).await {
                Ok(cut) => cuts.extend(cut),
                Err(error) => self.inner.state.borrow_mut().fence(id, error),
            }
        }
        if let Err(error) = self.cut(cuts, now_ms).await {
            tracing::warn!(%error, "retention deletes nothing for now");
        }
        let mut state = self.inner.state.borrow_mut();
        state.retaining &= !state.retention.is_empty();
        state.retaining
    }

    /// Whether segments of a log may go, loading the timestamps that it takes to know.
    async fn breach(&self, id: LogId) -> Result<bool, StorageError> {
        let now = self.inner.state.borrow().retention_now;
        let mut loaded = None;
        loop {
            match self.with(id, |log| log.breach(now)).unwrap_or(Breach::Nothing) {
                Breach::Nothing => return Ok(false),
                Breach::Segments(_) => return Ok(true),
                Breach::NeedsTimestamp(base) if loaded == Some(base) => return Ok(false),
                Breach::NeedsTimestamp(base) => {
                    self.load_cold(id, base).await?;
                    loaded = Some(base);
                }
            }
        }
    }

    /// Rolls when even the active segment goes, and moves the log start in memory. The file that the log then begins with
    /// is there, durably, before anything else is done.
    async fn begin_cut(&self, id: LogId) -> Result<Option<Cut>, StorageError> {
        let first_kept = {
            let mut state = self.inner.state.borrow_mut();
            let now = state.retention_now;
            let state = &mut *state;
            let Some(log) = state.logs.get_mut(id) else { return Ok(None) };
            // Judged again: since the look at it the log may have grown, and what is new must stay.
            let Breach::Segments(count) = log.breach(now) else { return Ok(None) };
            if count == log.segments.len() {
                log.roll(log.log_end, now);
                state.finish.push_back(id);
            }
            log.segments[count].base
        };
        match self.open_segment(id, first_kept).await {
            Err(error) if error.is_shortage() => {
                // Nobody waits for the file: the next look tries again, or the first append.
                tracing::warn!(%error, "retention leaves a log for now");
                return Ok(None);
            }
            opened => opened?,
        }
        let mut state = self.inner.state.borrow_mut();
        let Some(log) = state.logs.get_mut(id).filter(|log| !log.deleting) else { return Ok(None) };
        log.advance_log_start(first_kept);
        let last = log.segments.partition_point(|segment| segment.base < first_kept);
        let snapshot =
            log.segments.get(last.wrapping_sub(1)).and_then(|last| last.seal.as_ref()?.snapshot.clone());
        Ok(Some(Cut {
            id,
            partition: log.partition(),
            directory: log.directory.clone(),
            first_kept,
            snapshot,
        }))
    }

    /// Carries cuts out once their log starts are durable, and before those the producer state, which the next opening may
    /// then find nowhere else.
    async fn cut(&self, cuts: Vec<Cut>, now_ms: u64) -> Result<(), StorageError> {
        for cut in &cuts {
            if let Some(bytes) = &cut.snapshot {
                let path = cut.directory.join(SegmentFile::ProducerSnapshot.name(cut.first_kept));
                write_file(&self.inner.disk, &path, bytes).await?;
                self.inner.disk.sync_dir(&cut.directory).await.context("syncing", &cut.directory)?;
            }
        }
        self.store_log_starts(cuts.iter().map(|cut| cut.id).collect()).await?;
        for cut in cuts {
            let removed = self.inner.state.borrow_mut().remove_front(cut.id, cut.first_kept);
            self.put_away(&cut, removed, now_ms).await;
        }
        Ok(())
    }

    /// Renames the files of removed segments, to be unlinked later. Whoever reads them goes on with the open file.
    async fn put_away(&self, cut: &Cut, removed: Removed, now_ms: u64) {
        let bytes: u64 = removed.segments.iter().map(|(_, bytes)| bytes).sum();
        tracing::info!(
            topic = %cut.partition.topic,
            partition = cut.partition.partition.0,
            segments = removed.segments.len(),
            bytes,
            log_start = cut.first_kept.0,
            "retention: segments deleted"
        );
        for (base, bytes) in removed.segments {
            let paths = self.rename_deleted(&cut.directory, base).await;
            self.inner.state.borrow_mut().doom(now_ms + removed.delay_ms, Doomed { bytes, paths });
        }
    }

    /// Renames all files of a segment to `.deleted`. Gives the names they then have; one that cannot be renamed keeps its own.
    async fn rename_deleted(&self, directory: &Path, base: Offset) -> Vec<PathBuf> {
        let mut paths = Vec::with_capacity(SegmentFile::ALL.len());
        for kind in SegmentFile::ALL {
            let path = directory.join(kind.name(base));
            let target = directory.join(kind.name(base) + DELETED_SUFFIX);
            match self.inner.disk.rename(&path, &target).await {
                Ok(()) => paths.push(target),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a deleted segment's file keeps its name");
                    paths.push(path);
                }
            }
        }
        paths
    }

    /// Unlinks the files of one segment whose delay is over. Gives when to go on.
    pub(super) async fn unlink(&self, now_ms: u64) -> Option<Duration> {
        let doomed = {
            let mut state = self.inner.state.borrow_mut();
            let ((due, _), _) = state.doomed.first_key_value()?;
            if *due > now_ms {
                return Some(Duration::from_millis(*due - now_ms));
            }
            state.doomed.pop_first()?.1
        };
        for path in &doomed.paths {
            if !self.inner.state.borrow().may_unlink(path) {
                continue;
            }
            match self.inner.disk.remove_file(path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a deleted segment's file stays until the next start");
                }
                _ => {}
            }
        }
        tracing::debug!(bytes = doomed.bytes, "files of a deleted segment are gone");
        Some(UNLINK_PAUSE)
    }
}

/// What left a log.
struct Removed {
    /// Base and bytes of each segment.
    segments: Vec<(Offset, u64)>,
    delay_ms: u64,
}

impl State {
    fn delete_records(&mut self, id: LogId, before: Offset) -> Result<Offset, DeleteRecordsError> {
        let log = self.logs.get_mut(id).filter(|log| !log.deleting).ok_or(DeleteRecordsError::NoSuchLog)?;
        log.check_fence()?;
        let high_watermark = log.high_watermark();
        let to = if before == Offset(-1) { high_watermark } else { before };
        if to.0 < 0 || to > high_watermark {
            return Err(DeleteRecordsError::OutOfRange { requested: before, high_watermark });
        }
        if log.advance_log_start(to) {
            self.checkpoint_due = true;
        }
        Ok(log.log_start)
    }

    fn remove_front(&mut self, id: LogId, first_kept: Offset) -> Removed {
        let Some(log) = self.logs.get_mut(id) else { return Removed { segments: Vec::new(), delay_ms: 0 } };
        let delay_ms = log.config.retention.file_delete_delay_ms;
        let removed = log.remove_front(first_kept);
        let segments = removed.iter().map(|segment| (segment.base, segment.end)).collect();
        self.forget_segments(&removed);
        self.release_pins(id);
        self.checkpoint_due = true;
        Removed { segments, delay_ms }
    }

    /// Segments have left their log: what they held is free.
    pub(super) fn forget_segments(&mut self, removed: &[Segment]) {
        for segment in removed {
            self.tail_bytes -= segment.tail.chunk_bytes();
            self.cold_bytes -= segment.indexes.cold_bytes();
            self.open_files -= usize::from(matches!(segment.file, FileState::Open(_)));
        }
    }

    /// Under its live name a file may by now be another log's, of a topic made anew: then it stays.
    fn may_unlink(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(parse_segment_file);
        let Some(name) = name.filter(|name| name.state == NameState::Live) else { return true };
        let mut logs = self.logs.ids().into_iter().filter_map(|id| self.logs.get(id));
        let log = logs.find(|log| path.parent() == Some(log.directory.as_path()));
        log.is_some_and(|log| name.base < log.segments[0].base)
    }

    pub(super) fn doom(&mut self, due_ms: u64, doomed: Doomed) {
        self.numbers += 1;
        self.doomed.insert((due_ms, self.numbers), doomed);
    }
}

/// Logs looked at in one background step.
const LOGS_PER_STEP: usize = 256;
/// Logs cut in one background step: they share one write of the checkpoint.
const BREACHED_PER_STEP: usize = 32;
/// Between two unlinks: freeing a large file's blocks keeps the file system's own journal busy.
pub(super) const UNLINK_PAUSE: Duration = Duration::from_millis(20);
