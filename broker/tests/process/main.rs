//! The broker as its operator meets it: the real binary, started as a process on free ports of the loopback with data in a
//! temporary directory, stopped by its id. What needs root says so and is left out where there is none, except under `CI=true`.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod client;
mod configs;
mod consumer_groups;
mod group_metrics;
mod groups;
mod limits;
mod log;
mod media;
mod metrics;
mod moves;
mod start;
mod stop;
mod support;
