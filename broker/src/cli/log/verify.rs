//! `slipring log verify`: every batch of every log, its indexes and snapshots, under the directory's lock. Writes nothing.

use std::path::Path;

use bytes::Bytes;
use slipring_protocol::ids::Offset;
use slipring_storage::checkpoint::{OffsetMap, decode_epochs, decode_offsets};
use slipring_storage::directory::ReadLock;
use slipring_storage::inspect::{BatchWalk, Step};
use slipring_storage::layout::{self, FileState, SegmentFile};
use slipring_storage::segment::txn_index::TxnIndexView;

use super::dump::{Kind, small_lines};
use super::indexes::{Check, Indexes};
use super::journal;
use super::out::{Line, Out};
use super::{Failure, VerifyArgs, list, name_of, open, read_small};

/// What was looked at.
#[derive(Default)]
struct Seen {
    logs: u64,
    segments: u64,
    batches: u64,
    bytes: u64,
    unsettled: u64,
}

/// What is known of a log before its files are looked at.
struct Known {
    /// The last stop was clean, or nothing is known of it: the files alone must be whole. Otherwise the journal decides at the
    /// next start what lies at or beyond the recovery point.
    settled: bool,
    recovery_point: Option<Offset>,
}

/// Checks a data directory or a partition's.
pub(super) fn run(args: &VerifyArgs, out: &mut Out) -> Result<(), Failure> {
    let whole = std::fs::canonicalize(&args.directory).map_err(Failure::file(&args.directory))?;
    let names = list(&whole)?;
    let mut seen = Seen::default();
    let is_root = names.iter().any(|name| name == layout::META_PROPERTIES || name == layout::LOCK);
    if !is_root && layout::parse_partition_directory(&name_of(&whole)).is_some() {
        let root = whole.parent().unwrap_or(&whole);
        let _lock = ReadLock::take(root)?;
        let points = recovery_points(root)?;
        partition(
            &args.directory,
            &name_of(&whole),
            &known(root, &name_of(&whole), &points),
            &mut seen,
            out,
        )?;
        return summary(&seen, out);
    }
    let partitions: Vec<&String> = names.iter().filter(|name| is_partition(&whole, name)).collect();
    if !is_root && partitions.is_empty() {
        let reason = "neither a data directory nor a partition's";
        return Err(Failure::Unknown { path: args.directory.clone(), reason });
    }
    let _lock = ReadLock::take(&whole)?;
    for name in names.iter().filter(|name| !whole.join(name).is_dir()) {
        let Some(kind) = Kind::of(name) else { continue };
        if kind == Kind::Journal {
            let clean = names.iter().any(|name| name == layout::CLEAN_SHUTDOWN);
            journal::verify(&args.directory.join(name), clean, out)?;
        } else {
            small(&args.directory.join(name), kind, out)?;
        }
    }
    let points = recovery_points(&whole)?;
    for name in partitions {
        partition(&args.directory.join(name), name, &known(&whole, name, &points), &mut seen, out)?;
    }
    summary(&seen, out)
}

/// Directories that wait for their removal are nobody's.
fn is_partition(root: &Path, name: &str) -> bool {
    let role = layout::parse_partition_directory(name).map(|found| found.role);
    role == Some(layout::DirectoryRole::Current) && root.join(name).is_dir()
}

fn summary(seen: &Seen, out: &mut Out) -> Result<(), Failure> {
    let line = Line::new("verified")
        .number("logs", seen.logs, 0)
        .number("segments", seen.segments, 0)
        .number("batches", seen.batches, 0)
        .number("bytes", seen.bytes, 0)
        .number("unsettled", seen.unsettled, 0);
    let faults = out.faults();
    out.line(&line.number("faults", faults, 0))
}

/// A damaged checkpoint is told where the root's files are looked at.
fn recovery_points(root: &Path) -> Result<OffsetMap, Failure> {
    let path = root.join(layout::RECOVERY_POINT_CHECKPOINT);
    if !path.exists() {
        return Ok(OffsetMap::new());
    }
    Ok(decode_offsets(&read_small(&path)?).unwrap_or_default())
}

fn known(root: &Path, name: &str, points: &OffsetMap) -> Known {
    let in_use = root.join(layout::LOCK).exists();
    let settled = !in_use || root.join(layout::CLEAN_SHUTDOWN).exists();
    let point =
        layout::parse_partition_directory(name).and_then(|found| points.get(&found.partition).copied());
    Known { settled, recovery_point: point }
}

fn small(path: &Path, kind: Kind, out: &mut Out) -> Result<(), Failure> {
    if let Err(reason) = small_lines(kind, &read_small(path)?) {
        out.fault(path, None, &reason)?;
    }
    out.end_file(path)
}

fn partition(
    directory: &Path,
    name: &str,
    known: &Known,
    seen: &mut Seen,
    out: &mut Out,
) -> Result<(), Failure> {
    seen.logs += 1;
    let mut bases = Vec::new();
    for name in list(directory)? {
        let path = directory.join(&name);
        let file = layout::parse_segment_file(&name);
        match (file, Kind::of(&name)) {
            (Some(file), _) if file.state != FileState::Live => {}
            (Some(file), _) if file.kind == SegmentFile::Log => bases.push(file.base),
            (Some(file), _) if file.kind == SegmentFile::TxnIndex => {
                if let Err(error) = TxnIndexView::new(file.base, Bytes::from(read_small(&path)?)) {
                    out.fault(&path, None, &error.to_string())?;
                }
            }
            (Some(file), Some(kind)) if file.kind == SegmentFile::ProducerSnapshot => {
                small(&path, kind, out)?
            }
            (Some(_), _) | (None, None | Some(Kind::Journal)) => {}
            (None, Some(Kind::Epochs)) => epochs(&path, out)?,
            (None, Some(Kind::MetadataSnapshot)) => _ = snapshot(&path, out)?,
            (None, Some(kind)) => small(&path, kind, out)?,
        }
    }
    bases.sort_unstable();
    let mut next: Option<Offset> = None;
    for (at, base) in bases.iter().enumerate() {
        let path = directory.join(SegmentFile::Log.name(*base));
        if let Some(next) = next.filter(|next| base < next) {
            out.fault(
                &path,
                Some(0),
                &format!("begins at {base}, but the segment before it ends at {next}"),
            )?;
        }
        // Compaction may leave one; a lost file would look the same.
        if let Some(next) = next.filter(|next| base > next) {
            let line = Line::new("gap").text_field("file", &path.display().to_string(), 0);
            out.line(&line.number("from", next.0, 0).number("to", base.0, 0))?;
        }
        let last = at + 1 == bases.len();
        next = Some(segment(directory, *base, last, known, seen, out)?);
    }
    let end = next.unwrap_or(Offset(0));
    if let Some(point) = known.recovery_point.filter(|point| known.settled && *point > end) {
        out.fault(directory, None, &format!("log {name} ends at {end}, but was durable up to {point}"))?;
    }
    out.end_file(directory)
}

fn epochs(path: &Path, out: &mut Out) -> Result<(), Failure> {
    match decode_epochs(&read_small(path)?) {
        Ok(entries) => {
            let falls =
                entries.windows(2).find(|two| two[1].epoch <= two[0].epoch || two[1].start < two[0].start);
            if let Some(two) = falls {
                let reason = format!("epoch {} does not follow epoch {}", two[1].epoch, two[0].epoch);
                out.fault(path, None, &reason)?;
            }
        }
        Err(error) => out.fault(path, None, &error.to_string())?,
    }
    out.end_file(path)
}

/// The batches of a metadata snapshot.
fn snapshot(path: &Path, out: &mut Out) -> Result<u64, Failure> {
    let source = open(path)?;
    let mut walk = BatchWalk::new(&source, Offset(0));
    let mut batches = 0;
    while let Some(step) = walk.step().map_err(Failure::file(path))? {
        match step {
            Step::Batch(batch) => {
                batches += 1;
                for fault in &batch.faults {
                    out.fault(path, Some(batch.position), fault)?;
                }
            }
            Step::Lost { position, reason, .. } => out.fault(path, Some(position), &reason)?,
        }
    }
    out.end_file(path)?;
    Ok(batches)
}

/// Gives the offset after the last batch.
fn segment(
    directory: &Path,
    base: Offset,
    last: bool,
    known: &Known,
    seen: &mut Seen,
    out: &mut Out,
) -> Result<Offset, Failure> {
    let path = directory.join(SegmentFile::Log.name(base));
    let source = open(&path)?;
    let offsets = Check::open(directory.join(SegmentFile::OffsetIndex.name(base)))?;
    let times = Check::open(directory.join(SegmentFile::TimeIndex.name(base)))?;
    let mut indexes = Indexes::new(base, &offsets, &times);
    let mut walk = BatchWalk::new(&source, base);
    seen.segments += 1;
    let mut whole = true;
    loop {
        // What a crash left beyond the recovery point is for the journal to judge, at the next start.
        let open_end = !known.settled && last_or_open(last, known, walk.next_offset());
        let Some(step) = walk.step().map_err(Failure::file(&path))? else { break };
        match step {
            Step::Batch(batch) => {
                if !batch.faults.is_empty() && open_end {
                    unsettled(&path, batch.position, seen, out)?;
                    whole = false;
                    break;
                }
                seen.batches += 1;
                seen.bytes += batch.header.size() as u64;
                for fault in &batch.faults {
                    out.fault(&path, Some(batch.position), fault)?;
                }
                for (file, at, reason) in indexes.batch(&batch.header, batch.position)? {
                    out.fault(file, Some(at), &reason)?;
                }
            }
            Step::Lost { position, left, reason } => {
                whole = false;
                if open_end {
                    unsettled(&path, position, seen, out)?;
                } else {
                    out.fault(&path, Some(position), &format!("{reason}; {left} bytes not looked at"))?;
                }
            }
        }
    }
    if whole && known.settled {
        for (file, at, reason) in indexes.end()? {
            out.fault(file, Some(at), &reason)?;
        }
    }
    out.end_file(&path)?;
    Ok(walk.next_offset())
}

/// Whether what stands at this offset may be unfinished after a crash.
fn last_or_open(last: bool, known: &Known, next: Offset) -> bool {
    known.recovery_point.map_or(last, |point| next >= point)
}

fn unsettled(path: &Path, position: u64, seen: &mut Seen, out: &mut Out) -> Result<(), Failure> {
    seen.unsettled += 1;
    let line = Line::new("unsettled").text_field("file", &path.display().to_string(), 0);
    let reason = "not stopped cleanly: the next start takes what follows from the journal";
    out.line(&line.number("position", position, 0).text_field("reason", reason, 0))
}
