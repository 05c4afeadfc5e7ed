//! What the host must offer, looked at before anything is started: each shortcoming is one line that says what to do.

mod storage;

use std::io;

use slipring_storage::disk::UringDisk;

pub use self::storage::describe_storage;

/// glommio starts no executor below this limit of lockable memory, whatever the privileges (GLOMMIO 3.6).
const MEMLOCK_MIN: u64 = 512 << 10;
/// Lockable memory that a shard takes: three rings of glommio's with their buffers, and the storage engine's. Measured on
/// Linux 6.18, which charges rings to this limit again; it counts all processes of a user.
const MEMLOCK_PER_SHARD: u64 = 576 << 10;
/// Lets a process lock memory without a limit.
const CAP_IPC_LOCK: u32 = 14;
/// Descriptors that a broker without connections and segments has open: listeners, locks, its threads' files.
const OPEN_FILES_MIN: u64 = 128;
/// The same for a shard: its rings, event descriptors and journals.
const OPEN_FILES_PER_SHARD: u64 = 32;
/// Below this many descriptors, connections and segments soon run into the limit.
const OPEN_FILES_RECOMMENDED: u64 = 65_536;

/// A host that can't run the broker.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No usable io_uring.
    #[error("{0}")]
    Ring(#[from] slipring_storage::disk::DiskError),
    /// Too little lockable memory.
    #[error(
        "only {have} bytes may be locked (ulimit -l) and {need} are needed for {shards} cores: raise the limit \
         (LimitMEMLOCK=infinity in the systemd unit, --ulimit memlock=-1 for a container) or use fewer --cores"
    )]
    Memlock {
        /// The limit.
        have: u64,
        /// What the shards need.
        need: u64,
        /// How many shards.
        shards: u16,
    },
    /// Too few descriptors.
    #[error(
        "only {have} files may be open (ulimit -n) and {need} are needed for {shards} cores: raise the limit \
         (LimitNOFILE=1048576 in the systemd unit, --ulimit nofile=1048576 for a container)"
    )]
    OpenFiles {
        /// The limit.
        have: u64,
        /// What the broker needs.
        need: u64,
        /// How many shards.
        shards: u16,
    },
    /// The processors that this process may use can't be read.
    #[error("the set of usable processors can't be read: {0}")]
    Processors(io::Error),
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    /// Processors that this process may use, a container's CPU set respected.
    pub processors: Vec<usize>,
    /// Limit of open files, raised as far as allowed.
    pub open_files: u64,
}

impl Host {
    /// Client connections that may be open at the same time. They leave enough descriptors for the rest: a segment or a
    /// checkpoint that can't be opened would cost a partition, a connection only costs its client.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        usize::try_from(self.open_files / 8 * 5).unwrap_or(usize::MAX)
    }

    /// Descriptors of segments that may be open at the same time, over all shards.
    #[must_use]
    pub const fn segment_files_max(&self) -> u64 {
        self.open_files / 4
    }
}

/// Looks at the host, and raises the soft limits to the hard ones.
///
/// # Errors
/// When the broker can't run here.
pub fn probe(shards: Option<u16>) -> Result<Host, ProbeError> {
    // The ring first: without it nothing else matters, and glommio would panic instead of saying why.
    drop(UringDisk::new(8)?);
    let processors = usable_processors().map_err(ProbeError::Processors)?;
    let shards = shards.unwrap_or_else(|| u16::try_from(processors.len()).unwrap_or(u16::MAX));
    check_memlock(shards)?;
    let open_files = check_open_files(shards)?;
    let host = Host { processors, open_files };
    if open_files < OPEN_FILES_RECOMMENDED {
        tracing::warn!(
            open_files,
            connections_max = host.connections_max(),
            "few files may be open (ulimit -n), which bounds connections and open segments; {OPEN_FILES_RECOMMENDED} or \
             more is advised"
        );
    }
    Ok(host)
}

fn check_memlock(shards: u16) -> Result<(), ProbeError> {
    let rings = if has_capability(CAP_IPC_LOCK) { 0 } else { MEMLOCK_PER_SHARD * u64::from(shards) };
    let need = rings.max(MEMLOCK_MIN);
    let have = raise_limit(libc::RLIMIT_MEMLOCK, need);
    if have < need { Err(ProbeError::Memlock { have, need, shards }) } else { Ok(()) }
}

fn check_open_files(shards: u16) -> Result<u64, ProbeError> {
    let need = OPEN_FILES_MIN + OPEN_FILES_PER_SHARD * u64::from(shards);
    let have = raise_limit(libc::RLIMIT_NOFILE, need);
    if have < need { Err(ProbeError::OpenFiles { have, need, shards }) } else { Ok(have) }
}

/// Whether this process has a capability, such as a root that a container has not stripped of it.
fn has_capability(number: u32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set >> number & 1 == 1)
}

/// Which processor each shard is pinned to; none are pinned when there are more shards than processors.
#[must_use]
pub fn placement(host: &Host, shards: u16) -> Vec<Option<usize>> {
    if usize::from(shards) > host.processors.len() {
        tracing::warn!(
            cores = shards,
            usable = host.processors.len(),
            "more cores asked for than this process may use (container CPU set or affinity): its shards share them, unpinned"
        );
        return vec![None; usize::from(shards)];
    }
    host.processors.iter().copied().map(Some).take(usize::from(shards)).collect()
}

/// Memory that this process may use: the machine's, or its control group's limit where that is less.
#[must_use]
pub fn memory_bytes() -> u64 {
    // SAFETY: sysconf has no preconditions.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let machine = u64::try_from(pages).unwrap_or(0) * u64::try_from(page).unwrap_or(0);
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit =
        limits.iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()).min();
    limit.map_or(machine, |limit| limit.min(machine))
}

/// From the affinity mask, not from /sys: in a container, /sys lists processors that it may not use.
fn usable_processors() -> io::Result<Vec<usize>> {
    // SAFETY: all zero is an empty CPU set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills in at most the size given.
    let outcome = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    let bits = 8 * size_of::<libc::cpu_set_t>();
    // SAFETY: `cpu` is below the number of bits in the set.
    Ok((0..bits).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Raises a soft limit to its hard one, and the hard one to `need` where that is allowed; returns what holds.
fn raise_limit(resource: libc::__rlimit_resource_t, need: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills in the struct.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } != 0 {
        return u64::MAX;
    }
    for wanted in [limit.rlim_max.max(need), limit.rlim_max] {
        if wanted <= limit.rlim_cur {
            break;
        }
        let raised = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
        // SAFETY: the struct is read only.
        if unsafe { libc::setrlimit(resource, &raw const raised) } == 0 {
            return wanted;
        }
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_beyond_the_processors_are_not_pinned() {
        let host = Host { processors: vec![2, 5], open_files: 1024 };
        assert_eq!(placement(&host, 1), [Some(2)]);
        assert_eq!(placement(&host, 2), [Some(2), Some(5)]);
        assert_eq!(placement(&host, 3), [None; 3]);
    }
}
