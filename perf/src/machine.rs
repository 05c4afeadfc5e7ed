//! What of the machine bears on the figures: processor, memory, kernel, file system, and the device's write cache.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use serde::{Deserialize, Serialize};

/// The machine as a row names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// Name of the processor.
    pub(crate) processor: String,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    /// Memory in MB.
    pub(crate) memory_mb: u64,
    /// File system that holds the data, and its options.
    pub(crate) file_system: String,
    /// Write cache of its device: `write back` or `write through`.
    pub(crate) write_cache: String,
    /// Whether the device has forced unit access: 1 or 0.
    pub(crate) fua: String,
    /// `shmem_enabled` of transparent huge pages.
    pub(crate) shmem_huge_pages: String,
}

impl Machine {
    /// Looks; what cannot be found out is empty.
    pub(crate) fn of(directory: &Path) -> Self {
        let read =
            |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
        let memory_kb = field(&read("/proc/meminfo"), "MemTotal:").trim_end_matches("kB").trim().parse();
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            processor: field(&read("/proc/cpuinfo"), "model name")
                .trim_start_matches([':', ' ', '\t'])
                .to_owned(),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory_mb: memory_kb.unwrap_or(0_u64) * 1024 / 1_000_000,
            file_system: file_system(&read("/proc/mounts"), &directory.canonicalize().unwrap_or_default()),
            write_cache: queue(directory, "write_cache"),
            fua: queue(directory, "fua"),
            shmem_huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/shmem_enabled")),
        }
    }

    /// One line to put under a table.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} cores ({}), {} GB, Linux {}, {}, write cache: {}, FUA: {}, shmem huge pages: {}",
            self.cores,
            self.processor,
            self.memory_mb / 1000,
            self.kernel,
            self.file_system,
            self.write_cache,
            self.fua,
            self.shmem_huge_pages
        )
    }
}

/// Bytes that may still be written where a directory lies.
///
/// # Errors
/// Of the file system.
pub(crate) fn available_bytes(directory: &Path) -> io::Result<u64> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    let mut space = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in zero; the kernel fills the structure when it reports success.
    let space = unsafe {
        if libc::statvfs(path.as_ptr(), space.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        space.assume_init()
    };
    Ok(space.f_bavail * space.f_frsize)
}

/// Waits until nothing is left to write back, so that one run's data is not written in the next one's time.
pub(crate) fn settle() {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::sync() }
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

/// Type and options of the mount that holds a path: the longest one that is a prefix of it.
fn file_system(mounts: &str, path: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(point, ..)| path.starts_with(point));
    holding
        .max_by_key(|(point, ..)| point.len())
        .map(|(_, kind, options)| format!("{kind} ({options})"))
        .unwrap_or_default()
}

/// A property of the queue of the device that holds a directory; a partition's stands with its disk.
fn queue(directory: &Path, property: &str) -> String {
    let Ok(metadata) = fs::metadata(directory) else { return String::new() };
    let (major, minor) = (libc::major(metadata.dev()), libc::minor(metadata.dev()));
    let device = format!("/sys/dev/block/{major}:{minor}");
    let read = |path: String| fs::read_to_string(path).map(|text| text.trim().to_owned());
    read(format!("{device}/queue/{property}"))
        .or_else(|_| read(format!("{device}/../queue/{property}")))
        .unwrap_or_default()
}

/// The word in brackets, which is the one in force.
fn chosen(words: &str) -> String {
    let inside = words.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(words, |(word, _)| word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel() {
        assert_eq!(field("a: 1\nMemTotal:   77 kB\n", "MemTotal:"), "77 kB");
        assert_eq!(field("a: 1", "b"), "");
        assert_eq!(chosen("always within_size [advise] never"), "advise");
        assert_eq!(chosen(""), "");
        let mounts = "/dev/a / ext4 rw 0 0\ntmp /var tmpfs rw,size=1 0 0\nx /variant xfs ro 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/var/data")), "tmpfs (rw,size=1)");
        assert_eq!(file_system(mounts, Path::new("/srv")), "ext4 (rw)");
    }

    #[test]
    fn this_machine() {
        let machine = Machine::of(Path::new("."));
        assert!(machine.cores > 0 && machine.memory_mb > 0 && !machine.kernel.is_empty());
        assert!(available_bytes(Path::new(".")).unwrap() > 0);
    }
}
