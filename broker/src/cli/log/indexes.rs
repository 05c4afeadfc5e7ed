//! Index files, entry by entry: printed, or held against the batches they speak of.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use slipring_protocol::batch::BatchHeader;
use slipring_protocol::ids::Offset;
use slipring_storage::inspect::{FileSource, Window};
use slipring_storage::segment::txn_index::TxnIndexView;
use slipring_storage::segment::{index, time_index};

use super::out::{Line, Out};
use super::{Failure, open, read_small};

/// Entries of an index file, up to the zeros that Kafka leaves behind them in the active segment's.
struct Entries<'a, const SIZE: usize> {
    window: Window<'a, FileSource>,
    slot: u64,
    ended: bool,
}

impl<'a, const SIZE: usize> Entries<'a, SIZE> {
    const fn new(source: &'a FileSource) -> Self {
        Self { window: Window::new(source), slot: 0, ended: false }
    }

    /// The entry in hand, with the byte where it stands.
    fn peek(&mut self) -> io::Result<Option<(u64, [u8; SIZE])>> {
        let position = self.slot * SIZE as u64;
        if self.ended || position + SIZE as u64 > self.window.size() {
            return Ok(None);
        }
        let entry = self.window.get(position, SIZE)?.first_chunk::<SIZE>().copied();
        let entry = entry.filter(|entry| *entry != [0; SIZE]);
        self.ended = entry.is_none();
        Ok(entry.map(|entry| (position, entry)))
    }

    const fn pass(&mut self) {
        self.slot += 1;
    }

    /// Bytes behind the last entry.
    fn rest(&self) -> u64 {
        self.window.size().saturating_sub(self.slot * SIZE as u64)
    }
}

/// Prints an offset index.
pub(super) fn dump_offsets(path: &Path, base: Offset, out: &mut Out) -> Result<(), Failure> {
    let source = open(path)?;
    let mut entries = Entries::<{ index::ENTRY_SIZE }>::new(&source);
    while let Some((at, bytes)) = entries.peek().map_err(Failure::file(path))? {
        let entry = index::decode_entry(base, &bytes);
        let line = Line::new("index").number("at", at, 8).number("offset", entry.offset.0, 8);
        out.line(&line.number("position", entry.position, 0))?;
        entries.pass();
    }
    unused(entries.rest(), out)
}

/// Prints a time index.
pub(super) fn dump_times(path: &Path, base: Offset, out: &mut Out) -> Result<(), Failure> {
    let source = open(path)?;
    let mut entries = Entries::<{ time_index::ENTRY_SIZE }>::new(&source);
    while let Some((at, bytes)) = entries.peek().map_err(Failure::file(path))? {
        let entry = time_index::decode_entry(base, &bytes);
        let line = Line::new("time").number("at", at, 8).number("time", entry.timestamp.0, 13);
        out.line(&line.number("offset", entry.offset.0, 0))?;
        entries.pass();
    }
    unused(entries.rest(), out)
}

fn unused(bytes: u64, out: &mut Out) -> Result<(), Failure> {
    if bytes == 0 { Ok(()) } else { out.line(&Line::new("unused").number("bytes", bytes, 0)) }
}

/// Prints an index of aborted transactions.
pub(super) fn dump_transactions(path: &Path, base: Offset, out: &mut Out) -> Result<(), Failure> {
    match TxnIndexView::new(base, Bytes::from(read_small(path)?)) {
        Ok(view) => {
            for aborted in view.entries() {
                let line = Line::new("aborted")
                    .number("producer", aborted.producer_id.0, 6)
                    .number("first", aborted.first_offset.0, 8)
                    .number("last", aborted.last_offset.0, 8);
                out.line(&line.number("last_stable", aborted.last_stable_offset.0, 0))?;
            }
            Ok(())
        }
        Err(error) => out.fault(path, None, &error.to_string()),
    }
}

/// An index file next to the walk over its segment; without a file there is nothing to check.
pub(super) struct Check {
    path: PathBuf,
    source: Option<FileSource>,
}

impl Check {
    pub(super) fn open(path: PathBuf) -> Result<Self, Failure> {
        let source = if path.exists() { Some(open(&path)?) } else { None };
        Ok(Self { path, source })
    }
}

/// What is wrong: the file, the byte, and why.
type Found<'a> = Vec<(&'a Path, u64, String)>;

/// Both indexes of a segment, held against its batches.
pub(super) struct Indexes<'a> {
    base: Offset,
    offsets: Option<(&'a Path, Entries<'a, { index::ENTRY_SIZE }>)>,
    times: Option<(&'a Path, Entries<'a, { time_index::ENTRY_SIZE }>)>,
    last_offset: Option<(Offset, u32)>,
    last_time: Option<(i64, Offset)>,
    max_time: i64,
}

impl<'a> Indexes<'a> {
    pub(super) fn new(base: Offset, offsets: &'a Check, times: &'a Check) -> Self {
        Self {
            base,
            offsets: offsets.source.as_ref().map(|source| (offsets.path.as_path(), Entries::new(source))),
            times: times.source.as_ref().map(|source| (times.path.as_path(), Entries::new(source))),
            last_offset: None,
            last_time: None,
            max_time: -1,
        }
    }

    /// Looks at the entries that speak of this batch, or of what lies before it.
    pub(super) fn batch(&mut self, header: &BatchHeader, position: u64) -> Result<Found<'a>, Failure> {
        let mut found = Vec::new();
        while let Some((path, at, entry)) = self.offset_entry(position)? {
            if u64::from(entry.position) < position {
                found.push((path, at, format!("points at byte {}, where no batch begins", entry.position)));
            } else if entry.offset < header.base_offset {
                let reason =
                    format!("names offset {} at a batch from {} on", entry.offset, header.base_offset);
                found.push((path, at, reason));
            }
            let last = self.last_offset.replace((entry.offset, entry.position));
            if entry.offset < self.base || last.is_some_and(|(offset, _)| entry.offset <= offset) {
                found.push((path, at, format!("offset {} is not beyond the entry before it", entry.offset)));
            }
        }
        while let Some((path, at, entry)) = self.time_entry(header.last_offset())? {
            if entry.timestamp.0 < self.max_time {
                let reason = format!("time {} although {} stands before", entry.timestamp, self.max_time);
                found.push((path, at, reason));
            }
            let last = self.last_time.replace((entry.timestamp.0, entry.offset));
            let falls = last.is_some_and(|(time, offset)| entry.timestamp.0 <= time || entry.offset < offset);
            if entry.offset < self.base || falls {
                found.push((path, at, "is not beyond the entry before it".to_owned()));
            }
        }
        self.max_time = self.max_time.max(header.max_timestamp.0);
        Ok(found)
    }

    /// Behind the last batch nothing may be spoken of.
    pub(super) fn end(&mut self) -> Result<Found<'a>, Failure> {
        let mut found = Vec::new();
        while let Some((path, at, entry)) = self.offset_entry(u64::MAX)? {
            found.push((path, at, format!("points at byte {}, beyond the last batch", entry.position)));
        }
        while let Some((path, at, entry)) = self.time_entry(Offset(i64::MAX))? {
            found.push((path, at, format!("names offset {}, beyond the last batch", entry.offset)));
        }
        let rests = [
            self.offsets.as_ref().map(|(path, entries)| (*path, entries.rest(), index::ENTRY_SIZE)),
            self.times.as_ref().map(|(path, entries)| (*path, entries.rest(), time_index::ENTRY_SIZE)),
        ];
        for (path, rest, size) in rests.into_iter().flatten() {
            if !rest.is_multiple_of(size as u64) {
                found.push((path, 0, format!("the file's length is no multiple of {size}")));
            }
        }
        Ok(found)
    }

    fn offset_entry(
        &mut self,
        up_to: u64,
    ) -> Result<Option<(&'a Path, u64, index::OffsetPosition)>, Failure> {
        let Some((path, entries)) = &mut self.offsets else { return Ok(None) };
        let entry = entries.peek().map_err(Failure::file(path))?;
        let entry = entry.map(|(at, bytes)| (*path, at, index::decode_entry(self.base, &bytes)));
        let entry = entry.filter(|(_, _, entry)| u64::from(entry.position) <= up_to);
        if entry.is_some() {
            entries.pass();
        }
        Ok(entry)
    }

    fn time_entry(
        &mut self,
        up_to: Offset,
    ) -> Result<Option<(&'a Path, u64, time_index::TimestampOffset)>, Failure> {
        let Some((path, entries)) = &mut self.times else { return Ok(None) };
        let entry = entries.peek().map_err(Failure::file(path))?;
        let entry = entry.map(|(at, bytes)| (*path, at, time_index::decode_entry(self.base, &bytes)));
        let entry = entry.filter(|(_, _, entry)| entry.offset <= up_to);
        if entry.is_some() {
            entries.pass();
        }
        Ok(entry)
    }
}
