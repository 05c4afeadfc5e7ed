//! Segment files and their descriptors: made or opened off the acknowledgement path, before anyone may write to them. On the
//! store's core.

use slipring_protocol::ids::Offset;

use super::{LogId, Store};
use crate::disk::OpenOptions;
use crate::error::{IoContext, StorageError};
use crate::layout::SegmentFile;
use crate::log::segment::FileState;

impl Store {
    /// Makes or opens the segment files that are waited for.
    pub(super) async fn make_files(&self) -> bool {
        let due = std::mem::take(&mut self.inner.state.borrow_mut().files_due);
        let some = !due.is_empty();
        for (id, base) in due {
            if let Err(error) = self.open_segment(id, base).await {
                self.inner.state.borrow_mut().fence(id, error);
            }
        }
        if some {
            self.inner.state.borrow_mut().requeue_waiting();
        }
        some
    }

    /// Opens a segment's file for writing; a missing one is made, and its directory entry durable, before anyone may write
    /// to it.
    pub(super) async fn open_segment(&self, id: LogId, base: Offset) -> Result<(), StorageError> {
        let (directory, missing) = {
            let state = self.inner.state.borrow();
            let segment = state.logs.get(id).and_then(|log| Some((log, log.segment(base)?)));
            let Some((log, segment)) = segment else { return Ok(()) };
            match segment.file {
                FileState::Open(_) => return Ok(()),
                FileState::Missing => (log.directory.clone(), true),
                FileState::Closed => (log.directory.clone(), false),
            }
        };
        let path = directory.join(SegmentFile::Log.name(base));
        let options = OpenOptions { write: true, create: missing, direct: true };
        let opened = self.inner.disk.open(&path, options).await.context("opening", &path);
        let file = match opened {
            // Retention took the segment meanwhile.
            Err(_) if !self.has_segment(id, base) => return Ok(()),
            opened => opened?,
        };
        if missing {
            self.inner.disk.sync_dir(&directory).await.context("syncing", &directory)?;
        }
        let mut state = self.inner.state.borrow_mut();
        let segment = state.logs.get_mut(id).and_then(|log| log.segment_mut(base));
        if let Some(segment) = segment.filter(|segment| !matches!(segment.file, FileState::Open(_))) {
            segment.file = FileState::Open(file);
            segment.file_used.set(true);
            state.open_files += 1;
        }
        Ok(())
    }

    pub(super) fn has_segment(&self, id: LogId, base: Offset) -> bool {
        self.inner.state.borrow().logs.get(id).is_some_and(|log| log.segment(base).is_some())
    }
}
