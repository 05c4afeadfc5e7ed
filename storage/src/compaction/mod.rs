//! Compaction: of each key the last record stays (Kafka's `Cleaner`, `LogCleanerManager`). Here are the pure parts: which
//! part of a log to clean, which records of a batch stay, the table of keys.

pub mod filter;
pub mod offset_map;
pub mod plan;
pub mod txns;

#[cfg(test)]
mod tests;
