//! Why a core's ring could not be set up, in words that an operator can act on.

use std::io;

/// Why io_uring cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// `io_uring_setup` answered ENOSYS: the kernel has no io_uring, or a sandbox hides it.
    #[error("this kernel offers no io_uring (ENOSYS): Linux 5.8 or newer with CONFIG_IO_URING is needed")]
    RingMissing,
    /// `io_uring_setup` answered EPERM or EACCES.
    #[error("io_uring is forbidden here ({errno}): {reason}")]
    RingForbidden {
        /// EPERM or EACCES.
        errno: &'static str,
        /// What most likely forbids it, and what to change.
        reason: String,
    },
    /// ENOMEM: the rings are charged to the locked-memory limit on kernels before 5.12, or memory is short.
    #[error(
        "not enough locked memory for io_uring (ENOMEM): raise the memlock limit (now {limit_bytes} bytes), e.g. LimitMEMLOCK=infinity in systemd or --ulimit memlock=-1 in containers"
    )]
    MemlockTooSmall {
        /// The soft limit RLIMIT_MEMLOCK in bytes.
        limit_bytes: u64,
    },
    /// EMFILE or ENFILE: no file descriptor is left for the ring or its eventfd.
    #[error("no file descriptor left for io_uring: raise the limit of open files (nofile)")]
    DescriptorsExhausted,
    /// The kernel lacks an operation that the broker cannot do without.
    #[error("this kernel's io_uring lacks {operation}: Linux 5.8 or newer is needed")]
    OperationMissing {
        /// Name of the io_uring operation.
        operation: &'static str,
    },
    /// Anything else.
    #[error("io_uring could not be set up: {0}")]
    Other(#[source] io::Error),
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> io::Error {
        let kind = match &error {
            DiskError::RingMissing | DiskError::OperationMissing { .. } => io::ErrorKind::Unsupported,
            DiskError::RingForbidden { .. } => io::ErrorKind::PermissionDenied,
            DiskError::MemlockTooSmall { .. } => io::ErrorKind::OutOfMemory,
            DiskError::DescriptorsExhausted => io::ErrorKind::Other,
            DiskError::Other(source) => source.kind(),
        };
        io::Error::new(kind, error)
    }
}
