//! What can go wrong in a run. Every failure ends the run: a figure over failed requests is no figure.

use std::io;

use slipring_protocol::error_code::ErrorCode;

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PerfError {
    /// The machine or a connection failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The broker answered with an error code.
    #[error("{doing}: the broker answers {error:?} ({}): {}", error.code(), error.message())]
    Broker {
        /// What was being done.
        doing: String,
        /// The code.
        error: ErrorCode,
    },
    /// The broker's answers contradict each other or what was sent.
    #[error("wrong answer: {0}")]
    Wrong(String),
    /// The broker stopped answering.
    #[error("no answer for {0} s")]
    Stalled(u64),
    /// The workload makes no sense, or the machine lacks something.
    #[error("{0}")]
    Unfit(String),
}

/// Names what was being done when an I/O error came.
pub(crate) trait Doing<T> {
    /// Turns the error into a [`PerfError`].
    fn doing(self, what: &str) -> Result<T, PerfError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &str) -> Result<T, PerfError> {
        self.map_err(|source| PerfError::Io { doing: what.to_owned(), source })
    }
}

/// Turns a code other than `None` into an error.
pub(crate) fn check_code(code: i16, doing: &str) -> Result<(), PerfError> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        error => Err(PerfError::Broker { doing: doing.to_owned(), error }),
    }
}
