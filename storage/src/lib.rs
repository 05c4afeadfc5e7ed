//! One core's log engine: segments, journal, group commit, producer state, recovery. Every file is reached through
//! `disk`; nothing here knows of requests or connections.

pub mod checkpoint;
pub mod chunk;
pub mod directory;
pub mod disk;
pub mod epoch_cache;
pub mod layout;
pub mod producer_state;
pub mod segment;
