//! A core's journal: one file per core and data directory, one durable write per group commit. This file owns the open
//! journal and its superblocks; `ring` decides about space, `format` about bytes, `build` gathers a commit, `replay`
//! reads journals after a crash. Lives on its core; never looks into a batch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{AlignedBuf, Disk, DiskFile, Durability, OpenOptions};
use crate::error::{IoContext, StorageError};
use crate::limits::{JOURNAL_FIRST_STEP_BYTES, JOURNAL_STEP_BYTES, block_ceil, block_floor};

pub(crate) mod build;
pub(crate) mod format;
pub(crate) mod replay;
pub(crate) mod ring;

use format::{FormatError, Place, RING_START, Superblock};
use ring::Ring;

/// Prefix of a journal's file name at a data directory's root. Kafka ignores plain files there.
pub const JOURNAL_PREFIX: &str = "slipring-journal-";

/// Where a core's journal is.
#[must_use]
pub fn journal_path(directory: &Path, core: u32) -> PathBuf {
    directory.join(format!("{JOURNAL_PREFIX}{core}"))
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) file: DiskFile,
    pub(crate) id: uuid::Uuid,
    pub(crate) ring: Ring,
    generation: u64,
    lap_first_sequence: u64,
    /// End of the file when it is fully prewritten.
    wanted_end: u64,
    /// Commits up to here are durable.
    pub(crate) synced_through: u64,
    /// A commit of which a direct write may have failed; the one behind it says so.
    pub(crate) cut_short: Option<u64>,
    /// The first failed write; every log of the directory is fenced by it.
    pub(crate) failed: Option<Arc<StorageError>>,
}

/// A superblock on its way to the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingSuperblock {
    superblock: Superblock,
    next_lap: bool,
}

impl Journal {
    /// Opens a core's journal for a new run: everything in it has been replayed or was empty.
    pub(crate) async fn open(disk: &Disk, path: &Path, bytes: u64) -> Result<Journal, StorageError> {
        let options = OpenOptions { write: true, create: true, direct: true };
        let file = disk.open(path, options).await.context("opening", path)?;
        // One of another format was empty, since recovery refuses it otherwise: written anew.
        let before = read_superblocks(disk, &file).await?.unwrap_or(None);
        if before.is_some_and(|superblock| !superblock.empty) {
            let reason = "the journal has not been replayed".to_owned();
            return Err(StorageError::BadFile { path: path.to_path_buf(), reason });
        }
        let wanted_end = RING_START + block_floor(bytes);
        let first_end = wanted_end.min(RING_START + JOURNAL_FIRST_STEP_BYTES);
        let mut end = block_floor(disk.len(&file).context("sizing", path)?);
        if end < first_end {
            prewrite(disk, &file, end, first_end).await.context("writing", path)?;
            end = first_end;
        }
        if let Some(parent) = path.parent() {
            disk.sync_dir(parent).await.context("syncing", parent)?;
        }
        let (generation, lap, sequence) =
            before.map_or((1, 1, 1), |old| (old.generation + 1, old.lap + 1, old.oldest.sequence + 1));
        let mut journal = Journal {
            file,
            id: uuid::Uuid::new_v4(),
            ring: Ring::new(end.min(wanted_end), lap, sequence),
            generation: generation - 1,
            lap_first_sequence: sequence,
            wanted_end,
            synced_through: sequence - 1,
            cut_short: None,
            failed: None,
        };
        let oldest = Place { sequence, position: RING_START };
        let pending = journal.superblock(lap, oldest, false, false);
        journal.write_superblock(disk, &pending).await?;
        journal.superblock_written(&pending);
        Ok(journal)
    }

    /// The superblock that records the oldest commit as it is now.
    pub(crate) fn record_oldest(&self) -> PendingSuperblock {
        self.superblock(self.ring.lap(), self.ring.oldest(), false, false)
    }

    /// The superblock that opens the next lap.
    pub(crate) fn open_next_lap(&self) -> PendingSuperblock {
        self.superblock(self.ring.lap() + 1, self.ring.oldest_at_next_lap(), false, true)
    }

    /// The superblock that says nothing here is needed any more.
    pub(crate) fn mark_empty(&self) -> PendingSuperblock {
        let oldest = Place { sequence: self.ring.next_sequence(), position: self.ring.head() };
        self.superblock(self.ring.lap(), oldest, true, false)
    }

    fn superblock(&self, lap: u64, oldest: Place, empty: bool, next_lap: bool) -> PendingSuperblock {
        let first_sequence = if next_lap { self.ring.next_sequence() } else { self.lap_first_sequence };
        let generation = self.generation + 1;
        // Superblocks are written between commits: all before it are done, save a last one that was cut short.
        let last = self.ring.next_sequence() - 1;
        let finished = if self.cut_short == Some(last) { last.saturating_sub(1) } else { last };
        let superblock =
            Superblock { journal: self.id, generation, lap, first_sequence, oldest, finished, empty };
        PendingSuperblock { superblock, next_lap }
    }

    async fn write_superblock(&self, disk: &Disk, pending: &PendingSuperblock) -> Result<(), StorageError> {
        write_superblock(disk, &self.file, &pending.superblock).await
    }

    /// The superblock is durable.
    pub(crate) fn superblock_written(&mut self, pending: &PendingSuperblock) {
        self.generation = pending.superblock.generation;
        if pending.next_lap {
            self.lap_first_sequence = pending.superblock.first_sequence;
            self.ring.next_lap();
        }
        self.ring.record(pending.superblock.oldest);
    }

    /// The next range to prewrite, if the file has not its full size yet.
    pub(crate) fn growth(&self) -> Option<(u64, u64)> {
        let from = self.ring.end();
        (from < self.wanted_end).then(|| (from, self.wanted_end.min(from + JOURNAL_STEP_BYTES)))
    }

    /// The next range to prewrite towards a ring of `bytes`, which the journal has to have from now on.
    pub(crate) fn growth_to(&mut self, bytes: u64) -> Option<(DiskFile, u64, u64)> {
        let needed = RING_START + block_ceil(bytes);
        let from = self.ring.end();
        self.wanted_end = self.wanted_end.max(needed);
        (from < needed).then(|| (self.file.clone(), from, self.wanted_end.min(from + JOURNAL_STEP_BYTES)))
    }

    /// No further growth: the disk refused it.
    pub(crate) fn stop_growing(&mut self) {
        self.wanted_end = self.ring.end();
    }
}

impl PendingSuperblock {
    /// Makes it durable.
    pub(crate) async fn write(&self, disk: &Disk, file: &DiskFile) -> Result<(), StorageError> {
        write_superblock(disk, file, &self.superblock).await
    }
}

/// Writes a superblock durably at its place.
pub(crate) async fn write_superblock(
    disk: &Disk,
    file: &DiskFile,
    superblock: &Superblock,
) -> Result<(), StorageError> {
    let block = AlignedBuf::copy_of(&superblock.encode());
    let position = Superblock::position(superblock.generation);
    let (written, _) = disk.write(file, position, vec![block.into()], Durability::Durable).await;
    written.context("writing", file.path())
}

/// Reads the superblock that counts; `None` when there is none (a new file). The inner error: a journal of another format.
pub(crate) async fn read_superblocks(
    disk: &Disk,
    file: &DiskFile,
) -> Result<Result<Option<Superblock>, FormatError>, StorageError> {
    let (read, buf) = disk.read(file, 0, AlignedBuf::zeroed(RING_START as usize)).await;
    read.context("reading", file.path())?;
    Ok(Superblock::newest(&buf))
}

/// Fills a range with zeros, durably, so that commits overwrite blocks instead of allocating them.
pub(crate) async fn prewrite(disk: &Disk, file: &DiskFile, from: u64, to: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < to {
        let len = (to - at).min(PREWRITE_BYTES);
        let zeros = AlignedBuf::zeroed(len as usize);
        disk.write(file, at, vec![zeros.into()], Durability::Durable).await.0?;
        at += len;
    }
    Ok(())
}

const PREWRITE_BYTES: u64 = 1 << 20;
