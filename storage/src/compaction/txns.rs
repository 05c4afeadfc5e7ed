//! Which transactions a cleaning has met (Kafka's `CleanedTransactionMetadata`): records of aborted ones go, a marker stays
//! as long as something of its transaction does. Pure; carried from segment to segment of one cleaning.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use slipring_protocol::batch::BatchHeader;
use slipring_protocol::ids::{Offset, ProducerId};

use crate::segment::txn_index::AbortedTxn;

/// What a control batch holds, as far as cleaning cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The transaction is committed.
    Commit,
    /// The transaction is aborted.
    Abort,
    /// Nothing any more: an earlier cleaning left only what is known of its producer.
    Empty,
    /// Something else, which always stays.
    Other,
}

/// State of one cleaning.
#[derive(Clone, Debug, Default)]
pub struct CleanedTxns {
    /// Aborted transactions ahead, by first offset.
    ahead: VecDeque<AbortedTxn>,
    /// Those whose first offset has been passed, and whether one of their batches was met.
    aborting: BTreeMap<ProducerId, (AbortedTxn, bool)>,
    committing: BTreeSet<ProducerId>,
    /// Aborted transactions of which the marker stays: for the new transaction index.
    kept: Vec<AbortedTxn>,
}

impl CleanedTxns {
    /// Adds the aborted transactions of the segments to come.
    pub fn add_aborted(&mut self, txns: impl IntoIterator<Item = AbortedTxn>) {
        self.ahead.extend(txns);
        self.ahead.make_contiguous().sort_by_key(|txn| txn.first_offset);
    }

    /// Takes the aborted transactions that the new segment's index is to hold.
    pub fn take_kept(&mut self) -> Vec<AbortedTxn> {
        std::mem::take(&mut self.kept)
    }

    /// Notes a batch of data; true when it belongs to an aborted transaction.
    pub fn on_data(&mut self, header: &BatchHeader) -> bool {
        self.pass(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        match self.aborting.get_mut(&header.producer_id) {
            Some((_, met)) => {
                *met = true;
                true
            }
            None => {
                self.committing.insert(header.producer_id);
                false
            }
        }
    }

    /// Notes a marker; true when nothing of its transaction is left.
    pub fn on_control(&mut self, header: &BatchHeader, control: Control) -> bool {
        self.pass(header.last_offset());
        match control {
            Control::Abort => match self.aborting.remove(&header.producer_id) {
                Some((txn, true)) => {
                    self.kept.push(txn);
                    false
                }
                Some((_, false)) | None => true,
            },
            Control::Commit => !self.committing.remove(&header.producer_id),
            Control::Empty => true,
            Control::Other => false,
        }
    }

    fn pass(&mut self, offset: Offset) {
        while let Some(txn) = self.ahead.front().filter(|txn| txn.first_offset <= offset).copied() {
            self.ahead.pop_front();
            self.aborting.insert(txn.producer_id, (txn, false));
        }
    }
}
