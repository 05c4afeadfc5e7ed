//! The lock on a data directory: a POSIX record lock over the whole of `.lock`, which is what Java's
//! `FileChannel.tryLock` takes, so that Kafka and Slipring keep each other out. Held until it is dropped.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::layout;

/// Who keeps a directory locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Another process.
    Process {
        /// Its id.
        pid: i32,
        /// Its name, when /proc tells.
        name: Option<String>,
    },
    /// A process that cannot be seen from here (another container).
    Unseen,
    /// This very process: the directory is named twice.
    ThisProcess,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name: Some(name) } => write!(f, "process {pid} ({name})"),
            Self::Process { pid, name: None } => write!(f, "process {pid}"),
            Self::Unseen => f.write_str("a process of another container or host"),
            Self::ThisProcess => f.write_str("this broker already, which names it twice"),
        }
    }
}

pub(super) enum LockFailure {
    Held(Holder),
    Io(io::Error),
}

impl From<io::Error> for LockFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Device and inode of a directory.
type Identity = (u64, u64);

/// Directories this process holds. A record lock never keeps its own process out, and closing any descriptor of the file
/// lets it go, so a second open of the same directory must be noticed before the file is opened.
static HELD: Mutex<BTreeSet<Identity>> = Mutex::new(BTreeSet::new());

#[derive(Debug)]
pub(super) struct DirectoryLock {
    directory: Identity,
    /// Taken out only by the drop.
    file: Option<File>,
}

impl DirectoryLock {
    /// Takes the lock without waiting.
    pub(super) fn take(path: &Path) -> Result<Self, LockFailure> {
        let metadata = fs::metadata(path)?;
        let directory = (metadata.dev(), metadata.ino());
        let mut held = held();
        if held.contains(&directory) {
            return Err(LockFailure::Held(Holder::ThisProcess));
        }
        let mut options = fs::OpenOptions::new();
        let file =
            options.read(true).write(true).create(true).truncate(false).open(path.join(layout::LOCK))?;
        lock(&file, libc::F_WRLCK)?;
        held.insert(directory);
        Ok(Self { directory, file: Some(file) })
    }

    /// Keeps brokers out without writing anything: a shared lock, which several readers may hold. `None` where there is no
    /// lock file, hence no broker.
    pub(super) fn share(path: &Path) -> Result<Option<Self>, LockFailure> {
        let metadata = fs::metadata(path)?;
        let directory = (metadata.dev(), metadata.ino());
        let mut held = held();
        if held.contains(&directory) {
            return Err(LockFailure::Held(Holder::ThisProcess));
        }
        let file = match File::open(path.join(layout::LOCK)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        lock(&file, libc::F_RDLCK)?;
        held.insert(directory);
        Ok(Some(Self { directory, file: Some(file) }))
    }
}

/// Takes a record lock of this kind, without waiting.
fn lock(file: &File, kind: libc::c_int) -> Result<(), LockFailure> {
    let mut request = libc::flock { l_type: kind as libc::c_short, ..whole_file_lock() };
    match fcntl(file, libc::F_SETLK, &mut request) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Err(LockFailure::Held(holder(file)))
        }
        Err(error) => Err(error.into()),
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing lets the lock go. It must happen before anyone else here may open the file: a close that came later
        // would take their lock away.
        let mut held = held();
        drop(self.file.take());
        held.remove(&self.directory);
    }
}

fn held() -> MutexGuard<'static, BTreeSet<Identity>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn whole_file_lock() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn fcntl(file: &File, command: libc::c_int, request: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and the kernel only reads and writes the one
    // `flock` that the exclusive borrow covers.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn holder(file: &File) -> Holder {
    let mut request = whole_file_lock();
    match fcntl(file, libc::F_GETLK, &mut request) {
        Ok(()) if request.l_pid > 0 => {
            Holder::Process { pid: request.l_pid, name: process_name(request.l_pid) }
        }
        _ => Holder::Unseen,
    }
}

fn process_name(pid: i32) -> Option<String> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if arguments.split(|byte| *byte == 0).any(|argument| argument == b"kafka.Kafka") {
        return Some("Apache Kafka".to_owned());
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

/// Effective user id, for messages.
pub(super) fn effective_user() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}
