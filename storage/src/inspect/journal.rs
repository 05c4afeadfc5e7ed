//! A core's journal as it lies there: both superblocks, and every commit that can still be read, of this run or an earlier one.

use std::collections::BTreeMap;
use std::io;

use slipring_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use uuid::Uuid;

use super::{Source, Window};
use crate::journal::format::{
    BLOCK_BYTES, CommitHeader, Descriptor, HEADER_BYTES, Kind, RING_START, Superblock, decode_commit,
};
use crate::limits::{BLOCK, COMMIT_JOURNAL_BYTES_MAX};
use crate::recovery::log_id;

/// Largest commit that is read whole: what one may hold, and its descriptors.
const COMMIT_BYTES_MAX: u64 = 4 * COMMIT_JOURNAL_BYTES_MAX as u64;

/// One of the two superblocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSuperblock {
    /// First byte in the file.
    pub position: u64,
    /// Identity of the journal in its run.
    pub journal: Uuid,
    /// The higher one counts.
    pub generation: u64,
    /// Lap around the ring.
    pub lap: u64,
    /// First commit of the lap.
    pub first_sequence: u64,
    /// Oldest commit that was needed.
    pub oldest_sequence: u64,
    /// Where it stands.
    pub oldest_position: u64,
    /// Nothing was needed: the stop was clean, or everything was replayed.
    pub empty: bool,
}

/// A commit whose header is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCommit {
    /// First byte in the file.
    pub position: u64,
    /// Bytes of it.
    pub length: u64,
    /// Its number.
    pub sequence: u64,
    /// Lap around the ring.
    pub lap: u64,
    /// Whether the superblock that counts is of the same run.
    pub this_run: bool,
    /// Oldest commit that was still needed when it was issued.
    pub oldest_sequence: u64,
    /// Commits up to here were durable when it was issued.
    pub synced_through: u64,
    /// What it says, or why that does not read.
    pub entries: Result<Vec<SeenEntry>, String>,
}

/// What a commit says of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenEntry {
    /// The log.
    pub log: TopicIdPartition,
    /// `fragment`, `direct`, `truncate` or `delete`.
    pub kind: &'static str,
    /// Segment that the bytes belong to.
    pub segment: Offset,
    /// First byte there.
    pub position: u64,
    /// How many.
    pub length: u64,
    /// First offset newly covered.
    pub first: Offset,
    /// The log's end with it; exclusive.
    pub end: Offset,
    /// Epoch of the leader.
    pub epoch: LeaderEpoch,
    /// Whether everything of the log up to here is durable once the commit is.
    pub promise: bool,
    /// Number among what is said of this log.
    pub order: u64,
}

impl From<&Descriptor> for SeenEntry {
    fn from(descriptor: &Descriptor) -> Self {
        let (kind, length) = match descriptor.kind {
            Kind::Fragment { length, .. } => ("fragment", u64::from(length)),
            Kind::Direct { length, .. } => ("direct", length),
            Kind::Truncate => ("truncate", 0),
            Kind::Delete => ("delete", 0),
        };
        Self {
            log: log_id(descriptor.log),
            kind,
            segment: Offset(descriptor.segment_base),
            position: descriptor.position,
            length,
            first: Offset(descriptor.base_offset),
            end: Offset(descriptor.end_offset),
            epoch: LeaderEpoch(descriptor.leader_epoch),
            promise: descriptor.promise,
            order: descriptor.order,
        }
    }
}

/// A walk over a journal's file.
#[derive(Debug)]
pub struct JournalWalk<'a, S: ?Sized> {
    source: &'a S,
    window: Window<'a, S>,
    superblocks: Vec<(u64, Result<Superblock, String>)>,
    newest: Option<Superblock>,
    foreign: Option<String>,
    position: u64,
}

impl<'a, S: Source + ?Sized> JournalWalk<'a, S> {
    /// Reads the superblocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn new(source: &'a S) -> io::Result<Self> {
        let mut window = Window::new(source);
        let head = window.get(0, 2 * BLOCK_BYTES)?.to_vec();
        let (newest, foreign) = match Superblock::newest(&head) {
            Ok(newest) => (newest, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let superblocks = (0..2_usize)
            .map(|number| {
                let at = (number * BLOCK_BYTES).min(head.len());
                let end = (at + BLOCK_BYTES).min(head.len());
                let read = Superblock::decode(&head[at..end]).map_err(|error| error.to_string());
                (number as u64 * BLOCK, read)
            })
            .collect();
        Ok(Self { source, window, superblocks, newest, foreign, position: RING_START })
    }

    /// Both superblocks, or why one does not read; the one not yet written is no fault.
    pub fn superblocks(&self) -> impl Iterator<Item = (u64, Result<SeenSuperblock, String>)> {
        self.superblocks.iter().map(|(position, read)| {
            let seen = read.clone().map(|superblock| SeenSuperblock {
                position: *position,
                journal: superblock.journal,
                generation: superblock.generation,
                lap: superblock.lap,
                first_sequence: superblock.first_sequence,
                oldest_sequence: superblock.oldest.sequence,
                oldest_position: superblock.oldest.position,
                empty: superblock.empty,
            });
            (*position, seen)
        })
    }

    /// Whether a replay would have anything to do: `None` when no superblock reads.
    #[must_use]
    pub fn is_empty(&self) -> Option<bool> {
        self.newest.map(|superblock| superblock.empty)
    }

    /// Why a start refuses this journal unread: it has another version's format.
    #[must_use]
    pub fn foreign(&self) -> Option<&str> {
        self.foreign.as_deref()
    }

    /// The next commit in the order of the file, whatever run it is of; `None` at the end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn step(&mut self) -> io::Result<Option<SeenCommit>> {
        let end = self.source.size();
        while self.position.saturating_add(BLOCK) <= end {
            let position = self.position;
            self.position += BLOCK;
            let Ok(header) = CommitHeader::decode(self.window.get(position, HEADER_BYTES)?) else { continue };
            let entries = if header.length > (end - position).min(COMMIT_BYTES_MAX) {
                Err("it reaches beyond the ring".to_owned())
            } else {
                let mut bytes = vec![0; usize::try_from(header.length).unwrap_or(0)];
                let read = self.source.read_at(position, &mut bytes)?;
                decode_commit(&bytes[..read]).map_err(|error| error.to_string())
            };
            if entries.is_ok() {
                self.position = position + header.length;
            }
            return Ok(Some(SeenCommit {
                position,
                length: header.length,
                sequence: header.sequence,
                lap: header.lap,
                this_run: self.newest.is_some_and(|newest| newest.journal == header.journal),
                oldest_sequence: header.oldest.sequence,
                synced_through: header.synced_through,
                entries: entries.map(|(_, descriptors)| descriptors.iter().map(SeenEntry::from).collect()),
            }));
        }
        Ok(None)
    }

    /// How far a replay comes: walks the rest of the journal.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn reach(mut self) -> io::Result<Reach> {
        let Some(newest) = self.newest else {
            let mut reach = Reach::default();
            while let Some(commit) = self.step()? {
                reach.commits += 1;
                reach.missing.get_or_insert((commit.sequence, commit.position));
            }
            return Ok(reach);
        };
        let (mut seen, mut broken, mut synced) = (BTreeMap::new(), BTreeMap::new(), 0);
        while let Some(commit) = self.step()? {
            if !commit.this_run {
                continue;
            }
            synced = synced.max(commit.synced_through);
            match commit.entries {
                Ok(_) => _ = seen.insert(commit.sequence, (commit.length, commit.oldest_sequence)),
                Err(_) => _ = broken.insert(commit.sequence, commit.position),
            }
        }
        if newest.empty {
            return Ok(Reach::default());
        }
        let place = |sequence: u64| (sequence, broken.get(&sequence).copied().unwrap_or(RING_START));
        let first = newest.oldest.sequence.max(newest.first_sequence);
        let mut next = first;
        while seen.contains_key(&next) {
            next += 1;
        }
        let mut reach = Reach { next, ..Reach::default() };
        reach.missing = (next <= synced).then(|| place(next));
        // Either may be the newer word: the last commit's, or a superblock written after it.
        let said = next.checked_sub(1).and_then(|last| seen.get(&last)).map_or(0, |(_, oldest)| *oldest);
        reach.first = newest.oldest.sequence.max(said);
        for sequence in reach.first..next {
            match seen.get(&sequence) {
                Some((length, _)) => {
                    reach.commits += 1;
                    reach.bytes += length;
                }
                None => {
                    reach.missing.get_or_insert(place(sequence));
                    break;
                }
            }
        }
        Ok(reach)
    }
}

/// What a replay of a journal would take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// First commit that is needed.
    pub first: u64,
    /// The commit after the last that is valid.
    pub next: u64,
    /// How many are needed and valid.
    pub commits: u64,
    /// Their bytes.
    pub bytes: u64,
    /// A commit that was durable and does not read, with its byte in the file where that is known: a start is refused.
    pub missing: Option<(u64, u64)>,
}
