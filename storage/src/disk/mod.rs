//! All of storage's input and output. One `Disk` per core, never shared between threads; the files it opens may be.
//! Every operation owns its buffers until the kernel is done, also when its future is dropped. Knows nothing of
//! logs, and of no runtime: whoever runs the core waits for [`UringDisk::event_fd`] and calls [`UringDisk::reap`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipring_protocol::ids::TimestampMs;

mod block_on;
mod buf;
mod error;
mod file;
pub(crate) mod memory;
mod os;
mod request;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
#[cfg(test)]
mod tests;
mod uring;

pub use block_on::block_on;
pub use buf::{AlignedBuf, BufPool, IoPart};
pub use error::DiskError;
pub use file::DiskFile;
pub use memory::{BLOCK_BYTES, round_down_to_block, round_up_to_block};
#[cfg(any(test, feature = "sim"))]
pub use sim::SimDisk;
pub use uring::UringDisk;

use request::{Answer, Outcome, Request};

/// The one seam to the disk.
#[derive(Clone)]
pub enum Disk {
    /// The kernel, through an io_uring of this core's own.
    Uring(UringDisk),
    /// The simulated disk.
    #[cfg(any(test, feature = "sim"))]
    Sim(SimDisk),
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the file system has taken it; a later [`Disk::sync`] makes it durable.
    Volatile,
    /// When it is on stable storage (RWF_DSYNC). Covers this write and the metadata needed to read it back, and
    /// nothing else: no other write, no other file, no directory entry.
    Durable,
}

/// How a file is opened; always readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Also for writing.
    pub write: bool,
    /// Create it when it is missing. The directory entry is durable only after [`Disk::sync_dir`].
    pub create: bool,
    /// Bypass the page cache where the file system can; [`DiskFile::is_direct`] tells.
    pub direct: bool,
}

/// Whether a directory's file system does direct I/O in blocks of 4096 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectIo {
    /// It does.
    Yes,
    /// It does not; files there are opened buffered.
    No,
}

/// One entry of [`Disk::list`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// File name without the directory. Names that are not UTF-8 are left out of a listing.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Size in bytes; 0 for directories.
    pub len: u64,
    /// When it was last written to; on the simulated disk always 0.
    pub modified: TimestampMs,
}

/// Space of a file system in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system.
    pub total: u64,
    /// What this process may still use.
    pub available: u64,
}

/// One of the writes of [`Disk::write_many`].
pub struct WriteRequest {
    /// Where to.
    pub file: DiskFile,
    /// First byte in the file.
    pub offset: u64,
    /// The bytes, gathered in order.
    pub parts: Vec<IoPart>,
    /// When it counts as done.
    pub durability: Durability,
}

/// What became of a write, and its buffers.
pub type Written = (io::Result<()>, Vec<IoPart>);

impl Disk {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of open(2), e.g. `NotFound`. A file system that refuses direct I/O is no error: the file is then
    /// opened buffered.
    pub async fn open(&self, path: &Path, options: OpenOptions) -> io::Result<DiskFile> {
        match self.call(Request::Open { path: path.to_path_buf(), options }).await.0? {
            Outcome::Opened(file) => Ok(file),
            Outcome::Done | Outcome::Bytes(_) => unreachable!("an open answers with its file"),
        }
    }

    /// Writes all parts one behind the other from `offset`: whole, or an error (then any part of it may be
    /// written). For a direct file the offset and each part's address and length must be multiples of 4096.
    ///
    /// # Errors
    /// Those of pwritev2(2); `InvalidInput` for parts that are not aligned; EBADF for a file opened for reading.
    pub async fn write(
        &self,
        file: &DiskFile,
        offset: u64,
        parts: Vec<IoPart>,
        durability: Durability,
    ) -> Written {
        written(self.call(Request::Write { file: file.clone(), offset, parts, durability }).await)
    }

    /// Issues all writes in one go (one system call) and waits for all; answers in the order of `writes`. They run
    /// at the same time, in no order.
    pub async fn write_many(&self, writes: Vec<WriteRequest>) -> Vec<Written> {
        let requests = writes
            .into_iter()
            .map(|write| {
                let WriteRequest { file, offset, parts, durability } = write;
                Request::Write { file, offset, parts, durability }
            })
            .collect();
        self.call_many(requests).await.into_iter().map(written).collect()
    }

    /// Reads `buf.len()` bytes at `offset`, fewer only at the end of the file. The buffer comes back with exactly
    /// the bytes that were read; its length is 0 after an error. For a direct file the offset and the length must
    /// be multiples of 4096.
    ///
    /// # Errors
    /// Those of pread(2); `InvalidInput` when not aligned.
    pub async fn read(
        &self,
        file: &DiskFile,
        offset: u64,
        buf: AlignedBuf,
    ) -> (io::Result<usize>, AlignedBuf) {
        let (result, request) = self.call(Request::Read { file: file.clone(), offset, buf }).await;
        let Request::Read { mut buf, .. } = request else { unreachable!("a read comes back as a read") };
        let result = result.map(|outcome| match outcome {
            Outcome::Bytes(bytes) => bytes,
            Outcome::Done | Outcome::Opened(_) => unreachable!("a read answers with its bytes"),
        });
        buf.truncate(*result.as_ref().unwrap_or(&0));
        (result, buf)
    }

    /// Makes the file's data and size durable (fdatasync), not its directory entry.
    ///
    /// # Errors
    /// Those of fdatasync(2). After one, data written before may be lost although a later sync succeeds.
    pub async fn sync(&self, file: &DiskFile) -> io::Result<()> {
        self.call(Request::Sync { file: file.clone() }).await.0.map(drop)
    }

    /// Syncs all files at the same time and waits for all; answers in the order of `files`. Costs little more than
    /// one sync where the file system commits them together.
    pub async fn sync_many(&self, files: &[DiskFile]) -> Vec<io::Result<()>> {
        let requests = files.iter().map(|file| Request::Sync { file: file.clone() }).collect();
        self.call_many(requests).await.into_iter().map(|(result, _)| result.map(drop)).collect()
    }

    /// Reserves blocks for `len` bytes at `offset`; the file's size grows to their end, new bytes read as zero. Where
    /// the file system cannot reserve, only the size grows.
    ///
    /// # Errors
    /// Those of fallocate(2), e.g. ENOSPC.
    pub async fn allocate(&self, file: &DiskFile, offset: u64, len: u64) -> io::Result<()> {
        match self.call(Request::Allocate { file: file.clone(), offset, len }).await.0 {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                if self.len(file)? < offset + len { self.truncate(file, offset + len).await } else { Ok(()) }
            }
            result => result.map(drop),
        }
    }

    /// Sets the file's size to `len` bytes; durable only after a sync.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    pub async fn truncate(&self, file: &DiskFile, len: u64) -> io::Result<()> {
        self.call(Request::Truncate { file: file.clone(), len }).await.0.map(drop)
    }

    /// The file's size in bytes, by its descriptor. Does not wait.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn len(&self, file: &DiskFile) -> io::Result<u64> {
        match self {
            Disk::Uring(_) => os::len(file),
            #[cfg(any(test, feature = "sim"))]
            Disk::Sim(disk) => disk.len(file),
        }
    }

    /// Creates one directory; its parent must exist.
    ///
    /// # Errors
    /// Those of mkdir(2), e.g. `AlreadyExists`.
    pub async fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.call(Request::CreateDir { path: path.to_path_buf() }).await.0.map(drop)
    }

    /// Removes a file's name. Drop its [`DiskFile`]s first: the last of them to go frees the blocks, on its core.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(Request::RemoveFile { path: path.to_path_buf() }).await.0.map(drop)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of rmdir(2).
    pub async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call(Request::RemoveDir { path: path.to_path_buf() }).await.0.map(drop)
    }

    /// Renames a file or directory, replacing what `to` names. Durable once both parents are synced.
    ///
    /// # Errors
    /// Those of rename(2).
    pub async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let request = Request::Rename { from: from.to_path_buf(), to: to.to_path_buf() };
        self.call(request).await.0.map(drop)
    }

    /// Makes the directory's entries durable: what was created, renamed or removed in it.
    ///
    /// # Errors
    /// Those of open(2) and fsync(2).
    pub async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(Request::SyncDir { path: path.to_path_buf() }).await.0.map(drop)
    }

    /// Entries of a directory, sorted by name. Blocks the core: for start-up only.
    ///
    /// # Errors
    /// Those of opendir(3).
    pub fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        match self {
            Disk::Uring(_) => os::list(path),
            #[cfg(any(test, feature = "sim"))]
            Disk::Sim(disk) => disk.list(path),
        }
    }

    /// The whole of a small file.
    ///
    /// # Errors
    /// Those of open and read.
    pub async fn read_whole(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenOptions::default()).await?;
        let mut bytes = Vec::new();
        loop {
            let missing = self.len(&file)?.saturating_sub(bytes.len() as u64).max(1);
            let len = missing.min(READ_WHOLE_STEP_BYTES) as usize;
            let (result, buf) = self.read(&file, bytes.len() as u64, AlignedBuf::zeroed(len)).await;
            if result? == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&buf);
        }
    }

    /// Puts `bytes` in place of the file's contents, atomically and durably: a temporary file beside it (its name
    /// with `.tmp` behind), synced, renamed over it, and the directory synced.
    ///
    /// # Errors
    /// Those of the steps; the old contents are then still there or the new ones already are.
    pub async fn replace_whole(&self, path: &Path, bytes: Vec<u8>) -> io::Result<()> {
        let temporary = temporary_name(path);
        let file = self.open(&temporary, OpenOptions { write: true, create: true, direct: false }).await?;
        self.truncate(&file, 0).await?;
        self.write(&file, 0, vec![AlignedBuf::copy_of(&bytes).into()], Durability::Volatile).await.0?;
        self.sync(&file).await?;
        drop(file);
        self.rename(&temporary, path).await?;
        self.sync_dir(parent(path)).await
    }

    /// Size of the file system that holds `path`, and what of it is free.
    ///
    /// # Errors
    /// Those of statvfs(3).
    pub fn space(&self, path: &Path) -> io::Result<Space> {
        match self {
            Disk::Uring(_) => os::space(path),
            #[cfg(any(test, feature = "sim"))]
            Disk::Sim(disk) => disk.space(path),
        }
    }

    /// Tries direct I/O in `directory` with a real file, which is removed again. After a `No` this disk opens files
    /// below that directory buffered. Call it once per data directory before opening logs.
    ///
    /// # Errors
    /// Anything but a refusal of direct I/O, e.g. a directory that cannot be written.
    pub async fn direct_io(&self, directory: &Path) -> io::Result<DirectIo> {
        let path = directory.join(DIRECT_PROBE_NAME);
        let file = self.open(&path, OpenOptions { write: true, create: true, direct: true }).await?;
        let answer = self.try_direct(&file).await;
        drop(file);
        self.remove_file(&path).await?;
        if let (Ok(DirectIo::No), Disk::Uring(disk)) = (&answer, self) {
            disk.forbid_direct_below(directory);
        }
        answer
    }

    /// Sleeps until the kernel has completed something or `timeout` has passed; [`Disk::reap`] then takes it in. Does nothing
    /// on a simulated disk.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Disk::Uring(disk) => disk.wait(timeout),
            #[cfg(any(test, feature = "sim"))]
            Disk::Sim(_) => Ok(()),
        }
    }

    /// Takes in what the kernel has completed and wakes who waits for it, as the ring's event would a little later. Never
    /// blocks; does nothing on a simulated disk.
    pub fn reap(&self) {
        match self {
            Disk::Uring(disk) => disk.reap(),
            #[cfg(any(test, feature = "sim"))]
            Disk::Sim(_) => {}
        }
    }

    /// Operations issued and not completed, those of dropped futures included.
    pub fn in_flight(&self) -> usize {
        match self {
            Disk::Uring(disk) => disk.in_flight(),
            #[cfg(any(test, feature = "sim"))]
            Disk::Sim(disk) => disk.in_flight(),
        }
    }

    async fn try_direct(&self, file: &DiskFile) -> io::Result<DirectIo> {
        if !file.is_direct() {
            return Ok(DirectIo::No);
        }
        let block = AlignedBuf::copy_of(&[0x5a; BLOCK_BYTES]);
        let (written, _) = self.write(file, 0, vec![block.into()], Durability::Durable).await;
        let (read, buf) = match written {
            Ok(()) => self.read(file, 0, AlignedBuf::zeroed(BLOCK_BYTES)).await,
            Err(error) => (Err(error), AlignedBuf::zeroed(0)),
        };
        match read {
            Ok(BLOCK_BYTES) if buf.iter().all(|byte| *byte == 0x5a) => Ok(DirectIo::Yes),
            Ok(_) => Ok(DirectIo::No),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
                Ok(DirectIo::No)
            }
            Err(error) => Err(error),
        }
    }

    async fn call_many(&self, requests: Vec<Request>) -> Vec<Answer> {
        match self {
            Disk::Uring(disk) => disk.call_many(requests).await,
            #[cfg(any(test, feature = "sim"))]
            Disk::Sim(disk) => disk.call_many(requests).await,
        }
    }

    async fn call(&self, request: Request) -> Answer {
        match self {
            Disk::Uring(disk) => disk.call(request).await,
            #[cfg(any(test, feature = "sim"))]
            Disk::Sim(disk) => disk.call(request).await,
        }
    }
}

fn written((result, request): Answer) -> Written {
    let Request::Write { parts, .. } = request else { unreachable!("a write comes back as a write") };
    (result.map(drop), parts)
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".tmp");
    PathBuf::from(name)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

const READ_WHOLE_STEP_BYTES: u64 = 1 << 20;
const DIRECT_PROBE_NAME: &str = ".slipring-direct-probe";
