//! What a sealed segment still needs, off the acknowledgement path: its last block, its exact size, its index files and
//! the producer snapshot. Only then does the recovery point pass it.

use slipring_protocol::ids::Offset;

use super::{LogId, State, Store};
use crate::disk::DiskFile;
use crate::error::{IoContext, StorageError};
use crate::layout::SegmentFile;
use crate::log::segment::{Cold, FileState};
use crate::recovery::files::{write_file, write_indexes};

/// What the next step for a log's oldest sealed segment is.
enum Next {
    /// The log has none, or is fenced or gone.
    Nothing,
    /// Its file has to be there first.
    NeedsFile(Offset),
    /// The files of its indexes have to be loaded first.
    NeedsIndex(Offset),
    /// A commit has to take what is staged first, or a write is under way.
    Wait,
    /// Blocks have to be written back first.
    WriteBack,
    /// It is whole: finish it.
    Finish(Box<Finishing>),
}

struct Finishing {
    base: Offset,
    next: Offset,
    end: u64,
    file: DiskFile,
    directory: std::path::PathBuf,
    indexes: crate::log::segment::Indexes,
    snapshot: Option<Vec<u8>>,
}

impl Store {
    /// Does a step for one log with sealed segments. True when there is more to do at once.
    pub(super) async fn finish_segments(&self) -> bool {
        let Some(id) = self.inner.state.borrow_mut().finish.pop_front() else { return false };
        match self.finish_segment(id).await {
            Ok(Some(more)) => {
                self.inner.state.borrow_mut().finish.push_back(id);
                more
            }
            Ok(None) => !self.inner.state.borrow().finish.is_empty(),
            Err(error) => {
                self.inner.state.borrow_mut().fence(id, error);
                true
            }
        }
    }

    /// One step for a log's oldest sealed segment: `None` when it has none, else whether another step can follow at once.
    pub(super) async fn finish_segment(&self, id: LogId) -> Result<Option<bool>, StorageError> {
        let next = self.inner.state.borrow().next_to_finish(id);
        match next {
            Next::Nothing => return Ok(None),
            Next::Wait => return Ok(Some(false)),
            Next::NeedsFile(base) => self.open_segment(id, base).await?,
            Next::NeedsIndex(base) => self.load_cold(id, base).await?,
            Next::WriteBack => self.write_back_log(id).await,
            Next::Finish(finishing) => self.finish_whole(id, *finishing).await?,
        }
        Ok(Some(true))
    }

    async fn finish_whole(&self, id: LogId, finishing: Finishing) -> Result<(), StorageError> {
        let disk = &self.inner.disk;
        let Finishing { base, next, end, file, directory, indexes, snapshot } = finishing;
        disk.truncate(&file, end).await.context("truncating", file.path())?;
        disk.sync(&file).await.context("syncing", file.path())?;
        let cold = write_indexes(disk, &directory, base, &indexes).await?;
        if let Some(bytes) = snapshot {
            write_file(disk, &directory.join(SegmentFile::ProducerSnapshot.name(next)), &bytes).await?;
        }
        disk.sync_dir(&directory).await.context("syncing", &directory)?;
        let mut state = self.inner.state.borrow_mut();
        let state = &mut *state;
        let Some(log) = state.logs.get_mut(id) else { return Ok(()) };
        let bytes_max = log.config.segment_index_bytes;
        if let Some(segment) = log.segment_mut(base) {
            state.cold_bytes -= segment.indexes.cold_bytes();
            segment.indexes.cold = Cold::Loaded(cold);
            segment.indexes.keep_only_cold(base, bytes_max);
            state.cold_bytes += segment.indexes.cold_bytes();
            state.cold_loaded.push_back((id, base));
            segment.allocated = end;
            segment.on_disk = end;
            segment.seal = None;
        }
        log.recovery_point = log.recovery_point.max(next);
        state.checkpoint_due = true;
        state.release_pins(id);
        Ok(())
    }

    async fn write_back_log(&self, id: LogId) {
        let write = {
            let mut state = self.inner.state.borrow_mut();
            state.take_write_back_of(id)
        };
        if let Some(write) = write {
            self.write_back_all(vec![(id, write)]).await;
        }
    }
}

impl State {
    fn next_to_finish(&self, id: LogId) -> Next {
        let Some(log) = self.logs.get(id).filter(|log| log.fence.is_none()) else { return Next::Nothing };
        let at = log.first_open();
        let segment = &log.segments[at];
        let Some(seal) = &segment.seal else { return Next::Nothing };
        let file = match &segment.file {
            FileState::Open(file) => file.clone(),
            FileState::Missing | FileState::Closed => return Next::NeedsFile(segment.base),
        };
        if !segment.is_whole() {
            let waits = segment.promised < segment.end || segment.unwritten() == 0;
            return if waits { Next::Wait } else { Next::WriteBack };
        }
        if matches!(segment.indexes.cold, Cold::OnDisk) {
            return Next::NeedsIndex(segment.base);
        }
        Next::Finish(Box::new(Finishing {
            base: segment.base,
            next: segment.next,
            end: segment.end,
            file,
            directory: log.directory.clone(),
            indexes: segment.indexes.clone(),
            snapshot: seal.snapshot.clone(),
        }))
    }
}
