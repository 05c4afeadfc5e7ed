//! Applying journals to segments. Bytes that a segment holds already are never written again, so a crash during replay
//! cannot tear what was durable; everything written is durable before the journals are emptied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use slipring_protocol::ids::Offset;

use super::promises::Promise;
use crate::disk::{AlignedBuf, BLOCK_BYTES, Disk, DiskFile, Durability, OpenOptions};
use crate::error::{IoContext, StorageError};
use crate::journal::format::{Descriptor, Kind, LogKey};
use crate::journal::replay::{FoundJournal, RingReader};
use crate::layout::{self, SegmentFile};
use crate::limits::{block_ceil, block_floor};

/// What all journals say of one log.
#[derive(Debug, Default)]
pub(super) struct LogReplay {
    pub(super) promise: Option<Promise>,
    pub(super) deleted: bool,
    /// The last cut: number of its descriptor, segment, position.
    pub(super) cut: Option<(u64, Offset, u64)>,
    /// The cut is the last that was said of the log: its files may not be cut yet.
    pub(super) cut_is_last: bool,
}

/// Reads the descriptors of all journals: what is promised of each log.
pub(super) fn sum_up(journals: &[FoundJournal]) -> BTreeMap<LogKey, LogReplay> {
    let mut ordered: BTreeMap<LogKey, BTreeMap<u64, (Descriptor, bool)>> = BTreeMap::new();
    for journal in journals {
        let last = journal.commits.last().map(|commit| commit.header.sequence);
        for commit in &journal.commits {
            // Only the parts beside the last commit may be missing: a commit is issued when the one before is done, and so is
            // a superblock.
            let sequence = commit.header.sequence;
            let maybe_cut_short = Some(sequence) == last && sequence > journal.superblock.finished;
            let unsure = unsure_logs(&commit.descriptors, maybe_cut_short);
            for descriptor in &commit.descriptors {
                let sure = !unsure.contains(&descriptor.log);
                let of_log = ordered.entry(descriptor.log).or_default();
                of_log.insert(descriptor.order, (*descriptor, sure));
            }
        }
    }
    ordered.into_iter().map(|(key, descriptors)| (key, sum_up_log(descriptors.into_values()))).collect()
}

/// Logs whose part of a commit is no promise: the last commit's direct writes, and what was not flushed.
fn unsure_logs(descriptors: &[Descriptor], maybe_cut_short: bool) -> BTreeSet<LogKey> {
    let unsure = |descriptor: &&Descriptor| match descriptor.kind {
        Kind::Direct { .. } => maybe_cut_short || !descriptor.promise,
        Kind::Fragment { .. } => !descriptor.promise,
        Kind::Truncate | Kind::Delete => false,
    };
    descriptors.iter().filter(unsure).map(|descriptor| descriptor.log).collect()
}

fn sum_up_log(descriptors: impl Iterator<Item = (Descriptor, bool)>) -> LogReplay {
    let mut replay = LogReplay::default();
    for (descriptor, sure) in descriptors {
        let segment = Offset(descriptor.segment_base);
        let (position, end) = (descriptor.end_position(), Offset(descriptor.end_offset));
        replay.cut_is_last = false;
        match descriptor.kind {
            Kind::Delete => replay.deleted = true,
            Kind::Truncate => {
                replay.cut = Some((descriptor.order, segment, position));
                replay.cut_is_last = true;
                replay.promise = Some(Promise { segment, position, end });
            }
            // Without bytes it only says where the log ends: a direct write before it may have failed.
            Kind::Fragment { length: 0, .. } => replay.promise = Some(Promise { segment, position, end }),
            Kind::Fragment { .. } | Kind::Direct { .. } if sure => {
                let before = replay.promise.map(|promise| (promise.segment, promise.position));
                if before.is_none_or(|before| before <= (segment, position)) {
                    replay.promise = Some(Promise { segment, position, end });
                }
            }
            Kind::Fragment { .. } | Kind::Direct { .. } => {}
        }
    }
    replay
}

/// A stretch of a segment gathered from fragments.
struct Run {
    segment: Offset,
    start: u64,
    bytes: Vec<u8>,
}

/// Writes fragments into segments.
pub(super) struct Replayer<'a> {
    disk: &'a Disk,
    directories: &'a BTreeMap<LogKey, PathBuf>,
    /// Segments before these were deleted.
    live_from: &'a BTreeMap<LogKey, Offset>,
    runs: BTreeMap<LogKey, Run>,
    /// The last segment file opened.
    open: Option<(PathBuf, DiskFile)>,
    pub(super) bytes: u64,
}

impl<'a> Replayer<'a> {
    pub(super) fn new(
        disk: &'a Disk,
        directories: &'a BTreeMap<LogKey, PathBuf>,
        live_from: &'a BTreeMap<LogKey, Offset>,
    ) -> Replayer<'a> {
        Replayer { disk, directories, live_from, runs: BTreeMap::new(), open: None, bytes: 0 }
    }

    /// Applies the fragments of one journal in their order.
    pub(super) async fn apply(
        &mut self,
        journal: &FoundJournal,
        replays: &BTreeMap<LogKey, LogReplay>,
    ) -> Result<(), StorageError> {
        let mut reader = RingReader::new(&journal.file);
        for commit in &journal.commits {
            for descriptor in &commit.descriptors {
                let Kind::Fragment { at, length, .. } = descriptor.kind else { continue };
                let replay = replays.get(&descriptor.log).expect("every descriptor was summed up");
                if replay.deleted || !self.directories.contains_key(&descriptor.log) {
                    continue;
                }
                let is_gone = |first: &Offset| descriptor.segment_base < first.0;
                if self.live_from.get(&descriptor.log).is_some_and(is_gone) {
                    continue;
                }
                let length = kept_length(descriptor, u64::from(length), replay);
                if length == 0 {
                    continue;
                }
                let position = commit.position + u64::from(at);
                let bytes = reader.get(self.disk, position, length as usize).await?.to_vec();
                self.add(descriptor, &bytes).await?;
            }
        }
        let logs: Vec<LogKey> = self.runs.keys().copied().collect();
        for log in logs {
            self.flush(log).await?;
        }
        Ok(())
    }

    /// Joins a fragment to the log's run, or writes that one first.
    async fn add(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), StorageError> {
        let segment = Offset(descriptor.segment_base);
        let fits = self.runs.get(&descriptor.log).is_some_and(|run| {
            let end = run.start + run.bytes.len() as u64;
            run.segment == segment
                && (run.start..=end).contains(&descriptor.position)
                && run.bytes.len() < RUN_BYTES_MAX
        });
        if !fits {
            self.flush(descriptor.log).await?;
        }
        let run = self.runs.entry(descriptor.log).or_insert_with(|| Run {
            segment,
            start: descriptor.position,
            bytes: Vec::new(),
        });
        let at = (descriptor.position - run.start) as usize;
        run.bytes.resize(run.bytes.len().max(at + bytes.len()), 0);
        run.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    async fn flush(&mut self, log: LogKey) -> Result<(), StorageError> {
        let Some(run) = self.runs.remove(&log) else { return Ok(()) };
        let directory = &self.directories[&log];
        let path = directory.join(SegmentFile::Log.name(run.segment));
        let file = self.file(&path).await?;
        let end = run.start + run.bytes.len() as u64;
        // Not a byte beyond: a finished segment ends inside a block, and its size is believed when nothing scans it any more.
        let kept = self.disk.len(&file).context("sizing", &path)?.max(end);
        let (from, to) = (block_floor(run.start), block_ceil(end));
        let (read, mut old) = self.disk.read(&file, from, AlignedBuf::zeroed((to - from) as usize)).await;
        let read = read.context("reading", &path)?;
        old.set_len((to - from) as usize);
        old[read..].fill(0);
        let mut new = AlignedBuf::copy_of(&old);
        let at = (run.start - from) as usize;
        new[at..at + run.bytes.len()].copy_from_slice(&run.bytes);
        for (first, last) in changed_blocks(&old, &new, read, (end - from) as usize) {
            let last = last.min((kept - from) as usize);
            let part = AlignedBuf::copy_of(&new[first..last]).into();
            let offset = from + first as u64;
            let (written, _) = self.disk.write(&file, offset, vec![part], Durability::Durable).await;
            written.context("writing", &path)?;
            self.bytes += (last - first) as u64;
        }
        Ok(())
    }

    async fn file(&mut self, path: &PathBuf) -> Result<DiskFile, StorageError> {
        if let Some((_, file)) = self.open.as_ref().filter(|(open, _)| open == path) {
            return Ok(file.clone());
        }
        // Buffered: only so can a write end inside a block.
        let options = OpenOptions { write: true, create: true, direct: false };
        let file = self.disk.open(path, options).await.context("opening", path)?;
        if let Some(parent) = path.parent() {
            self.disk.sync_dir(parent).await.context("syncing", parent)?;
        }
        self.open = Some((path.clone(), file.clone()));
        Ok(file)
    }
}

/// How much of a fragment a later cut of the log leaves.
fn kept_length(descriptor: &Descriptor, length: u64, replay: &LogReplay) -> u64 {
    match replay.cut {
        Some((order, segment, position)) if descriptor.order < order => {
            match Offset(descriptor.segment_base).cmp(&segment) {
                std::cmp::Ordering::Less => length,
                std::cmp::Ordering::Equal => position.saturating_sub(descriptor.position).min(length),
                std::cmp::Ordering::Greater => 0,
            }
        }
        _ => length,
    }
}

/// Ranges of blocks that differ, or that the file does not have: `read` bytes of `old` came from the file, `needed` it must
/// hold.
fn changed_blocks(old: &[u8], new: &[u8], read: usize, needed: usize) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for at in (0..new.len()).step_by(BLOCK_BYTES) {
        let end = at + BLOCK_BYTES;
        if old[at..end] == new[at..end] && end.min(needed) <= read {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if last.1 == at => last.1 = end,
            _ => ranges.push((at, end)),
        }
    }
    ranges
}

/// Cuts a log's files where its last descriptor says so: idempotent, durable.
pub(super) async fn cut_files(
    disk: &Disk,
    directory: &Path,
    segment: Offset,
    position: u64,
) -> Result<(), StorageError> {
    let entries = disk.list(directory).context("listing", directory)?;
    for entry in entries {
        let Some(name) = layout::parse_segment_file(&entry.name) else { continue };
        let path = directory.join(&entry.name);
        if name.base > segment {
            disk.remove_file(&path).await.context("removing", &path)?;
        } else if name.base == segment && name.kind == SegmentFile::Log && entry.len > position {
            let options = OpenOptions { write: true, create: false, direct: true };
            let file = disk.open(&path, options).await.context("opening", &path)?;
            disk.truncate(&file, position).await.context("truncating", &path)?;
            disk.sync(&file).await.context("syncing", &path)?;
        }
    }
    disk.sync_dir(directory).await.context("syncing", directory)
}

const RUN_BYTES_MAX: usize = 4 << 20;
