//! Files that belong to no segment any more: what an interrupted removal left, and the snapshot of each clean stop between two
//! segments (`LogLoader.loadSegmentFiles`, `ProducerStateManager.removeStraySnapshots`). On the core that opens the log. Never
//! touches a log file.

use std::collections::BTreeSet;
use std::path::Path;

use slipring_protocol::ids::Offset;

use crate::disk::{DirEntry, Disk};
use crate::error::{IoContext, StorageError};
use crate::layout::{FileState, SegmentFile, SegmentFileName, parse_segment_file};

/// Removes index files without their log file, and snapshots that no opening would begin with: those neither at a segment's
/// base nor the newest of all behind the last one.
pub(super) async fn remove_strays(
    disk: &Disk,
    directory: &Path,
    entries: &[DirEntry],
) -> Result<(), StorageError> {
    let names: Vec<SegmentFileName> = entries
        .iter()
        .filter_map(|entry| parse_segment_file(&entry.name))
        .filter(|name| name.state == FileState::Live)
        .collect();
    for name in strays(&names) {
        let path = directory.join(name.kind.name(name.base));
        disk.remove_file(&path).await.context("removing", &path)?;
        tracing::info!(path = %path.display(), "file of no segment removed");
    }
    Ok(())
}

fn strays(names: &[SegmentFileName]) -> Vec<SegmentFileName> {
    let of = |kind: SegmentFile| names.iter().filter(move |name| name.kind == kind).map(|name| name.base);
    let bases: BTreeSet<Offset> = of(SegmentFile::Log).collect();
    let newest = of(SegmentFile::ProducerSnapshot).max().filter(|newest| bases.last() < Some(newest));
    let is_stray = |name: &&SegmentFileName| match name.kind {
        SegmentFile::Log => false,
        SegmentFile::ProducerSnapshot => !bases.contains(&name.base) && newest != Some(name.base),
        SegmentFile::OffsetIndex | SegmentFile::TimeIndex | SegmentFile::TxnIndex => {
            !bases.contains(&name.base)
        }
    };
    names.iter().filter(is_stray).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(names: &[&str]) -> Vec<String> {
        let names: Vec<_> = names.iter().filter_map(|name| parse_segment_file(name)).collect();
        strays(&names).iter().map(|name| format!("{}{}", name.base.0, name.kind.suffix())).collect()
    }

    #[test]
    fn what_no_opening_would_begin_with_goes() {
        let name = |base: i64, suffix: &str| format!("{base:020}{suffix}");
        let all: Vec<String> = [5, 10]
            .iter()
            .flat_map(|base| [".log", ".index", ".timeindex", ".snapshot"].map(|suffix| name(*base, suffix)))
            .chain([2, 7, 12, 15].map(|at| name(at, ".snapshot")))
            .chain([".index", ".timeindex", ".txnindex"].map(|suffix| name(0, suffix)))
            .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(
            left(&all),
            ["2.snapshot", "7.snapshot", "12.snapshot", "0.index", "0.timeindex", "0.txnindex"]
        );
        let newest = name(9, ".snapshot");
        assert!(left(&[&newest]).is_empty(), "of a log without files it is all that is known");
        assert_eq!(left(&[&newest, &name(10, ".log")]), ["9.snapshot"]);
    }
}
