//! Transactions of one partition that keep the last stable offset back: open ones, and decided ones whose marker is not
//! yet below the high watermark (the two maps of Kafka's `ProducerStateManager`).

use std::collections::BTreeMap;

use slipring_protocol::ids::{Offset, ProducerId};

use crate::segment::txn_index::AbortedTxn;

/// A transaction that its marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTxn {
    /// Its producer.
    pub producer_id: ProducerId,
    /// First offset of the transaction here.
    pub first_offset: Offset,
    /// Offset of the marker.
    pub last_offset: Offset,
    /// Aborted, else committed.
    pub aborted: bool,
    /// Last stable offset once the marker counts: start of the next open transaction, or the offset after the marker.
    pub last_stable_offset: Offset,
}

impl CompletedTxn {
    /// The entry for the transaction index, if it was aborted.
    #[must_use]
    pub fn index_entry(&self) -> Option<AbortedTxn> {
        self.aborted.then_some(AbortedTxn {
            producer_id: self.producer_id,
            first_offset: self.first_offset,
            last_offset: self.last_offset,
            last_stable_offset: self.last_stable_offset,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct OpenTxns {
    /// First offset -> producer.
    open: BTreeMap<Offset, ProducerId>,
    /// First offset -> marker's offset.
    decided: BTreeMap<Offset, Offset>,
}

impl OpenTxns {
    pub(super) fn begin(&mut self, first_offset: Offset, producer_id: ProducerId) {
        self.open.insert(first_offset, producer_id);
    }

    pub(super) fn complete(
        &mut self,
        producer_id: ProducerId,
        first_offset: Offset,
        last_offset: Offset,
        aborted: bool,
    ) -> CompletedTxn {
        self.open.remove(&first_offset);
        self.decided.insert(first_offset, last_offset);
        let next = self.open.iter().find(|(_, other)| **other != producer_id).map(|(first, _)| *first);
        let last_stable_offset = next.unwrap_or_else(|| last_offset.plus(1));
        CompletedTxn { producer_id, first_offset, last_offset, aborted, last_stable_offset }
    }

    pub(super) fn settle_below(&mut self, offset: Offset) {
        self.decided.retain(|_, marker| *marker >= offset);
    }

    pub(super) fn first_unstable(&self) -> Option<Offset> {
        let open = self.open.keys().next();
        let decided = self.decided.keys().next();
        [open, decided].into_iter().flatten().min().copied()
    }

    pub(super) fn oldest_open(&self) -> Option<ProducerId> {
        self.open.values().next().copied()
    }
}
