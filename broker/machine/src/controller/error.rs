//! An error as a reply carries it.

use std::fmt;

use slipring_protocol::error_code::ErrorCode;

/// Error code and message of one topic, or of a whole request (Kafka's `ApiError`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The code.
    pub code: ErrorCode,
    /// More than the code says; `None` where Kafka sends none, and clients show the code's own text.
    pub message: Option<String>,
}

impl ApiError {
    /// An error with a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    /// An error that its code says all about.
    #[must_use]
    pub const fn bare(code: ErrorCode) -> Self {
        Self { code, message: None }
    }

    /// The request would write more records than one operation may.
    pub(super) fn too_large() -> Self {
        Self::new(ErrorCode::PolicyViolation, "Unable to perform excessively large batch operation.")
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{:?}: {message}", self.code),
            None => self.code.fmt(f),
        }
    }
}

impl std::error::Error for ApiError {}
