//! What goes wrong, by plan.

use std::path::Path;

use super::OpKind;

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this errno, e.g. `libc::EIO`. Of a failed write any sectors may be written; after a failed sync
    /// some data will never become durable, whatever later syncs say.
    Errno(i32),
    /// A read brings at most so many bytes, as if the file ended there.
    ShortRead(usize),
    /// One bit of what a read brings is wrong; `byte` counts modulo the bytes read.
    FlipBit {
        /// Which byte.
        byte: usize,
        /// Which bit, 0 to 7.
        bit: u8,
    },
}

/// Which operations a fault befalls; the first rule that matches an operation counts.
#[derive(Clone, Debug)]
pub struct FaultRule {
    /// Only the operation of this number (see [`super::SimDisk::ops`]).
    pub at_op: Option<u64>,
    /// Only operations of this kind.
    pub kind: Option<OpKind>,
    /// Only operations on a path that contains this.
    pub path_part: Option<String>,
    /// So many matching operations pass first.
    pub skip: u64,
    /// It befalls so many matching operations.
    pub times: u64,
    /// What happens.
    pub fault: Fault,
}

impl FaultRule {
    /// A rule for the operation of number `op`.
    pub fn at(op: u64, fault: Fault) -> FaultRule {
        FaultRule { at_op: Some(op), kind: None, path_part: None, skip: 0, times: 1, fault }
    }

    /// A rule for every operation of a kind.
    pub fn every(kind: OpKind, fault: Fault) -> FaultRule {
        FaultRule { at_op: None, kind: Some(kind), path_part: None, skip: 0, times: u64::MAX, fault }
    }

    /// Narrows the rule to paths that contain `part`.
    #[must_use]
    pub fn on(self, part: &str) -> FaultRule {
        FaultRule { path_part: Some(part.to_owned()), ..self }
    }

    /// Lets the rule befall `times` operations after `skip` others.
    #[must_use]
    pub fn times(self, skip: u64, times: u64) -> FaultRule {
        FaultRule { skip, times, ..self }
    }

    /// The fault for this operation, if the rule is for it; counts.
    pub(super) fn befalls(&mut self, op: u64, kind: OpKind, path: &Path) -> Option<Fault> {
        let part_fits =
            self.path_part.as_ref().is_none_or(|part| path.to_string_lossy().contains(part.as_str()));
        let fits =
            self.at_op.is_none_or(|at| at == op) && self.kind.is_none_or(|only| only == kind) && part_fits;
        if !fits || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.fault)
    }
}
