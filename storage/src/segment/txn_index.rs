//! Index of aborted transactions of a segment (`.txnindex`): 34-byte entries (Kafka's `TransactionIndex`, `AbortedTxn`),
//! in the order of their markers. Most segments have none and then no file. Pure over bytes, on the core that owns the log.

use bytes::Bytes;
use slipring_protocol::ids::{Offset, ProducerId};

/// Size of one entry in bytes.
pub const ENTRY_SIZE: usize = 34;
const VERSION: i16 = 0;

/// One transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Its producer.
    pub producer_id: ProducerId,
    /// First offset of the transaction in this partition.
    pub first_offset: Offset,
    /// Offset of its abort marker.
    pub last_offset: Offset,
    /// Last stable offset at the moment the marker was written: a search for anything below may stop here.
    pub last_stable_offset: Offset,
}

/// Why a transaction index refused an entry or a loaded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxnIndexError {
    /// Markers come in rising order.
    #[error("marker at offset {offset} is not beyond the last one, {last}")]
    NotIncreasing {
        /// Offset of the refused marker.
        offset: Offset,
        /// Offset of the last one.
        last: Offset,
    },
    /// An entry of a version we do not know.
    #[error("transaction index is damaged at entry {entry}: version {version} is unknown")]
    Version {
        /// Number of the entry.
        entry: usize,
        /// What stands there.
        version: i16,
    },
    /// A marker that lies before the segment.
    #[error(
        "transaction index is damaged at entry {entry}: marker at {offset} lies before the base offset {base}"
    )]
    BeforeBase {
        /// Number of the entry.
        entry: usize,
        /// Offset of the marker.
        offset: Offset,
        /// Base offset of the segment.
        base: Offset,
    },
}

impl AbortedTxn {
    fn encode(&self) -> [u8; ENTRY_SIZE] {
        let mut out = [0; ENTRY_SIZE];
        out[..2].copy_from_slice(&VERSION.to_be_bytes());
        let fields = [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0];
        for (field, place) in fields.iter().zip(out[2..].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Self {
        let field = |number: usize| {
            let at = 2 + number * 8;
            i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
        };
        Self {
            producer_id: ProducerId(field(0)),
            first_offset: Offset(field(1)),
            last_offset: Offset(field(2)),
            last_stable_offset: Offset(field(3)),
        }
    }
}

/// The growing transaction index of an active segment, held in file format.
#[derive(Clone, Debug, Default)]
pub struct TxnIndex {
    bytes: Vec<u8>,
}

impl TxnIndex {
    /// An empty index.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Takes over a file's bytes; a partial last entry is dropped, as Kafka's reader passes over it.
    ///
    /// # Errors
    /// When an entry is damaged.
    pub fn load(base: Offset, mut bytes: Vec<u8>) -> Result<Self, TxnIndexError> {
        check(base, &bytes)?;
        bytes.truncate(bytes.len() / ENTRY_SIZE * ENTRY_SIZE);
        Ok(Self { bytes })
    }

    /// Appends a transaction whose abort marker was just written.
    ///
    /// # Errors
    /// When its marker is not beyond the last one.
    pub fn append(&mut self, txn: &AbortedTxn) -> Result<(), TxnIndexError> {
        if let Some(last) = self.last().filter(|last| txn.last_offset <= last.last_offset) {
            return Err(TxnIndexError::NotIncreasing { offset: txn.last_offset, last: last.last_offset });
        }
        self.bytes.extend_from_slice(&txn.encode());
        Ok(())
    }

    /// As [`TxnIndexView::collect`].
    pub fn collect(&self, from: Offset, upper: Offset, out: &mut Vec<AbortedTxn>) -> bool {
        collect(&self.bytes, from, upper, out)
    }

    /// Drops every transaction whose marker is at or beyond `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let keep = entries(&self.bytes).take_while(|txn| txn.last_offset < offset).count();
        self.bytes.truncate(keep * ENTRY_SIZE);
    }

    /// The last transaction.
    #[must_use]
    pub fn last(&self) -> Option<AbortedTxn> {
        self.bytes.len().checked_sub(ENTRY_SIZE).map(|at| AbortedTxn::decode(&self.bytes[at..]))
    }

    /// Whether there is no entry, hence no file.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The whole file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the file bytes away, for the write when the segment rolls.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The transaction index of a closed segment, loaded and searched in place.
#[derive(Clone, Debug)]
pub struct TxnIndexView {
    bytes: Bytes,
}

impl TxnIndexView {
    /// Wraps a file's bytes after looking at every entry (there are few).
    ///
    /// # Errors
    /// When an entry is damaged: the index is to be rebuilt from the segment.
    pub fn new(base: Offset, bytes: Bytes) -> Result<Self, TxnIndexError> {
        check(base, &bytes)?;
        Ok(Self { bytes })
    }

    /// Adds the transactions that a reader of `from..upper` must skip. True when no later segment can hold another one
    /// for that range.
    pub fn collect(&self, from: Offset, upper: Offset, out: &mut Vec<AbortedTxn>) -> bool {
        collect(&self.bytes, from, upper, out)
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = AbortedTxn> {
        entries(&self.bytes)
    }
}

fn entries(bytes: &[u8]) -> impl Iterator<Item = AbortedTxn> {
    bytes.chunks_exact(ENTRY_SIZE).map(AbortedTxn::decode)
}

fn collect(bytes: &[u8], from: Offset, upper: Offset, out: &mut Vec<AbortedTxn>) -> bool {
    for txn in entries(bytes) {
        if txn.last_offset >= from && txn.first_offset < upper {
            out.push(txn);
        }
        if txn.last_stable_offset >= upper {
            return true;
        }
    }
    false
}

fn check(base: Offset, bytes: &[u8]) -> Result<(), TxnIndexError> {
    let mut last: Option<Offset> = None;
    for (entry, bytes) in bytes.chunks_exact(ENTRY_SIZE).enumerate() {
        let version = i16::from_be_bytes([bytes[0], bytes[1]]);
        if version != VERSION {
            return Err(TxnIndexError::Version { entry, version });
        }
        let offset = AbortedTxn::decode(bytes).last_offset;
        if offset < base {
            return Err(TxnIndexError::BeforeBase { entry, offset, base });
        }
        if let Some(last) = last.filter(|last| offset <= *last) {
            return Err(TxnIndexError::NotIncreasing { offset, last });
        }
        last = Some(offset);
    }
    Ok(())
}
