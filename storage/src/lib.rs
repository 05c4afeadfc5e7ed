//! One core's log engine: segments, journal, group commit, producer state, recovery. Every file is reached through
//! `disk`; nothing here knows of requests or connections.

pub mod checkpoint;
pub mod chunk;
pub mod compaction;
pub mod directory;
pub mod disk;
pub mod epoch_cache;
pub mod error;
pub mod inspect;
pub mod journal;
pub mod layout;
pub mod limits;
pub mod log;
pub mod producer_state;
pub mod read;
pub mod recovery;
pub mod retention;
pub mod segment;
pub mod store;
