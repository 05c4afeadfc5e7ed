//! The broker's configuration: one declaration table (`table`) from which parsing, validation, DescribeConfigs, warnings
//! and the reference page follow. Read at start, then immutable and shared by all cores. Opens no socket, no log, no
//! directory: it reads the configuration file and nothing else.

pub mod broker;
mod checks;
pub mod describe;
pub mod docs;
pub mod dynamic;
pub mod error;
pub mod internal_topic;
pub mod key;
pub mod listeners;
mod load;
pub mod properties;
pub mod rules;
pub mod suggest;
pub mod table;
pub mod topic;
pub mod value;
pub mod values;

pub use broker::BrokerConfig;
pub use error::{ConfigError, Warning};
pub use internal_topic::InternalTopic;
pub use load::Overrides;
pub use topic::{Durability, TopicOverrides, TopicSettings};
