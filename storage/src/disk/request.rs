//! One disk operation as a value: what both implementations take in and, with its buffers, give back.

use std::io;
use std::path::PathBuf;

use super::buf::{AlignedBuf, IoPart};
use super::file::DiskFile;
use super::memory::BLOCK_BYTES;
use super::{Durability, OpenOptions};

/// One operation with everything it owns.
pub(crate) enum Request {
    Open { path: PathBuf, options: OpenOptions },
    Write { file: DiskFile, offset: u64, parts: Vec<IoPart>, durability: Durability },
    Read { file: DiskFile, offset: u64, buf: AlignedBuf },
    Sync { file: DiskFile },
    Allocate { file: DiskFile, offset: u64, len: u64 },
    Truncate { file: DiskFile, len: u64 },
    CreateDir { path: PathBuf },
    RemoveFile { path: PathBuf },
    RemoveDir { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    SyncDir { path: PathBuf },
}

/// What an operation brought.
pub(crate) enum Outcome {
    /// Nothing but success.
    Done,
    /// Bytes read.
    Bytes(usize),
    /// The opened file.
    Opened(DiskFile),
}

/// The request comes back so that its buffers can be used again.
pub(crate) type Answer = (io::Result<Outcome>, Request);

impl Request {
    /// Whether the operation may be issued: buffers and offsets of direct files are whole blocks, and writes go to
    /// files opened for writing.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self {
            Request::Write { file, offset, parts, .. } => {
                writable(file)?;
                if !file.is_direct() {
                    return Ok(());
                }
                aligned(*offset as usize)?;
                parts.iter().try_for_each(|part| {
                    aligned(part.as_ptr() as usize)?;
                    aligned(part.len())
                })
            }
            Request::Read { file, offset, buf } if file.is_direct() => {
                aligned(*offset as usize)?;
                aligned(buf.len())
            }
            Request::Allocate { file, .. } | Request::Truncate { file, .. } => writable(file),
            Request::Open { .. }
            | Request::Read { .. }
            | Request::Sync { .. }
            | Request::CreateDir { .. }
            | Request::RemoveFile { .. }
            | Request::RemoveDir { .. }
            | Request::Rename { .. }
            | Request::SyncDir { .. } => Ok(()),
        }
    }
}

fn writable(file: &DiskFile) -> io::Result<()> {
    if file.is_writable() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) }
}

fn aligned(value: usize) -> io::Result<()> {
    if value.is_multiple_of(BLOCK_BYTES) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "direct I/O wants whole blocks of 4096 bytes"))
}
