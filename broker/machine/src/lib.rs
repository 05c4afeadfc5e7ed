//! Slipring's state machines: inputs and time go in, records and effects come out. Pure: no I/O, no clock, no random
//! numbers, no order that differs from run to run (`clippy.toml` bans what would break that), so a seed replays any run.
#![forbid(unsafe_code)]

mod choices;
pub mod controller;
pub mod fetch_session;
pub mod group;
pub mod image;
