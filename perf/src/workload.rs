//! The workloads under one name, as rows and sets hold them.

use serde::{Deserialize, Serialize};

use crate::admin::Topic;
use crate::cpu::peak_memory;
use crate::error::PerfError;
use crate::fetch::{self, FetchSpec};
use crate::paced::{self, PacedSpec};
use crate::produce::{self, ProduceSpec};
use crate::report::Figures;
use crate::target::Target;

/// What to do to a broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// Closed loop of produce requests.
    Produce(ProduceSpec),
    /// Open loop of produce requests, with consumers at the tail.
    Paced(PacedSpec),
    /// Everything read again and again.
    Fetch(FetchSpec),
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// What was measured.
    pub(crate) figures: Figures,
    /// The topic, still there.
    pub(crate) topic: Topic,
}

impl Workload {
    /// Runs it once, on a topic of its own.
    ///
    /// # Errors
    /// Any error code, any record missing or too many.
    pub(crate) fn run(&self, target: &Target) -> Result<Outcome, PerfError> {
        let mut outcome = match self {
            Self::Produce(spec) => produce::run(target, spec),
            Self::Paced(spec) => paced::run(target, spec),
            Self::Fetch(spec) => fetch::run(target, spec),
        }?;
        if let Some(bytes) = target.broker_pid.and_then(peak_memory) {
            outcome.figures.put("broker_peak_mb", bytes as f64 / 1e6);
        }
        Ok(outcome)
    }

    /// Seconds that it takes at most when all goes well, the start of a broker not counted.
    pub(crate) const fn seconds(&self) -> u64 {
        match self {
            Self::Produce(spec) => spec.warm_up_seconds + spec.seconds,
            Self::Paced(spec) => spec.prime_seconds + spec.warm_up_seconds + spec.seconds,
            Self::Fetch(_) => 120,
        }
    }
}
