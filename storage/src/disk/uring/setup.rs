//! Sets a core's ring up: the flags that fit one thread, the operations that the kernel knows, and clear words for
//! what forbids it.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{IoUring, Probe, opcode};

use super::super::error::DiskError;

/// Which operations this kernel's io_uring knows.
pub(super) struct Supported(Probe);

impl Supported {
    pub(super) fn has(&self, code: u8) -> bool {
        self.0.is_supported(code)
    }
}

/// A ring with a registered eventfd.
pub(super) fn set_up(entries: u32) -> Result<(IoUring, OwnedFd, Supported), DiskError> {
    let ring = build(entries).map_err(explain)?;
    let event_fd = event_fd().map_err(explain)?;
    ring.submitter().register_eventfd(event_fd.as_raw_fd()).map_err(explain)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(explain)?;
    let supported = Supported(probe);
    for (code, operation) in REQUIRED {
        if !supported.has(code) {
            return Err(DiskError::OperationMissing { operation });
        }
    }
    Ok((ring, event_fd, supported))
}

/// The best set of flags that this kernel takes: newest first, then fewer.
///
/// COOP_TASKRUN spares the core an interrupt per completion; completions then come with its next system call, or
/// when `reap` sees TASKRUN_FLAG. Measured (6.18, durable 4-64 KiB writes one at a time, waiting in the ring or on
/// the eventfd): no flags, these, and DEFER_TASKRUN all lie within 2% of each other and of pwritev2(2) itself
/// (p50 100 us, 20 us of CPU). So DEFER_TASKRUN, which would make every `reap` a system call, is left out.
fn build(entries: u32) -> io::Result<IoUring> {
    // Linux 6.0.
    let newest = IoUring::builder()
        .setup_clamp()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_single_issuer()
        .build(entries);
    match newest {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            IoUring::builder().setup_clamp().build(entries)
        }
        other => other,
    }
}

fn event_fd() -> io::Result<OwnedFd> {
    // Blocking on purpose: a ring's read of a non-blocking eventfd answers EAGAIN instead of waiting.
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn explain(error: io::Error) -> DiskError {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => DiskError::RingMissing,
        Some(libc::EPERM) => forbidden("EPERM"),
        Some(libc::EACCES) => forbidden("EACCES"),
        Some(libc::ENOMEM) => DiskError::MemlockTooSmall { limit_bytes: memlock_limit() },
        Some(libc::EMFILE | libc::ENFILE) => DiskError::DescriptorsExhausted,
        _ => DiskError::Other(error),
    }
}

fn forbidden(errno: &'static str) -> DiskError {
    let sysctl = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    DiskError::RingForbidden { errno, reason: forbidden_reason(sysctl.trim()) }
}

fn forbidden_reason(sysctl: &str) -> String {
    match sysctl {
        "2" => "the sysctl kernel.io_uring_disabled is 2; set it to 0".to_owned(),
        "1" => "the sysctl kernel.io_uring_disabled is 1 and this user is not in kernel.io_uring_group; set it to 0 \
                or add the group"
            .to_owned(),
        _ => "a seccomp filter or security module blocks it; containers need a profile that allows io_uring_setup, \
              io_uring_enter and io_uring_register"
            .to_owned(),
    }
}

fn memlock_limit() -> u64 {
    let mut limit = MaybeUninit::<libc::rlimit64>::zeroed();
    // SAFETY: `limit` is writable memory of the right size.
    let result = unsafe { libc::getrlimit64(libc::RLIMIT_MEMLOCK, limit.as_mut_ptr()) };
    // SAFETY: zeroed before, so initialised whatever the call did.
    let limit = unsafe { limit.assume_init() };
    if result == 0 { limit.rlim_cur } else { 0 }
}

const REQUIRED: [(u8, &str); 4] = [
    (opcode::Write::CODE, "IORING_OP_WRITE"),
    (opcode::Writev::CODE, "IORING_OP_WRITEV"),
    (opcode::Read::CODE, "IORING_OP_READ"),
    (opcode::Fsync::CODE, "IORING_OP_FSYNC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_change() {
        let text = |errno| explain(io::Error::from_raw_os_error(errno)).to_string();
        assert!(text(libc::ENOSYS).contains("Linux 5.8"));
        assert!(text(libc::EPERM).contains("forbidden"));
        assert!(text(libc::ENOMEM).contains("memlock"));
        assert!(text(libc::EMFILE).contains("nofile"));
        assert!(forbidden_reason("2").contains("io_uring_disabled is 2"));
        assert!(forbidden_reason("1").contains("io_uring_group"));
        assert!(forbidden_reason("0").contains("seccomp"));
        assert_eq!(io::Error::from(DiskError::RingMissing).kind(), io::ErrorKind::Unsupported);
    }
}
