//! Producer state of a log that is being opened: from the newest usable snapshot, and the batches behind it.

use slipring_protocol::batch::BatchHeader;
use slipring_protocol::ids::Offset;

use super::files::read_if_there;
use super::open::Opening;
use super::scan::{ScanRange, scan};
use crate::error::{IoContext, StorageError};
use crate::layout::SegmentFile;
use crate::producer_state::{ProducerState, snapshot};

impl Opening<'_> {
    /// The newest usable snapshot at or below `end`; damaged ones are removed.
    pub(super) async fn load_snapshot(&self, end: Offset) -> Result<ProducerState, StorageError> {
        let mut producers = ProducerState::new(self.log_start);
        let mut candidates: Vec<Offset> = self.snapshots.iter().copied().filter(|at| *at <= end).collect();
        candidates.sort_unstable();
        while let Some(at) = candidates.pop() {
            let path = self.directory.join(SegmentFile::ProducerSnapshot.name(at));
            let Some(bytes) = read_if_there(self.disk, &path).await? else { continue };
            match snapshot::decode(&bytes) {
                Ok(entries) => {
                    producers.load(at, &entries, self.expiry.now, self.expiry.after_ms);
                    return Ok(producers);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "snapshot removed");
                    self.disk.remove_file(&path).await.context("removing", &path)?;
                }
            }
        }
        Ok(producers)
    }

    /// Applies the batches between a snapshot and where the scan or the log begins.
    pub(super) async fn replay_producers(
        &self,
        producers: &mut ProducerState,
        from: Offset,
        to: Offset,
    ) -> Result<(), StorageError> {
        let bases: Vec<Offset> = self.files.keys().copied().collect();
        let first = bases.partition_point(|base| *base <= from).saturating_sub(1);
        for base in bases.iter().skip(first).filter(|base| **base < to) {
            let file = self.open_file(*base, false).await?;
            let range = ScanRange { from: 0, to: self.files[base].size, expected: *base };
            scan(self.disk, &file, range, |header, _, _| {
                if header.base_offset >= from && header.last_offset() < to {
                    note_producer(producers, header);
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Snapshots beyond the log's end describe what is no longer there.
    pub(super) async fn remove_snapshots_above(&self, end: Offset) -> Result<(), StorageError> {
        for at in self.snapshots.iter().filter(|at| **at > end) {
            let path = self.directory.join(SegmentFile::ProducerSnapshot.name(*at));
            match self.disk.remove_file(&path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StorageError::io("removing", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Applies a batch that is in the log.
pub(super) fn note_producer(producers: &mut ProducerState, header: &BatchHeader) {
    if header.is_control() {
        producers.set_end(header.next_offset());
    } else {
        producers.apply(header, header.base_offset);
    }
}
