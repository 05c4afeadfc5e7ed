//! Directories of deleted logs go, a few files a step, in the background task on the store's core; the unlinks themselves run
//! on the ring's own threads. A directory is listed once.

use std::path::PathBuf;
use std::time::Duration;

use super::Store;
use super::retain::UNLINK_PAUSE;
use crate::disk::Disk;
use crate::error::{IoContext, StorageError};

/// A directory that is being removed, and its files that are still there, with their sizes.
#[derive(Debug)]
pub(super) struct Removing {
    directory: PathBuf,
    files: Vec<(PathBuf, u64)>,
}

impl Store {
    /// Removes a few files of what deleted logs left. Gives when to go on.
    pub(super) async fn remove_directories(&self) -> Option<Duration> {
        let bytes = self.remove_some().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a deleted log's directory stays until the next start");
            0
        });
        let state = self.inner.state.borrow();
        let goes_on = state.removing.is_some() || !state.removals.is_empty();
        goes_on.then_some(if bytes < LARGE_BYTES { Duration::ZERO } else { UNLINK_PAUSE })
    }

    /// Gives how many bytes were in what it removed.
    async fn remove_some(&self) -> Result<u64, StorageError> {
        let disk = &self.inner.disk;
        let begun = self.inner.state.borrow_mut().removing.take();
        let mut removing = match begun {
            Some(removing) => removing,
            None => {
                let next = self.inner.state.borrow_mut().removals.pop_front();
                let Some(directory) = next else { return Ok(0) };
                Removing::list(disk, directory)?
            }
        };
        let bytes = removing.step(disk).await?;
        if removing.files.is_empty() {
            removing.finish(disk).await?;
        } else {
            self.inner.state.borrow_mut().removing = Some(removing);
        }
        Ok(bytes)
    }
}

impl Removing {
    fn list(disk: &Disk, directory: PathBuf) -> Result<Removing, StorageError> {
        let entries = match disk.list(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            entries => entries.context("listing", &directory)?,
        };
        let files = entries.into_iter().map(|entry| (directory.join(entry.name), entry.len)).collect();
        Ok(Removing { directory, files })
    }

    /// Removes some files. Gives how many bytes were in them.
    async fn step(&mut self, disk: &Disk) -> Result<u64, StorageError> {
        let mut bytes = 0;
        for _ in 0..FILES_PER_STEP {
            let Some((path, len)) = self.files.pop() else { break };
            ignore_missing(disk.remove_file(&path).await).context("removing", &path)?;
            bytes += len;
            if bytes >= LARGE_BYTES {
                break;
            }
        }
        Ok(bytes)
    }

    async fn finish(&self, disk: &Disk) -> Result<(), StorageError> {
        ignore_missing(disk.remove_dir(&self.directory).await).context("removing", &self.directory)
    }
}

fn ignore_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Files removed in one background step.
const FILES_PER_STEP: usize = 8;
/// Freeing the blocks of so many bytes keeps the file system's own journal busy: then a step ends, and a pause follows.
const LARGE_BYTES: u64 = 16 << 20;
