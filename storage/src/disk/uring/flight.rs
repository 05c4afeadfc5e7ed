//! One operation on its way through the kernel: what it owns, the entry it submits next, and what a completion
//! means. Everything that an entry points to lives on the heap and moves only after its completion.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use io_uring::{opcode, squeue, types};

use super::super::file::Handle;
use super::super::memory::{BLOCK_BYTES, round_down_to_block};
use super::super::os::{c_path, not_ours};
use super::super::request::{Outcome, Request};
use super::super::{DiskFile, Durability};

/// An operation and everything the kernel may look at while it runs.
pub(super) struct Flight {
    request: Request,
    /// Bytes written or read so far.
    done: usize,
    /// Windows in a row that brought nothing.
    idle_rounds: u32,
    iovecs: Vec<libc::iovec>,
    paths: Paths,
    directory: Option<OwnedFd>,
    tries_direct: bool,
}

impl Flight {
    /// Readies a request.
    ///
    /// # Errors
    /// A request that must not be issued, e.g. one that is not aligned; it comes back.
    pub(super) fn new(request: Request, direct_allowed: bool) -> Result<Flight, (io::Error, Request)> {
        if let Err(error) = request.check().and_then(|()| belongs_here(&request)) {
            return Err((error, request));
        }
        let paths = match Paths::of(&request) {
            Ok(paths) => paths,
            Err(error) => return Err((error, request)),
        };
        let tries_direct =
            matches!(&request, Request::Open { options, .. } if options.direct) && direct_allowed;
        Ok(Flight {
            request,
            done: 0,
            idle_rounds: 0,
            iovecs: Vec::new(),
            paths,
            directory: None,
            tries_direct,
        })
    }

    pub(super) fn into_request(self) -> Request {
        self.request
    }

    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    /// The outcome of a request that asks nothing of the kernel.
    pub(super) fn done_already(&self) -> Option<Outcome> {
        match &self.request {
            Request::Write { parts, .. } if parts.iter().all(|part| part.is_empty()) => Some(Outcome::Done),
            Request::Read { buf, .. } if buf.is_empty() => Some(Outcome::Bytes(0)),
            _ => None,
        }
    }

    /// The entry to submit now. The kernel may use what it points to until its completion was seen.
    pub(super) fn entry(&mut self) -> squeue::Entry {
        let here = types::Fd(libc::AT_FDCWD);
        let (path, second_path) = self.paths.pointers();
        match &mut self.request {
            Request::Open { options, .. } => {
                let flags = open_flags(options.write, options.create, self.tries_direct);
                opcode::OpenAt::new(here, path).flags(flags).mode(FILE_MODE).build()
            }
            Request::Write { file, offset, parts, durability } => {
                window(parts, self.done, &mut self.iovecs);
                let fd = types::Fd(raw(file));
                let at = *offset + self.done as u64;
                let flags = rw_flags(*durability);
                match self.iovecs.as_slice() {
                    [one] => opcode::Write::new(fd, one.iov_base as *const u8, one.iov_len as u32)
                        .offset(at)
                        .rw_flags(flags)
                        .build(),
                    many => opcode::Writev::new(fd, many.as_ptr(), many.len() as u32)
                        .offset(at)
                        .rw_flags(flags)
                        .build(),
                }
            }
            Request::Read { file, offset, buf } => {
                let fd = types::Fd(raw(file));
                let at = *offset + self.done as u64;
                let rest = &mut buf[self.done..];
                let len = rest.len().min(WINDOW_BYTES_MAX) as u32;
                opcode::Read::new(fd, rest.as_mut_ptr(), len).offset(at).build()
            }
            Request::Sync { file } => {
                opcode::Fsync::new(types::Fd(raw(file))).flags(types::FsyncFlags::DATASYNC).build()
            }
            Request::Allocate { file, offset, len } => {
                opcode::Fallocate::new(types::Fd(raw(file)), *len).offset(*offset).mode(0).build()
            }
            Request::Truncate { file, len } => opcode::Ftruncate::new(types::Fd(raw(file)), *len).build(),
            Request::CreateDir { .. } => opcode::MkDirAt::new(here, path).mode(DIRECTORY_MODE).build(),
            Request::RemoveFile { .. } => opcode::UnlinkAt::new(here, path).build(),
            Request::RemoveDir { .. } => opcode::UnlinkAt::new(here, path).flags(libc::AT_REMOVEDIR).build(),
            Request::Rename { .. } => opcode::RenameAt::new(here, path, here, second_path).build(),
            Request::SyncDir { .. } => match &self.directory {
                None => opcode::OpenAt::new(here, path)
                    .flags(libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
                    .build(),
                Some(fd) => opcode::Fsync::new(types::Fd(fd.as_raw_fd())).build(),
            },
        }
    }

    /// Takes in a completion; `None` means that [`Flight::entry`] is to be submitted again.
    pub(super) fn advance(&mut self, result: i32) -> Option<io::Result<Outcome>> {
        if result < 0 {
            return self.failed(-result);
        }
        match &self.request {
            Request::Open { path, options } => {
                // SAFETY: the kernel just made this descriptor for us; nobody else knows it.
                let fd = unsafe { OwnedFd::from_raw_fd(result) };
                let file = DiskFile::new(Handle::Os(fd), path, self.tries_direct, options.write);
                Some(Ok(Outcome::Opened(file)))
            }
            Request::Write { file, parts, .. } => {
                let total: usize = parts.iter().map(|part| part.len()).sum();
                let before = self.done;
                self.done = self.keep(file.is_direct(), result as usize, total);
                self.stalled(before).or_else(|| (self.done == total).then_some(Ok(Outcome::Done)))
            }
            Request::Read { file, buf, .. } => {
                let total = buf.len();
                self.done += result as usize;
                // A direct read that stops inside a block has met the end of the file.
                let ended = result == 0 || file.is_direct() && !self.done.is_multiple_of(BLOCK_BYTES);
                (ended || self.done == total).then_some(Ok(Outcome::Bytes(self.done)))
            }
            Request::SyncDir { .. } if self.directory.is_none() => {
                // SAFETY: as for an open.
                self.directory = Some(unsafe { OwnedFd::from_raw_fd(result) });
                None
            }
            _ => Some(Ok(Outcome::Done)),
        }
    }

    /// Bytes that count as written after a window of `written` bytes: a direct write goes on at a whole block.
    fn keep(&self, direct: bool, written: usize, total: usize) -> usize {
        let done = self.done + written;
        if direct && done < total { round_down_to_block(done) } else { done }
    }

    fn stalled(&mut self, before: usize) -> Option<io::Result<Outcome>> {
        if self.done > before {
            self.idle_rounds = 0;
            return None;
        }
        self.idle_rounds += 1;
        let error = || io::Error::new(io::ErrorKind::WriteZero, "the file takes no more bytes");
        (self.idle_rounds >= IDLE_ROUNDS_MAX).then(|| Err(error()))
    }

    fn failed(&mut self, errno: i32) -> Option<io::Result<Outcome>> {
        match errno {
            libc::EINTR | libc::EAGAIN if self.idle_rounds < IDLE_ROUNDS_MAX => {
                self.idle_rounds += 1;
                None
            }
            libc::EINVAL if self.tries_direct => {
                self.tries_direct = false;
                None
            }
            errno => Some(Err(io::Error::from_raw_os_error(errno))),
        }
    }
}

/// Runs a request with plain system calls, for operations that an older kernel's io_uring does not know. Blocks.
pub(super) fn run_blocking(flight: &mut Flight) -> io::Result<Outcome> {
    let (path, second_path) = flight.paths.pointers();
    loop {
        // SAFETY: every path ends in a zero byte and outlives its call; descriptors are held by the request.
        let result = unsafe {
            match &flight.request {
                Request::Open { options, .. } => libc::open(
                    path,
                    open_flags(options.write, options.create, flight.tries_direct),
                    FILE_MODE as libc::c_uint,
                ),
                Request::Sync { file } => libc::fdatasync(raw(file)),
                Request::Allocate { file, offset, len } => {
                    libc::fallocate64(raw(file), 0, *offset as i64, *len as i64)
                }
                Request::Truncate { file, len } => libc::ftruncate64(raw(file), *len as i64),
                Request::CreateDir { .. } => libc::mkdir(path, DIRECTORY_MODE),
                Request::RemoveFile { .. } => libc::unlink(path),
                Request::RemoveDir { .. } => libc::rmdir(path),
                Request::Rename { .. } => libc::rename(path, second_path),
                Request::SyncDir { .. } => match &flight.directory {
                    None => libc::open(path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC),
                    Some(fd) => libc::fsync(fd.as_raw_fd()),
                },
                Request::Write { .. } | Request::Read { .. } => {
                    unreachable!("every io_uring writes and reads")
                }
            }
        };
        let result = if result < 0 { -errno() } else { result };
        if let Some(done) = flight.advance(result) {
            return done;
        }
    }
}

/// The number of the io_uring operation that a request needs.
pub(super) fn operation_code(request: &Request) -> u8 {
    match request {
        Request::Open { .. } | Request::SyncDir { .. } => opcode::OpenAt::CODE,
        Request::Write { .. } => opcode::Writev::CODE,
        Request::Read { .. } => opcode::Read::CODE,
        Request::Sync { .. } => opcode::Fsync::CODE,
        Request::Allocate { .. } => opcode::Fallocate::CODE,
        Request::Truncate { .. } => opcode::Ftruncate::CODE,
        Request::CreateDir { .. } => opcode::MkDirAt::CODE,
        Request::RemoveFile { .. } | Request::RemoveDir { .. } => opcode::UnlinkAt::CODE,
        Request::Rename { .. } => opcode::RenameAt::CODE,
    }
}

/// Fills `iovecs` with what comes after the first `done` bytes of `parts`, within one operation's limits.
fn window(parts: &[super::super::IoPart], done: usize, iovecs: &mut Vec<libc::iovec>) {
    iovecs.clear();
    let (mut skip, mut room) = (done, WINDOW_BYTES_MAX);
    for part in parts {
        let bytes: &[u8] = part;
        if skip >= bytes.len() {
            skip -= bytes.len();
            continue;
        }
        let rest = &bytes[skip..];
        skip = 0;
        let rest = &rest[..rest.len().min(room)];
        iovecs.push(libc::iovec { iov_base: ptr::from_ref(rest) as *mut libc::c_void, iov_len: rest.len() });
        room -= rest.len();
        if room == 0 || iovecs.len() == IOVECS_MAX {
            return;
        }
    }
}

/// The paths of a request as the kernel reads them.
#[derive(Default)]
struct Paths {
    first: Option<CString>,
    second: Option<CString>,
}

impl Paths {
    fn of(request: &Request) -> io::Result<Paths> {
        match request {
            Request::Open { path, .. }
            | Request::CreateDir { path }
            | Request::RemoveFile { path }
            | Request::RemoveDir { path }
            | Request::SyncDir { path } => Ok(Paths { first: Some(c_path(path)?), second: None }),
            Request::Rename { from, to } => {
                Ok(Paths { first: Some(c_path(from)?), second: Some(c_path(to)?) })
            }
            Request::Write { .. }
            | Request::Read { .. }
            | Request::Sync { .. }
            | Request::Allocate { .. }
            | Request::Truncate { .. } => Ok(Paths::default()),
        }
    }

    /// Null for those that there are none of.
    fn pointers(&self) -> (*const libc::c_char, *const libc::c_char) {
        let pointer = |path: &Option<CString>| path.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        (pointer(&self.first), pointer(&self.second))
    }
}

fn belongs_here(request: &Request) -> io::Result<()> {
    match request {
        Request::Write { file, .. }
        | Request::Read { file, .. }
        | Request::Sync { file }
        | Request::Allocate { file, .. }
        | Request::Truncate { file, .. } => file.raw_fd().map(drop).ok_or_else(not_ours),
        _ => Ok(()),
    }
}

fn raw(file: &DiskFile) -> RawFd {
    file.raw_fd().expect("checked when the request was taken in")
}

fn open_flags(write: bool, create: bool, direct: bool) -> i32 {
    let mut flags = libc::O_CLOEXEC | if write { libc::O_RDWR } else { libc::O_RDONLY };
    if create {
        flags |= libc::O_CREAT;
    }
    if direct {
        flags |= libc::O_DIRECT;
    }
    flags
}

fn rw_flags(durability: Durability) -> i32 {
    match durability {
        Durability::Volatile => 0,
        Durability::Durable => libc::RWF_DSYNC,
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

const FILE_MODE: libc::mode_t = 0o644;
const DIRECTORY_MODE: libc::mode_t = 0o755;
/// UIO_MAXIOV: what one gathered write may name.
const IOVECS_MAX: usize = 1024;
/// Below the kernel's MAX_RW_COUNT, and whole blocks.
const WINDOW_BYTES_MAX: usize = 1 << 30;
/// Rounds without progress before an operation gives up.
const IDLE_ROUNDS_MAX: u32 = 64;
