//! Opening after a stop, clean or not. The directory first: all journals are replayed into the segments, whatever cores
//! they belonged to. Then each log on its own core: after a clean stop its checkpoints are trusted, after a crash it is
//! scanned. Recovery decides by promises: invalid below what was promised durable is damage and is reported; invalid above
//! it is a torn tail and is cut.

mod directory;
pub(crate) mod files;
mod open;
mod producers;
mod promises;
mod replayed;
pub(crate) mod scan;
mod strays;

pub use directory::{DirectoryRecovery, recover_directory};
pub(crate) use open::{OpenedLog, ProducerExpiry, open};
pub(crate) use promises::log_id;
