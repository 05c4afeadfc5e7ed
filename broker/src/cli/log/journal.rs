//! Journals, commit by commit: printed, or followed as a replay would.

use std::path::Path;

use slipring_storage::inspect::{JournalWalk, SeenCommit, SeenEntry};

use super::out::{Line, Out};
use super::{DumpArgs, Failure, open};

/// Prints superblocks and commits; with `--records` also what each commit says of which log.
pub(super) fn dump(path: &Path, args: &DumpArgs, out: &mut Out) -> Result<(), Failure> {
    let source = open(path)?;
    let mut walk = JournalWalk::new(&source).map_err(Failure::file(path))?;
    for (position, superblock) in walk.superblocks() {
        let line = Line::new("super").number("position", position, 10);
        out.line(&match superblock {
            Ok(superblock) => line
                .number("generation", superblock.generation, 6)
                .text_field("journal", &superblock.journal.to_string(), 36)
                .number("lap", superblock.lap, 4)
                .number("first", superblock.first_sequence, 8)
                .number("oldest", superblock.oldest_sequence, 8)
                .number("oldest_position", superblock.oldest_position, 10)
                .text_field("state", if superblock.empty { "empty" } else { "active" }, 0),
            Err(reason) => line.text_field("unreadable", &reason, 0),
        })?;
    }
    while let Some(commit) = walk.step().map_err(Failure::file(path))? {
        out.line(&commit_line(&commit))?;
        if args.records {
            for entry in commit.entries.iter().flatten() {
                out.line(&entry_line(entry))?;
            }
        }
    }
    Ok(())
}

fn commit_line(commit: &SeenCommit) -> Line {
    let line = Line::new("commit")
        .number("position", commit.position, 10)
        .number("size", commit.length, 8)
        .number("sequence", commit.sequence, 8)
        .number("lap", commit.lap, 4)
        .text_field("run", if commit.this_run { "this" } else { "earlier" }, 7)
        .number("oldest", commit.oldest_sequence, 8)
        .number("synced", commit.synced_through, 8);
    match &commit.entries {
        Ok(entries) => line.number("entries", entries.len() as u64, 0),
        Err(reason) => line.text_field("unreadable", reason, 0),
    }
}

fn entry_line(entry: &SeenEntry) -> Line {
    Line::new("entry")
        .text_field("log", &entry.log.to_string(), 26)
        .text_field("kind", entry.kind, 8)
        .number("segment", entry.segment.0, 8)
        .number("position", entry.position, 10)
        .number("size", entry.length, 7)
        .number("first", entry.first.0, 8)
        .number("end", entry.end.0, 8)
        .number("epoch", entry.epoch.0, 3)
        .text_field("durable", if entry.promise { "yes" } else { "later" }, 5)
        .number("order", entry.order, 0)
}

/// Follows a journal as the next start would; `clean`: that start will not read it.
pub(super) fn verify(path: &Path, clean: bool, out: &mut Out) -> Result<(), Failure> {
    let source = open(path)?;
    let walk = JournalWalk::new(&source).map_err(Failure::file(path))?;
    if clean {
        return Ok(());
    }
    if let Some(reason) = walk.foreign() {
        out.fault(path, Some(0), reason)?;
        return out.end_file(path);
    }
    let empty = walk.is_empty();
    let reach = walk.reach().map_err(Failure::file(path))?;
    match (empty, reach.missing) {
        (None, Some((_, position))) => {
            out.fault(
                path,
                Some(0),
                &format!("no superblock reads, but a commit stands at byte {position}"),
            )?;
        }
        (_, Some((sequence, position))) => {
            out.fault(path, Some(position), &format!("commit {sequence} was durable and does not read"))?;
        }
        (_, None) => {}
    }
    if reach.commits > 0 && empty == Some(false) {
        let line = Line::new("replay").text_field("file", &path.display().to_string(), 0);
        let line = line.number("commits", reach.commits, 0).number("bytes", reach.bytes, 0);
        out.line(&line.number("first", reach.first, 0).number("last", reach.next.saturating_sub(1), 0))?;
    }
    out.end_file(path)
}
