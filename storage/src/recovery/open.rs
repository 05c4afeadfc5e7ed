//! Opening one log on its own core. Trusted (clean stop, or untouched since its checkpoint): names, sizes and checkpoints
//! only, and the last block. Else its segments are scanned from the recovery point on, kept as far as they are valid, and
//! made durable before anything counts.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use slipring_protocol::batch::BatchHeader;
use slipring_protocol::ids::{Offset, TimestampMs, TopicPartition};

use super::directory::DirectoryRecovery;
use super::files::{first_timestamp, last_block, read_if_there, remove_below, write_indexes};
use super::producers::note_producer;
use super::promises::Promise;
use super::scan::{ScanEnd, ScanRange, scan};
use super::strays::remove_strays;
use crate::checkpoint::{self, FileError};
use crate::disk::{Disk, DiskFile, OpenOptions};
use crate::epoch_cache::EpochCache;
use crate::error::{IoContext, StorageError};
use crate::layout::{self, FileState as NameState, SegmentFile};
use crate::log::segment::{Cold, Indexes, Segment};
use crate::log::{Log, LogParts};
use crate::producer_state::ProducerState;
use crate::segment::index::IndexView;
use crate::store::{LogOpenReport, NewLog};

/// A log and how it was opened.
pub(crate) struct OpenedLog {
    pub(crate) log: Log,
    pub(crate) report: LogOpenReport,
}

/// Files of one segment as found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) size: u64,
    offset_index: u64,
    time_index: u64,
    modified: TimestampMs,
}

/// What opening works with.
pub(super) struct Opening<'a> {
    pub(super) disk: &'a Disk,
    pub(super) directory: PathBuf,
    new: &'a NewLog,
    pub(super) files: BTreeMap<Offset, Found>,
    pub(super) snapshots: Vec<Offset>,
    pub(super) log_start: Offset,
    recovery_point: Option<Offset>,
    promise: Option<Promise>,
    /// Slipring wrote last: segments then follow each other without a gap, since a log rolls where it ends.
    ours: bool,
    clean: bool,
    epochs: EpochCache,
    pub(super) expiry: ProducerExpiry,
}

/// When producers count as gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProducerExpiry {
    /// The wall clock.
    pub(crate) now: TimestampMs,
    /// `producer.id.expiration.ms`.
    pub(crate) after_ms: i64,
}

/// Opens a log that is on disk.
pub(crate) async fn open(
    disk: &Disk,
    directory: PathBuf,
    new: &NewLog,
    recovered: &DirectoryRecovery,
    expiry: ProducerExpiry,
) -> Result<OpenedLog, StorageError> {
    let partition = TopicPartition { topic: new.topic.clone(), partition: new.id.partition };
    let (mut files, snapshots) = list(disk, &directory).await?;
    let first = files.keys().next().copied().unwrap_or(Offset(0));
    let log_start = recovered.log_start(&partition).map_or(first, |start| start.max(first));
    let bases: Vec<Offset> = files.keys().copied().collect();
    if let Some(kept) = remove_below(disk, &directory, log_start, &bases).await? {
        files.retain(|base, _| *base >= kept);
    }
    let epochs = checkpoint::load_epochs(disk, &directory.join(layout::LEADER_EPOCH_CHECKPOINT)).await;
    let epochs = EpochCache::from_entries(epochs.or_else(damaged_is_empty)?);
    let promise = recovered.promise(new.id);
    let recovery_point = recovered.recovery_point(&partition);
    let opening = Opening {
        disk,
        directory,
        new,
        files,
        snapshots,
        log_start,
        recovery_point,
        promise,
        ours: recovered.ours,
        clean: recovered.clean,
        epochs,
        expiry,
    };
    let trusted = recovered.clean || (recovered.ours && promise.is_none());
    match opening.trusted_end().filter(|end| trusted && *end >= log_start) {
        Some(end) if recovered.clean || opening.ends_at(end).await? => opening.open_trusted(end).await,
        Some(_) | None => opening.open_scanning().await,
    }
}

fn damaged_is_empty<T>(error: FileError) -> Result<Vec<T>, StorageError> {
    match error {
        FileError::Io { path, source } => Err(StorageError::io("reading", &path, source)),
        FileError::Damaged { path, source } => {
            tracing::warn!(path = %path.display(), error = %source, "checkpoint rebuilt from the log");
            Ok(Vec::new())
        }
    }
}

/// Finds a log's files, and removes what an interrupted removal or cleaning left.
async fn list(disk: &Disk, directory: &Path) -> Result<(BTreeMap<Offset, Found>, Vec<Offset>), StorageError> {
    let mut files: BTreeMap<Offset, Found> = BTreeMap::new();
    let mut snapshots = Vec::new();
    let entries = disk.list(directory).context("listing", directory)?;
    remove_strays(disk, directory, &entries).await?;
    for entry in &entries {
        let path = directory.join(&entry.name);
        let Some(name) = layout::parse_segment_file(&entry.name) else { continue };
        match name.state {
            NameState::Deleted | NameState::Cleaned => {
                disk.remove_file(&path).await.context("removing", &path)?;
                continue;
            }
            NameState::Swap => {
                let reason = "an unfinished compaction of Apache Kafka: start and stop Kafka once".to_owned();
                return Err(StorageError::BadFile { path, reason });
            }
            NameState::Live => {}
        }
        match name.kind {
            SegmentFile::Log => {
                let found = files.entry(name.base).or_default();
                (found.size, found.modified) = (entry.len, entry.modified);
            }
            SegmentFile::OffsetIndex => files.entry(name.base).or_default().offset_index = entry.len,
            SegmentFile::TimeIndex => files.entry(name.base).or_default().time_index = entry.len,
            SegmentFile::ProducerSnapshot => snapshots.push(name.base),
            SegmentFile::TxnIndex => {}
        }
    }
    files.retain(|base, _| entries.iter().any(|entry| entry.name == SegmentFile::Log.name(*base)));
    Ok((files, snapshots))
}

impl Opening<'_> {
    /// Where the log ends by its checkpoint, if that agrees with the files.
    fn trusted_end(&self) -> Option<Offset> {
        let Some((base, found)) = self.files.last_key_value() else {
            return Some(self.log_start.max(self.recovery_point.unwrap_or(Offset(0))));
        };
        let end = self.recovery_point.unwrap_or(*base);
        match found.size {
            0 => (end == *base).then_some(end),
            _ => (end > *base).then_some(end),
        }
    }

    /// Whether the last file ends with the batch before `end`. After a crash that is looked at also where no journal speaks of
    /// the log: the very first commit may have been lost, and its direct writes not.
    async fn ends_at(&self, end: Offset) -> Result<bool, StorageError> {
        let Some((base, found)) = self.files.last_key_value().filter(|(_, found)| found.size > 0) else {
            return Ok(true);
        };
        let index =
            read_if_there(self.disk, &self.directory.join(SegmentFile::OffsetIndex.name(*base))).await?;
        let view = index.and_then(|bytes| IndexView::new(*base, Bytes::from(bytes)).ok());
        let from = view.and_then(|view| view.last_entry()).map_or(0, |entry| u64::from(entry.position));
        if from >= found.size {
            return Ok(false);
        }
        let file = self.open_file(*base, false).await?;
        let range = ScanRange { from, to: found.size, expected: *base };
        let last = scan(self.disk, &file, range, |_, _, _| {}).await?;
        Ok(last.invalid.is_none() && last.next == end)
    }

    async fn open_trusted(self, end: Offset) -> Result<OpenedLog, StorageError> {
        if !self.clean && self.files.values().any(|found| found.size == 0) {
            // A file that was only just made when the process ended: its entry may not be durable yet.
            self.disk.sync_dir(&self.directory).await.context("syncing", &self.directory)?;
        }
        let mut segments = VecDeque::new();
        let bases: Vec<Offset> = self.files.keys().copied().collect();
        for (at, (base, found)) in self.files.iter().enumerate() {
            let next = bases.get(at + 1).copied().unwrap_or(end);
            let last = at + 1 == bases.len();
            let partial = match last {
                true => self.partial_block(*base, found.size).await?,
                false => Vec::new(),
            };
            let mut segment = self.segment(*base, next, found, &partial, last);
            if last && found.size > 0 {
                let file = self.open_file(*base, false).await?;
                segment.first_timestamp = first_timestamp(self.disk, &file, found.size).await?;
            }
            segments.push_back(segment);
        }
        let mut producers = self.load_snapshot(end).await?;
        let from = producers.end();
        if from < end && producers.snapshot_end() > self.log_start {
            self.replay_producers(&mut producers, from, end).await?;
        }
        producers.set_end(end);
        producers.snapshot_taken(end);
        let report = LogOpenReport { log_end: end, trusted: true, ..LogOpenReport::default() };
        Ok(self.finish(segments, end, producers, report, None))
    }

    /// A segment that needs no scan; of sealed ones only the file counts.
    fn segment(&self, base: Offset, next: Offset, found: &Found, partial: &[u8], active: bool) -> Segment {
        let bytes_max = self.new.config.segment_index_bytes;
        let indexes = Indexes::on_disk(base, bytes_max, found.offset_index, found.time_index);
        let mut segment = match active {
            true => Segment::found(base, next, found.size, partial, indexes),
            false => Segment::found_sealed(base, next, found.size, indexes),
        };
        if found.size == 0 {
            segment.indexes.cold = Cold::Nothing;
        }
        segment.modified = found.modified;
        segment
    }

    async fn partial_block(&self, base: Offset, size: u64) -> Result<Vec<u8>, StorageError> {
        if crate::limits::block_floor(size) == size {
            return Ok(Vec::new());
        }
        let file = self.open_file(base, false).await?;
        last_block(self.disk, &file, size).await
    }

    pub(super) async fn open_file(&self, base: Offset, write: bool) -> Result<DiskFile, StorageError> {
        let path = self.directory.join(SegmentFile::Log.name(base));
        let options = OpenOptions { write, create: false, direct: true };
        self.disk.open(&path, options).await.context("opening", &path)
    }

    /// Scans from the segment of the recovery point on.
    async fn open_scanning(mut self) -> Result<OpenedLog, StorageError> {
        let point = self.recovery_point.unwrap_or(self.log_start).max(self.log_start);
        let bases: Vec<Offset> = self.files.keys().copied().collect();
        let first = bases.partition_point(|base| *base <= point).saturating_sub(1);
        let start = bases.get(first).copied().unwrap_or(point);
        let mut state = Scanned {
            segments: VecDeque::new(),
            producers: self.load_snapshot(start).await?,
            next: start,
            report: LogOpenReport::default(),
            damage: None,
        };
        let from = state.producers.end();
        if from < start {
            self.replay_producers(&mut state.producers, from, start).await?;
        }
        state.producers.set_end(start);
        for (at, base) in bases.iter().enumerate() {
            let found = self.files[base];
            if at < first {
                let next = bases[at + 1];
                state.segments.push_back(self.segment(*base, next, &found, &[], false));
                continue;
            }
            let following = bases.get(at + 1).copied();
            let more = self.scan_segment(*base, found, following, &mut state).await?;
            if !more {
                self.drop_beyond(*base, &mut state).await?;
                break;
            }
        }
        self.check_promise_kept(&mut state);
        if state.damage.is_none() && state.next < self.log_start {
            self.start_over(&mut state).await?;
        }
        self.remove_snapshots_above(state.next).await?;
        if self.epochs.truncate_from_end(state.next) || state.report.scanned_bytes > 0 {
            let path = self.directory.join(layout::LEADER_EPOCH_CHECKPOINT);
            let stored = checkpoint::store_epochs(self.disk, &path, self.epochs.entries()).await;
            stored.map_err(|error| file_error(&error))?;
        }
        self.disk.sync_dir(&self.directory).await.context("syncing", &self.directory)?;
        let end = state.next;
        state.report.log_end = end;
        Ok(self.finish(state.segments, end, state.producers, state.report, state.damage))
    }

    /// Scans one segment and keeps what is valid of it. True when the next one may follow.
    async fn scan_segment(
        &mut self,
        base: Offset,
        found: Found,
        following: Option<Offset>,
        state: &mut Scanned,
    ) -> Result<bool, StorageError> {
        let file = self.open_file(base, true).await?;
        let mut indexes = Indexes::new(base, self.new.config.segment_index_bytes);
        let mut first_timestamp = None;
        let interval = self.new.config.index_interval_bytes;
        let (epochs, producers) = (&mut self.epochs, &mut state.producers);
        let range = ScanRange { from: 0, to: found.size, expected: base.max(state.next) };
        let end = scan(self.disk, &file, range, |header, position, _| {
            first_timestamp.get_or_insert(header.max_timestamp);
            indexes.note(header, header.last_offset(), position, interval);
            note_epoch(epochs, header);
            note_producer(producers, header);
        })
        .await?;
        let next = end.next.max(base);
        state.report.scanned_bytes += end.position;
        let complete = following.is_some_and(|following| following == next);
        // Apache Kafka's compaction may leave one, which is none of recovery's business.
        let kafka_gap =
            !self.ours && end.invalid.is_none() && following.is_some_and(|following| following > next);
        let complete = complete || kafka_gap;
        let missing = following.is_some_and(|following| following > next) && !kafka_gap;
        if end.invalid.is_some() || missing {
            if let Some(damage) = self.judge(base, &end, complete, file.path()) {
                state.damage = Some(damage);
            } else if end.position < found.size {
                let len = end.position;
                self.disk.truncate(&file, len).await.context("truncating", file.path())?;
                state.report.truncated_bytes += found.size - end.position;
            }
        }
        // Kept bytes may never have been flushed: they count only once they are.
        self.disk.sync(&file).await.context("syncing", file.path())?;
        if state.damage.is_none() {
            indexes.cold = Cold::Loaded(write_indexes(self.disk, &self.directory, base, &indexes).await?);
            indexes.keep_only_cold(base, self.new.config.segment_index_bytes);
        }
        let partial = last_block(self.disk, &file, end.position).await?;
        let mut segment = match following {
            Some(_) if complete && state.damage.is_none() => {
                Segment::found_sealed(base, next, end.position, indexes)
            }
            _ => Segment::found(base, next, end.position, &partial, indexes),
        };
        segment.first_timestamp = first_timestamp;
        segment.modified = found.modified;
        state.segments.push_back(segment);
        state.next = next;
        Ok(state.damage.is_none() && complete)
    }

    /// Whether what is invalid there was promised: then it is damage.
    fn judge(&self, base: Offset, end: &ScanEnd, complete: bool, path: &Path) -> Option<StorageError> {
        let promised = self.promise.is_some_and(|promise| match promise.segment.cmp(&base) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => end.position < promise.position,
            std::cmp::Ordering::Greater => !complete,
        });
        let checkpointed = self.recovery_point.is_some_and(|point| end.next < point && !complete);
        if !promised && !checkpointed {
            return None;
        }
        let reason =
            end.invalid.clone().unwrap_or_else(|| "the file ends before what was promised".to_owned());
        Some(StorageError::Damaged { path: path.to_path_buf(), position: end.position, reason })
    }

    /// A promise beyond the files' end: the file itself is short or gone.
    fn check_promise_kept(&self, state: &mut Scanned) {
        let Some(promise) = self.promise.filter(|promise| promise.end > state.next) else { return };
        if state.damage.is_none() {
            let path = self.directory.join(SegmentFile::Log.name(promise.segment));
            let position = state.segments.back().map_or(0, |segment| segment.end);
            let reason = format!("the log ends at {} where {} was promised", state.next, promise.end);
            state.damage = Some(StorageError::Damaged { path, position, reason });
        }
    }

    /// All that is left was deleted: what came behind went with the power (`written`). Offsets are not given a second time, so
    /// the log is empty where it was said to begin (`UnifiedLog.truncateFullyAndStartAt`).
    async fn start_over(&self, state: &mut Scanned) -> Result<(), StorageError> {
        for (base, found) in &self.files {
            self.remove_segment(*base).await?;
            state.report.truncated_bytes += found.size;
        }
        state.segments.clear();
        state.next = self.log_start;
        state.producers.set_end(self.log_start);
        Ok(())
    }

    async fn remove_segment(&self, base: Offset) -> Result<(), StorageError> {
        for kind in SegmentFile::ALL {
            let path = self.directory.join(kind.name(base));
            match self.disk.remove_file(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StorageError::io("removing", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the segments behind a torn one, unless the log is damaged: then nothing is touched.
    async fn drop_beyond(&self, base: Offset, state: &mut Scanned) -> Result<(), StorageError> {
        let beyond: Vec<(Offset, Found)> = self
            .files
            .iter()
            .filter(|(other, _)| **other > base)
            .map(|(base, found)| (*base, *found))
            .collect();
        if state.damage.is_some() || beyond.is_empty() {
            return Ok(());
        }
        let promised = self.promise.is_some_and(|promise| promise.segment > base);
        if promised {
            return Ok(());
        }
        for (other, found) in beyond {
            self.remove_segment(other).await?;
            state.report.truncated_bytes += found.size;
        }
        Ok(())
    }

    fn finish(
        self,
        mut segments: VecDeque<Segment>,
        end: Offset,
        producers: ProducerState,
        mut report: LogOpenReport,
        damage: Option<StorageError>,
    ) -> OpenedLog {
        if segments.is_empty() {
            let bytes_max = self.new.config.segment_index_bytes;
            segments.push_back(Segment::new(end, None, bytes_max));
        }
        report.segments = segments.len();
        let mut log = Log::new(LogParts {
            id: self.new.id,
            topic: self.new.topic.clone(),
            directory: self.directory,
            config: self.new.config,
            segments,
            log_start: self.log_start.min(end),
            epochs: self.epochs,
            producers,
        });
        let start = log.log_start;
        log.epochs_dirty |= log.epochs.truncate_from_start(start);
        if let Some(damage) = damage {
            report.damage = Some(damage.clone());
            log.fence(damage);
        }
        OpenedLog { log, report }
    }
}

/// State of a scan over the segments.
struct Scanned {
    segments: VecDeque<Segment>,
    producers: ProducerState,
    next: Offset,
    report: LogOpenReport,
    damage: Option<StorageError>,
}

fn note_epoch(epochs: &mut EpochCache, header: &BatchHeader) {
    if epochs.latest().is_none_or(|latest| header.leader_epoch > latest.epoch) {
        epochs.assign(header.leader_epoch, header.base_offset);
    }
}

fn file_error(error: &FileError) -> StorageError {
    match error {
        FileError::Io { path, source } => {
            StorageError::io("writing", path, std::io::Error::new(source.kind(), source.to_string()))
        }
        FileError::Damaged { path, source } => {
            StorageError::BadFile { path: path.clone(), reason: source.to_string() }
        }
    }
}
