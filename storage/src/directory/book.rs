//! The offset checkpoints at the root as one process sees them: each is one file for all partitions, while the logs live
//! on several cores. Any core updates its own entries; one writes at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use slipring_protocol::ids::{Offset, TopicPartition};

use super::RootCheckpoint;
use crate::checkpoint::{FileError, OffsetMap, load_offsets, store_offsets};
use crate::disk::Disk;

/// Change of one entry: a new offset, or `None` to remove it.
pub type OffsetChange = (TopicPartition, Option<Offset>);

#[derive(Debug)]
pub(super) struct OffsetBook {
    maps: Mutex<BTreeMap<RootCheckpoint, OffsetMap>>,
    /// One token: whoever holds it writes.
    turn: (flume::Sender<()>, flume::Receiver<()>),
}

impl OffsetBook {
    pub(super) fn new() -> OffsetBook {
        let turn = flume::bounded(1);
        // The channel was just made for one token.
        let _ = turn.0.try_send(());
        OffsetBook { maps: Mutex::new(BTreeMap::new()), turn }
    }

    pub(super) async fn update(
        &self,
        disk: &Disk,
        root: &Path,
        checkpoint: RootCheckpoint,
        changes: impl FnOnce() -> Vec<OffsetChange>,
    ) -> Result<(), FileError> {
        let _turn = Turn::wait(&self.turn).await;
        let path = root.join(checkpoint.file_name());
        let known = self.maps().remove(&checkpoint);
        // A file that is found may not be durable: its writer may have failed, or been killed, before it was.
        let mut changed = known.is_none();
        let mut map = match known {
            Some(map) => map,
            None => load_or_empty(disk, &path).await?,
        };
        for (partition, offset) in changes() {
            let before = match offset {
                Some(offset) => map.insert(partition, offset),
                None => map.remove(&partition),
            };
            changed |= before != offset;
        }
        if changed {
            // After a failure the file is what counts: it is read again the next time.
            store_offsets(disk, &path, &map).await?;
        }
        self.maps().insert(checkpoint, map);
        Ok(())
    }

    fn maps(&self) -> std::sync::MutexGuard<'_, BTreeMap<RootCheckpoint, OffsetMap>> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A damaged checkpoint counts as empty, as in Kafka: it only costs recovery time.
async fn load_or_empty(disk: &Disk, path: &Path) -> Result<OffsetMap, FileError> {
    match load_offsets(disk, path).await {
        Err(error @ FileError::Damaged { .. }) => {
            tracing::warn!(%error, "checkpoint ignored");
            Ok(OffsetMap::new())
        }
        other => other,
    }
}

struct Turn<'a>(&'a flume::Sender<()>);

impl<'a> Turn<'a> {
    async fn wait((sender, receiver): &'a (flume::Sender<()>, flume::Receiver<()>)) -> Turn<'a> {
        // The sender lives beside the receiver, so the channel is never closed.
        let _ = receiver.recv_async().await;
        Turn(sender)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}
