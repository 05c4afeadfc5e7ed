//! Looking into files without opening a log: for `slipring log`, on a thread of its own with no ring and no shard. Reads only,
//! in steps of bounded size whatever a file claims, and takes no byte on trust: what is wrong comes out as a value.

mod journal;
mod segment;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub use journal::{JournalWalk, Reach, SeenCommit, SeenEntry, SeenSuperblock};
pub use segment::{BatchWalk, SeenBatch, Step};

/// Most bytes that are read in one step.
pub const STEP_BYTES: usize = 1 << 20;

/// Bytes that can be read at any place.
pub trait Source {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `out` from `position` on; fewer bytes only at the end.
    ///
    /// # Errors
    /// When the disk fails.
    fn read_at(&self, position: u64, out: &mut [u8]) -> io::Result<usize>;
}

/// A file as long as it was when it was opened.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    size: u64,
}

impl FileSource {
    /// Takes an open file.
    ///
    /// # Errors
    /// When its size cannot be told.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.file.read_at(&mut out[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl Source for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(self.len());
        let len = out.len().min(self.len() - from);
        out[..len].copy_from_slice(&self[from..from + len]);
        Ok(len)
    }
}

/// A moving view of a source.
#[derive(Debug)]
pub struct Window<'a, S: ?Sized> {
    source: &'a S,
    bytes: Vec<u8>,
    start: u64,
}

impl<'a, S: Source + ?Sized> Window<'a, S> {
    /// Nothing is read yet.
    pub const fn new(source: &'a S) -> Self {
        Self { source, bytes: Vec::new(), start: 0 }
    }

    /// Bytes of the source.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.source.size()
    }

    /// Up to `len` bytes from `position` on, at most [`STEP_BYTES`]; fewer at the end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn get(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(STEP_BYTES);
        let have = position.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let have = have.filter(|at| at.saturating_add(len) <= self.bytes.len());
        let at = match have {
            Some(at) => at,
            None => {
                let left = self.source.size().saturating_sub(position);
                self.bytes.resize(usize::try_from(left).unwrap_or(STEP_BYTES).min(STEP_BYTES), 0);
                let read = self.source.read_at(position, &mut self.bytes)?;
                self.bytes.truncate(read);
                self.start = position;
                0
            }
        };
        let end = (at + len).min(self.bytes.len());
        Ok(&self.bytes[at..end])
    }
}
