//! What the threads of a crash run share: the broker's address, the phase, the ledger, and what went wrong.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use slipring_protocol::error_code::ErrorCode;

use super::ledger::Ledger;
use super::{PLACES, lock};

/// What producers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// New records.
    Load,
    /// No new records; what is pending is finished.
    Drain,
    /// Nothing.
    Halt,
}

/// Shared by all threads of a run.
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    /// Of all producers together.
    pub(crate) bytes_per_second: u64,
    pub(crate) ledger: Mutex<Ledger>,
    phase: AtomicU8,
    frozen: AtomicBool,
    retries: AtomicU64,
    faults: Mutex<Vec<String>>,
    producer_ids: Mutex<HashSet<i64>>,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr, bytes_per_second: u64) -> Self {
        Self {
            address,
            bytes_per_second,
            ledger: Mutex::new(Ledger::new(PLACES.len())),
            phase: AtomicU8::new(Phase::Load as u8),
            frozen: AtomicBool::new(false),
            retries: AtomicU64::new(0),
            faults: Mutex::new(Vec::new()),
            producer_ids: Mutex::new(HashSet::new()),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Load as u8 => Phase::Load,
            phase if phase == Phase::Drain as u8 => Phase::Drain,
            _ => Phase::Halt,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// While the broker is frozen, silence is no fault of its.
    pub(crate) fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Release);
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    /// Notes something that must not happen.
    pub(crate) fn fault(&self, why: String) {
        let mut faults = lock(&self.faults);
        if faults.len() < FAULTS_MAX {
            faults.push(why);
        }
    }

    /// Takes what went wrong so far.
    pub(crate) fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.faults))
    }

    /// Notes an answer that made a producer try again.
    pub(crate) fn retried(&self, _error: ErrorCode) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers that made a producer try again.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Notes a producer id that the broker gave out; it may do so once, crash or not.
    pub(crate) fn producer_id_given(&self, id: i64) {
        if !lock(&self.producer_ids).insert(id) {
            self.fault(format!("producer id {id} was given out twice"));
        }
    }
}

const FAULTS_MAX: usize = 20;
