//! Why a configuration is refused, and what is worth a line in the log about an accepted one. Every message names the
//! key, its value, where it was set and what would be allowed. Pure, for any core.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::value::InvalidValue;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a configuration file, from 1.
    File {
        /// The file as it was named.
        path: Arc<Path>,
        /// The line.
        line: usize,
    },
    /// `--set`.
    Set,
    /// Another option of the command line, such as `--listen`.
    Flag(&'static str),
    /// Changed while the broker runs.
    Dynamic,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Set => f.write_str("--set"),
            Self::Flag(name) => f.write_str(name),
            Self::Dynamic => f.write_str("dynamic config"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why the broker does not start with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of the file is not a property.
    #[error("{}:{line}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A value that the broker does not start with.
    #[error(transparent)]
    Value(Box<BadValue>),
}

/// A value that the broker does not start with, and where it was set.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {fault}")]
pub struct BadValue {
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It does not fit its key.
    #[error("{invalid} (allowed: {allowed})")]
    Invalid {
        /// Key, value and what is wrong.
        invalid: InvalidValue,
        /// What the key takes.
        allowed: String,
    },
    /// Kafka takes it and Slipring does not.
    #[error("{key}={value} is not supported. {why}")]
    Unsupported {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// Why, and what to do.
        why: String,
    },
    /// It is wrong together with others, or in a grammar of its own.
    #[error("{key}={value}: {problem}")]
    Unusable {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl ConfigError {
    pub(super) fn invalid(origin: Origin, invalid: InvalidValue, allowed: String) -> Self {
        Self::Value(Box::new(BadValue { origin, fault: Fault::Invalid { invalid, allowed } }))
    }

    pub(super) fn unsupported(origin: Origin, key: &str, value: String, why: String) -> Self {
        let fault = Fault::Unsupported { key: key.to_owned(), value, why };
        Self::Value(Box::new(BadValue { origin, fault }))
    }

    pub(super) fn unusable(origin: Origin, key: &str, value: String, problem: String) -> Self {
        let fault = Fault::Unusable { key: key.to_owned(), value, problem };
        Self::Value(Box::new(BadValue { origin, fault }))
    }
}

/// Something to say about a configuration that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Nobody knows the key; it is ignored.
    UnknownKey {
        /// Where it was set.
        origin: Origin,
        /// The key.
        key: String,
        /// What may have been meant.
        hint: Option<Hint>,
    },
    /// The key is set twice in the file; the later line wins.
    Repeated {
        /// The line that is overridden.
        origin: Origin,
        /// The key.
        key: String,
    },
    /// The value is accepted but does nothing.
    NoEffect {
        /// Where it was set.
        origin: Origin,
        /// The key.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// A listener of the controller is not opened, since the controller is this process.
    ControllerListener {
        /// Where listeners were set.
        origin: Origin,
        /// The listener, as written.
        listener: String,
    },
    /// The file's `advertised.listeners` does not count, since `--listen` replaced the listeners it belongs to.
    AdvertisedDropped {
        /// Where it was set.
        origin: Origin,
    },
}

/// What an unknown key may have been meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A key that is spelled nearly so.
    Nearest(&'static str),
    /// A topic's key; this one sets it for the whole broker.
    OfTopic(&'static str),
    /// Kafka 4 dropped it.
    Removed,
}

impl Warning {
    /// Whether it merely informs: stock configurations set such keys.
    #[must_use]
    pub const fn is_info(&self) -> bool {
        match self {
            Self::NoEffect { .. } | Self::ControllerListener { .. } => true,
            Self::UnknownKey { .. } | Self::Repeated { .. } | Self::AdvertisedDropped { .. } => false,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { origin, key, hint } => {
                write!(f, "{origin}: unknown key {key} is ignored")?;
                match hint {
                    None => Ok(()),
                    Some(Hint::Nearest(name)) => write!(f, "; did you mean {name}?"),
                    Some(Hint::OfTopic(name)) => write!(f, "; it is a topic's key, the broker's is {name}"),
                    Some(Hint::Removed) => f.write_str("; Kafka 4 has it no more"),
                }
            }
            Self::Repeated { origin, key } => {
                write!(f, "{origin}: {key} is set again further down, and that value counts")
            }
            Self::NoEffect { origin, key, why } => write!(f, "{origin}: {key} has no effect. {why}"),
            Self::ControllerListener { origin, listener } => write!(
                f,
                "{origin}: listener {listener} is accepted and not opened: the controller is this process"
            ),
            Self::AdvertisedDropped { origin } => write!(
                f,
                "{origin}: advertised.listeners is ignored because --listen replaces the listeners; \
                 repeat it by --set if it is still right"
            ),
        }
    }
}
