//! Fetch sessions (KIP-227): what a client has told about its partitions, so that it need not tell it with every fetch, and
//! what it was answered last, so that only changes go back. Pure; each core holds one [`SessionCache`], and a session
//! belongs to the core whose number the broker has coded in its id. Never reads a log and never waits: a fetch is
//! [`SessionCache::begin`], reading what the targets say, [`SessionCache::complete`].
//!
//! Behaviour is that of Kafka's `FetchManager`, `FetchContext` and `FetchSessionCacheShard`.

mod cache;
mod partitions;
mod request;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use cache::{Completed, MovedSession, SessionCache, SessionCacheConfig};
pub use request::{FetchContext, FetchOutcome, FetchTarget, FetchView, SessionId};
