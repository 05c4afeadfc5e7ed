//! Sets of workloads, the figures that a table shows of each, and what Slipring must reach in them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::batch::BatchSpec;
use crate::fetch::{FetchSpec, Mode};
use crate::paced::PacedSpec;
use crate::produce::ProduceSpec;
use crate::workload::Workload;

/// A set of workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Set {
    /// Large batches, one-record requests, a paced trickle: the first figures.
    First,
    /// Hot reads, copied and discarded.
    Fetch,
}

/// A workload of a set.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Its name in rows.
    pub(crate) name: &'static str,
    /// Its name in a table.
    pub(crate) title: &'static str,
    /// What is done.
    pub(crate) workload: Workload,
    /// The figures that a table shows of it.
    pub(crate) shown: &'static [Shown],
}

/// All workloads of all sets, to read rows by.
pub(crate) fn all_works() -> Vec<Work> {
    let length = Length { seconds: 0, warm_up_seconds: 0 };
    Set::value_variants().iter().flat_map(|set| set.works(length)).collect()
}

/// How long the measured part of each workload is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// Seconds that count.
    pub(crate) seconds: u64,
    /// Seconds before them.
    pub(crate) warm_up_seconds: u64,
}

impl Set {
    /// Its workloads.
    pub(crate) fn works(self, length: Length) -> Vec<Work> {
        match self {
            Self::First => vec![
                Work {
                    name: "batches-64k",
                    title: "produce 1 KiB records, 64 KiB batches, 8 connections x 5 in flight",
                    workload: Workload::Produce(produce(BatchSpec::filled(1024, 65_536), 8, length)),
                    shown: BATCHES,
                },
                Work {
                    name: "one-record",
                    title: "produce one 1 KiB record per request, 16 connections x 5 in flight",
                    workload: Workload::Produce(produce(BatchSpec::single(1024), 16, length)),
                    shown: ONE_RECORD,
                },
                Work {
                    name: "paced-1000",
                    title: "1,000 records/s one by one, consumer at the tail",
                    workload: Workload::Paced(PacedSpec {
                        rate: 1000,
                        record_bytes: 1024,
                        records_per_batch: 1,
                        consumers: 1,
                        seconds: length.seconds,
                        warm_up_seconds: length.warm_up_seconds,
                        prime_seconds: length.warm_up_seconds,
                    }),
                    shown: PACED,
                },
            ],
            Self::Fetch => vec![
                Work {
                    name: "fetch-copy",
                    title: "fetch, hot, client copies",
                    workload: Workload::Fetch(fetch(Mode::Copy)),
                    shown: FETCH,
                },
                Work {
                    name: "fetch-discard",
                    title: "fetch, hot, client discards",
                    workload: Workload::Fetch(fetch(Mode::Discard)),
                    shown: FETCH,
                },
            ],
        }
    }
}

/// A figure of a workload that a table shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shown {
    /// Its name.
    pub(crate) figure: &'static str,
    /// Its name in a table.
    pub(crate) title: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
    /// Times Kafka's unflushed figure that the flushed one must be at least, or at most; none where nothing is asked.
    pub(crate) asked: Option<f64>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

const fn row(figure: &'static str, title: &'static str, better: Better, asked: Option<f64>) -> Shown {
    Shown { figure, title, better, asked }
}

const BATCHES: &[Shown] = &[
    row("mb_per_s", "MB/s", Better::Higher, Some(1.5)),
    row("broker_cpu_s_per_gb", "broker CPU-s/GB", Better::Lower, Some(0.5)),
    row("ack_p50_ms", "ack p50, ms", Better::Lower, None),
    row("ack_p99_ms", "ack p99, ms", Better::Lower, None),
    row("ack_p999_ms", "ack p99.9, ms", Better::Lower, None),
    row("broker_peak_mb", "broker peak memory, MB", Better::Lower, None),
];
const ONE_RECORD: &[Shown] = &[
    row("requests_per_s", "requests/s", Better::Higher, Some(3.0)),
    row("broker_cpu_s_per_million_requests", "broker CPU-s per million", Better::Lower, None),
    row("ack_p50_ms", "ack p50, ms", Better::Lower, None),
    row("ack_p99_ms", "ack p99, ms", Better::Lower, None),
    row("ack_p999_ms", "ack p99.9, ms", Better::Lower, None),
];
const PACED: &[Shown] = &[
    row("e2e_p50_ms", "end to end p50, ms", Better::Lower, Some(1.0)),
    row("e2e_p99_ms", "end to end p99, ms", Better::Lower, Some(1.0)),
    row("e2e_p999_ms", "end to end p99.9, ms", Better::Lower, None),
    row("ack_p50_ms", "ack p50, ms", Better::Lower, None),
    row("ack_p99_ms", "ack p99, ms", Better::Lower, None),
    row("broker_cpu_s_per_million_requests", "broker CPU-s per million", Better::Lower, None),
];
const FETCH: &[Shown] = &[
    row("mb_per_s", "MB/s", Better::Higher, None),
    row("broker_cpu_s_per_gb", "broker CPU-s/GB", Better::Lower, None),
    row("fetch_p99_ms", "fetch p99, ms", Better::Lower, None),
];

/// One partition for each connection: nobody's batches stand between another's.
const fn produce(batch: BatchSpec, connections: usize, length: Length) -> ProduceSpec {
    ProduceSpec {
        batch,
        partitions: connections,
        partitions_per_request: 1,
        connections,
        in_flight: 5,
        acks: -1,
        seconds: length.seconds,
        warm_up_seconds: length.warm_up_seconds,
        threads: 1,
    }
}

const fn fetch(mode: Mode) -> FetchSpec {
    FetchSpec {
        batch: BatchSpec::filled(1024, 65_536),
        megabytes: 2000,
        partitions: 8,
        connections: 4,
        passes: 8,
        warm_up_passes: 2,
        fetch_bytes: 1 << 20,
        mode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_work_shows_something() {
        let works = all_works();
        let mut names: Vec<_> = works.iter().map(|work| work.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), works.len());
        assert!(works.iter().all(|work| !work.shown.is_empty()));
    }
}
