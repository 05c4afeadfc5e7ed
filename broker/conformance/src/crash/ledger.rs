//! The exact record of what the broker promised: every acknowledgement, and every batch it showed to a consumer. Kept in
//! this process, so whatever happens to the broker and its files cannot touch it.

use std::collections::{BTreeMap, HashMap};

use super::content::{Batch, Name, Slot};

/// What was promised for every partition.
#[derive(Debug)]
pub(crate) struct Ledger {
    slots: Vec<Promises>,
    records: u64,
    bytes: u64,
}

/// What was promised for one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promises {
    /// Acknowledged batches by base offset.
    acknowledged: BTreeMap<i64, Acknowledged>,
    /// Checksums of batches that a consumer saw, by base offset.
    shown: HashMap<i64, u32>,
    /// End of what is acknowledged or shown.
    end: i64,
}

/// A batch that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) first: Name,
    pub(crate) records: u32,
    pub(crate) crc: u32,
}

impl Ledger {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: vec![Promises::default(); slots], records: 0, bytes: 0 }
    }

    /// Notes an acknowledgement.
    ///
    /// # Errors
    /// When the offsets were promised to another batch.
    pub(crate) fn acknowledge(&mut self, batch: &Batch, base_offset: i64) -> Result<(), String> {
        self.records += u64::from(batch.records);
        self.bytes += batch.bytes.len() as u64;
        let entry = Acknowledged { first: batch.first, records: batch.records, crc: batch.crc };
        self.slots[batch.first.slot].acknowledge(base_offset, entry)
    }

    /// Notes a batch that a consumer was given.
    ///
    /// # Errors
    /// When another batch was shown at this offset before.
    pub(crate) fn show(&mut self, slot: Slot, base_offset: i64, end: i64, crc: u32) -> Result<(), String> {
        let promises = &mut self.slots[slot];
        promises.end = promises.end.max(end);
        match promises.shown.insert(base_offset, crc) {
            Some(before) if before != crc => Err(format!("two batches were shown at offset {base_offset}")),
            _ => Ok(()),
        }
    }

    /// What was promised for a partition up to now.
    pub(crate) fn promises(&self, slot: Slot) -> Promises {
        self.slots[slot].clone()
    }

    /// End of what was promised for a partition: the latest offset may never be below.
    pub(crate) fn end(&self, slot: Slot) -> i64 {
        self.slots[slot].end
    }

    /// Acknowledged records and the bytes of their batches.
    pub(crate) const fn totals(&self) -> (u64, u64) {
        (self.records, self.bytes)
    }
}

impl Promises {
    /// End of what was promised.
    pub(crate) const fn end(&self) -> i64 {
        self.end
    }

    /// The promise that a batch at this offset was acknowledged as.
    pub(crate) fn acknowledged_at(&self, base_offset: i64) -> Option<&Acknowledged> {
        self.acknowledged.get(&base_offset)
    }

    /// Checksum of the batch that was shown at this offset.
    pub(crate) fn shown_at(&self, base_offset: i64) -> Option<u32> {
        self.shown.get(&base_offset).copied()
    }

    /// Batches that were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// An acknowledged base offset between the two, itself neither of them: what a log that holds one batch there breaks.
    pub(crate) fn broken_inside(&self, from: i64, to: i64) -> Option<i64> {
        self.acknowledged.range(from + 1..to).next().map(|(offset, _)| *offset)
    }

    fn acknowledge(&mut self, base_offset: i64, entry: Acknowledged) -> Result<(), String> {
        let end = base_offset + i64::from(entry.records);
        if base_offset < 0 {
            return Err(format!("{:?} was acknowledged at offset {base_offset}", entry.first));
        }
        let before = self.acknowledged.range(..end).next_back();
        if let Some((other, held)) = before
            && other + i64::from(held.records) > base_offset
        {
            return Err(format!(
                "offset {base_offset} was acknowledged for {:?}, offset {other} for {:?} and {} records before",
                entry.first, held.first, held.records
            ));
        }
        self.acknowledged.insert(base_offset, entry);
        self.end = self.end.max(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(number: u64, records: u32) -> Batch {
        let first = Name { producer: 1, slot: 0, number };
        Batch { first, records, crc: number as u32, bytes: vec![0; 10].into() }
    }

    #[test]
    fn promises_are_kept_apart_from_each_other() {
        let mut ledger = Ledger::new(2);
        ledger.acknowledge(&batch(0, 10), 0).unwrap();
        ledger.acknowledge(&batch(20, 5), 20).unwrap();
        ledger.acknowledge(&batch(10, 10), 10).unwrap();
        assert_eq!((ledger.totals(), ledger.end(0), ledger.end(1)), ((25, 30), 25, 0));
        let promises = ledger.promises(0);
        assert_eq!(promises.acknowledged_at(10).map(|held| held.first.number), Some(10));
        assert_eq!(promises.broken_inside(0, 10), None);
        assert_eq!(promises.broken_inside(0, 11), Some(10));
    }

    #[test]
    fn an_offset_is_promised_once() {
        for (base, records) in [(10, 1), (14, 1), (14, 5), (5, 6), (5, 20), (12, 2), (-1, 1)] {
            let mut ledger = Ledger::new(1);
            ledger.acknowledge(&batch(0, 5), 10).unwrap();
            assert!(ledger.acknowledge(&batch(9, records), base).is_err(), "{base} {records}");
        }
        let mut ledger = Ledger::new(1);
        ledger.show(0, 5, 7, 1).unwrap();
        ledger.show(0, 5, 7, 1).unwrap();
        assert_eq!(ledger.end(0), 7);
        assert!(ledger.show(0, 5, 7, 2).is_err());
    }
}
