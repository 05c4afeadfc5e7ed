//! The few calls that go to the kernel without the ring: they answer from memory or run at start-up only.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use slipring_protocol::ids::TimestampMs;

use super::{DirEntry, DiskFile, Space};

pub(super) fn len(file: &DiskFile) -> io::Result<u64> {
    let fd = file.raw_fd().ok_or_else(not_ours)?;
    let mut stat = MaybeUninit::<libc::stat64>::zeroed();
    // SAFETY: `stat` is writable memory of the right size, the descriptor is open as long as `file` lives.
    if unsafe { libc::fstat64(fd, stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, and filled by the successful call.
    Ok(unsafe { stat.assume_init() }.st_size as u64)
}

pub(super) fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_dir = metadata.is_dir();
        let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        entries.push(DirEntry { name, is_dir, len: if is_dir { 0 } else { metadata.len() }, modified });
    }
    entries.sort();
    Ok(entries)
}

pub(super) fn space(path: &Path) -> io::Result<Space> {
    let path = c_path(path)?;
    let mut stat = MaybeUninit::<libc::statvfs64>::zeroed();
    // SAFETY: `path` ends in a zero byte, `stat` is writable memory of the right size.
    if unsafe { libc::statvfs64(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, and filled by the successful call.
    let stat = unsafe { stat.assume_init() };
    Ok(Space { total: stat.f_blocks * stat.f_frsize, available: stat.f_bavail * stat.f_frsize })
}

/// `path` as the kernel wants it.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a path holds a zero byte"))
}

pub(super) fn not_ours() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the file belongs to another kind of disk")
}
