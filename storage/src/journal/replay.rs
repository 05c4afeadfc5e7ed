//! Reading a journal after a crash: which commits are valid, and whether one that must be valid is not. Reads only; what
//! the commits say is applied by `recovery`. Runs before any log of the directory is open.

use std::path::{Path, PathBuf};

use super::format::{
    BLOCK_BYTES, CommitHeader, Descriptor, FormatError, Place, RING_START, Superblock, decode_commit,
};
use super::read_superblocks;
use crate::disk::{AlignedBuf, Disk, DiskFile, OpenOptions};
use crate::error::{IoContext, StorageError};
use crate::limits::{BLOCK, block_ceil, block_floor};

/// A journal as found.
#[derive(Debug)]
pub(crate) struct FoundJournal {
    pub(crate) path: PathBuf,
    pub(crate) file: DiskFile,
    pub(crate) superblock: Superblock,
    /// Valid commits that are still needed, in their order.
    pub(crate) commits: Vec<FoundCommit>,
}

/// A valid commit.
#[derive(Debug)]
pub(crate) struct FoundCommit {
    pub(crate) header: CommitHeader,
    pub(crate) position: u64,
    pub(crate) descriptors: Vec<Descriptor>,
}

/// Reads a journal; `None` when the file holds none (its making was cut short).
pub(crate) async fn find_commits(disk: &Disk, path: &Path) -> Result<Option<FoundJournal>, StorageError> {
    let options = OpenOptions { write: true, create: false, direct: true };
    let file = disk.open(path, options).await.context("opening", path)?;
    let superblock = read_superblocks(disk, &file).await?.map_err(|error| StorageError::BadFile {
        path: path.to_path_buf(),
        reason: format!("{error}; stop cleanly with the version that wrote it"),
    })?;
    let Some(superblock) = superblock else {
        return no_superblock(disk, path, &file).await.map(|()| None);
    };
    let mut found = FoundJournal { path: path.to_path_buf(), file, superblock, commits: Vec::new() };
    if superblock.empty {
        return Ok(Some(found));
    }
    let end = block_floor(disk.len(&found.file).context("sizing", path)?);
    let mut walk = Walk { disk, journal: &found, reader: RingReader::new(&found.file), end };
    let first = match superblock.oldest.sequence >= superblock.first_sequence {
        true => superblock.oldest,
        false => Place { sequence: superblock.first_sequence, position: RING_START },
    };
    let lap = walk.follow(first, superblock.lap, u64::MAX).await?;
    walk.check_nothing_beyond(lap.next).await?;
    // Either may be the newer word on what is still needed: the last commit's header or a superblock written after it.
    let said = lap.commits.last().map_or(superblock.oldest, |commit| commit.header.oldest);
    let oldest = if said.sequence > superblock.oldest.sequence { said } else { superblock.oldest };
    let mut commits = Vec::new();
    if oldest.sequence < superblock.first_sequence {
        let before = walk.follow(oldest, superblock.lap - 1, superblock.first_sequence).await?;
        if before.next.sequence < superblock.first_sequence {
            return Err(walk.damaged(before.next, &before.reason));
        }
        commits = before.commits;
    }
    commits.extend(lap.commits.into_iter().filter(|commit| commit.header.sequence >= oldest.sequence));
    found.commits = commits;
    Ok(Some(found))
}

/// A journal without superblocks was never used, or both are damaged: then its first commit is still there.
async fn no_superblock(disk: &Disk, path: &Path, file: &DiskFile) -> Result<(), StorageError> {
    let (read, buf) = disk.read(file, RING_START, AlignedBuf::zeroed(BLOCK_BYTES)).await;
    let read = read.context("reading", path)?;
    match CommitHeader::decode(&buf[..read]) {
        Err(FormatError::Magic) => Ok(()),
        Ok(_) | Err(_) => Err(StorageError::JournalDamaged {
            path: path.to_path_buf(),
            position: 0,
            reason: "it holds commits, and neither of its superblocks is valid".to_owned(),
        }),
    }
}

/// Only the superblock of a journal: its commits do not matter. `None` also where it has another format.
pub(crate) async fn find_superblock(disk: &Disk, path: &Path) -> Result<Option<FoundJournal>, StorageError> {
    let options = OpenOptions { write: true, create: false, direct: true };
    let file = disk.open(path, options).await.context("opening", path)?;
    let superblock = read_superblocks(disk, &file).await?.unwrap_or(None);
    Ok(superblock.map(|superblock| FoundJournal {
        path: path.to_path_buf(),
        file,
        superblock,
        commits: Vec::new(),
    }))
}

/// Commits that follow each other.
struct Chain {
    commits: Vec<FoundCommit>,
    /// Where the next one would stand, and why none stands there.
    next: Place,
    reason: String,
}

struct Walk<'a> {
    disk: &'a Disk,
    journal: &'a FoundJournal,
    reader: RingReader,
    end: u64,
}

impl Walk<'_> {
    /// Follows the commits of one lap up to the first that is not valid, or to `until` (exclusive).
    async fn follow(&mut self, from: Place, lap: u64, until: u64) -> Result<Chain, StorageError> {
        let mut chain = Chain { commits: Vec::new(), next: from, reason: String::new() };
        while chain.next.sequence < until {
            match self.commit_at(chain.next, lap).await? {
                Ok(commit) => {
                    chain.next.sequence += 1;
                    chain.next.position += commit.header.length;
                    chain.commits.push(commit);
                }
                Err(reason) => {
                    chain.reason = reason;
                    break;
                }
            }
        }
        Ok(chain)
    }

    async fn commit_at(
        &mut self,
        place: Place,
        lap: u64,
    ) -> Result<Result<FoundCommit, String>, StorageError> {
        if place.position < RING_START || place.position + BLOCK > self.end {
            return Ok(Err("the ring ends here".to_owned()));
        }
        let head = self.reader.get(self.disk, place.position, BLOCK_BYTES).await?;
        let header = match CommitHeader::decode(head) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let ours = header.journal == self.journal.superblock.journal;
        if !ours || header.sequence != place.sequence || header.lap != lap {
            return Ok(Err("an older commit stands here".to_owned()));
        }
        if header.length > self.end - place.position {
            return Ok(Err("the commit reaches beyond the ring".to_owned()));
        }
        let bytes = self.reader.get(self.disk, place.position, header.length as usize).await?;
        Ok(match decode_commit(bytes) {
            Ok((header, descriptors)) => Ok(FoundCommit { header, position: place.position, descriptors }),
            Err(error) => Err(error.to_string()),
        })
    }

    /// The commit at `missing` is not valid. If a later one says that it was durable, it is damaged; else it never was.
    async fn check_nothing_beyond(&mut self, missing: Place) -> Result<(), StorageError> {
        let mut position = missing.position.max(RING_START);
        while position + BLOCK <= self.end {
            let head = self.reader.get(self.disk, position, BLOCK_BYTES).await?;
            if let Ok(header) = CommitHeader::decode(head) {
                let ours = header.journal == self.journal.superblock.journal;
                if ours && header.sequence > missing.sequence && header.synced_through >= missing.sequence {
                    return Err(self.damaged(missing, "a later commit says that this one was durable"));
                }
            }
            position += BLOCK;
        }
        Ok(())
    }

    fn damaged(&self, place: Place, reason: &str) -> StorageError {
        StorageError::JournalDamaged {
            path: self.journal.path.clone(),
            position: place.position,
            reason: format!("commit {}: {reason}", place.sequence),
        }
    }
}

/// Reads a journal in large steps.
pub(crate) struct RingReader {
    file: DiskFile,
    buf: AlignedBuf,
    start: u64,
}

impl RingReader {
    pub(crate) fn new(file: &DiskFile) -> RingReader {
        RingReader { file: file.clone(), buf: AlignedBuf::zeroed(0), start: 0 }
    }

    /// The bytes at `position`; zeros beyond the end of the file.
    pub(crate) async fn get(
        &mut self,
        disk: &Disk,
        position: u64,
        len: usize,
    ) -> Result<&[u8], StorageError> {
        let end = position + len as u64;
        if position < self.start || end > self.start + self.buf.len() as u64 {
            let from = block_floor(position);
            let bytes = block_ceil(end - from).max(READ_STEP_BYTES);
            let (read, mut buf) = disk.read(&self.file, from, AlignedBuf::zeroed(bytes as usize)).await;
            let read = read.context("reading", self.file.path())?;
            buf.set_len(bytes as usize);
            buf[read..].fill(0);
            self.buf = buf;
            self.start = from;
        }
        let at = (position - self.start) as usize;
        Ok(&self.buf[at..at + len])
    }
}

const READ_STEP_BYTES: u64 = 4 << 20;
