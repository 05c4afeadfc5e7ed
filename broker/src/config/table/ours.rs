//! Rows of the table: Slipring's own keys. Constants only.

#[allow(clippy::wildcard_imports, reason = "a table reads better in the words of its columns")]
use super::columns::*;

#[rustfmt::skip]
pub(super) const ROWS: &[ConfigKey] = &[
    key("slipring.cores", Int, Is("0"), Between(0, 4096), ReadOnly, Acts,
        "Cores to serve on; 0 for all that this process may use."),
    key("slipring.durability", String, Is("flushed"), OneOf(&["flushed", "written"]), ClusterWide, Acts,
        "Whether a produce is answered once its records are on stable storage, or once they are written."),
    key("slipring.journal.bytes", Long, Is("268435456"), AtLeast(16_777_216), ReadOnly, Acts,
        "Size of the journal that each core keeps in each data directory."),
    key("slipring.memory.bytes", Long, Is("0"), AtLeast(0), ReadOnly, Acts,
        "Memory for requests, tails and reads, over all cores; 0 for a share of the machine's."),
    key("slipring.disk.reserve.bytes", Long, Is("536870912"), AtLeast(0), ReadOnly, Acts,
        "Free space of a data directory below which produces are refused."),
    key("slipring.metrics.listener", String, Is("127.0.0.1:9644"), Any, ReadOnly, Acts,
        "HOST:PORT that serves /metrics and /health over HTTP; empty for none."),
    key("slipring.metrics.lag.series", Int, Is("5000"), AtLeast(0), ReadOnly, Acts,
        "Most series of consumer lag by group, topic and partition in /metrics; further ones are left out and counted."),
];
