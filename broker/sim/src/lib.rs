//! The whole broker in a box: real shards, handlers, journal and recovery on one thread, with virtual time, a disk that
//! loses power at any operation, and clients that speak real frames, pipeline, dawdle and break off. One seed is one
//! history of several lives. Everything that a client ever learned is held against everything that any client sees later.

pub mod admin;
pub mod chance;
pub mod consumer;
pub mod ledger;
pub mod node;
pub mod producer;
pub mod rude;
pub mod scenario;
pub mod wire;
pub mod world;

/// From this version on, Produce and Fetch name topics by their ids (KIP-516).
const IDS_FROM: i16 = 13;

/// The topics that no one deletes; only they are named by name, since a name may come to mean another topic.
const LASTING: [&str; 3] = ["lasting-a", "lasting-b", "lasting-c"];

fn is_lasting(name: &str) -> bool {
    LASTING.contains(&name)
}
