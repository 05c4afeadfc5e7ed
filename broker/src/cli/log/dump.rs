//! `slipring log dump`: which file is what, and the small ones.

use std::path::Path;

use slipring_protocol::ids::Offset;
use slipring_storage::checkpoint::{decode_epochs, decode_offsets, decode_partition_metadata};
use slipring_storage::directory::MetaProperties;
use slipring_storage::journal::JOURNAL_PREFIX;
use slipring_storage::layout::{self, SegmentFile};
use slipring_storage::producer_state::snapshot;

use super::out::{Line, Out};
use super::{Content, DumpArgs, Failure, batches, indexes, journal, list, name_of, read_small};

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file of a segment.
    Segment(SegmentFile, Offset),
    /// A snapshot of the metadata log.
    MetadataSnapshot,
    /// Offsets by partition.
    Offsets,
    /// Leader epochs.
    Epochs,
    /// A topic's id.
    PartitionMetadata,
    /// Whom the directory belongs to.
    Meta,
    /// A core's journal.
    Journal,
}

impl Kind {
    pub(super) fn of(name: &str) -> Option<Self> {
        if let Some(file) = layout::parse_segment_file(name) {
            return Some(Self::Segment(file.kind, file.base));
        }
        match name {
            layout::RECOVERY_POINT_CHECKPOINT
            | layout::LOG_START_CHECKPOINT
            | layout::HIGH_WATERMARK_CHECKPOINT
            | layout::CLEANER_CHECKPOINT => Some(Self::Offsets),
            layout::LEADER_EPOCH_CHECKPOINT => Some(Self::Epochs),
            layout::PARTITION_METADATA => Some(Self::PartitionMetadata),
            layout::META_PROPERTIES => Some(Self::Meta),
            _ if name.starts_with(JOURNAL_PREFIX) => Some(Self::Journal),
            _ => {
                let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
                let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                (digits(offset) && digits(epoch)).then_some(Self::MetadataSnapshot)
            }
        }
    }
}

/// Prints all that is asked for.
pub(super) fn run(args: &DumpArgs, out: &mut Out) -> Result<(), Failure> {
    for path in &args.files {
        if !path.is_dir() {
            let Some(kind) = Kind::of(&name_of(path)) else {
                let reason = "no name of a segment, index, snapshot, checkpoint or journal";
                return Err(Failure::Unknown { path: path.clone(), reason });
            };
            file(path, kind, args, out)?;
            continue;
        }
        for name in list(path)? {
            if let Some(kind) = Kind::of(&name) {
                file(&path.join(name), kind, args, out)?;
            }
        }
    }
    Ok(())
}

fn file(path: &Path, kind: Kind, args: &DumpArgs, out: &mut Out) -> Result<(), Failure> {
    let size = std::fs::metadata(path).map_err(Failure::file(path))?.len();
    let head = Line::new("file").text_field("path", &path.display().to_string(), 0);
    out.line(&head.number("bytes", size, 0))?;
    match kind {
        Kind::Segment(SegmentFile::Log, base) => batches::dump(path, base, content(path, args), args, out),
        Kind::Journal => journal::dump(path, args, out),
        Kind::MetadataSnapshot => batches::dump(path, Offset(0), Content::Metadata, args, out),
        Kind::Segment(SegmentFile::OffsetIndex, base) => indexes::dump_offsets(path, base, out),
        Kind::Segment(SegmentFile::TimeIndex, base) => indexes::dump_times(path, base, out),
        Kind::Segment(SegmentFile::TxnIndex, base) => indexes::dump_transactions(path, base, out),
        Kind::Segment(SegmentFile::ProducerSnapshot, _)
        | Kind::Offsets
        | Kind::Epochs
        | Kind::PartitionMetadata
        | Kind::Meta => match small_lines(kind, &read_small(path)?) {
            Ok(lines) => lines.iter().try_for_each(|line| out.line(line)),
            Err(reason) => out.fault(path, None, &reason),
        },
    }
}

/// What the records of a segment are: as told, or by the name of its directory.
fn content(path: &Path, args: &DumpArgs) -> Content {
    let directory = std::path::absolute(path).ok().and_then(|path| path.parent().map(name_of));
    let directory = directory.unwrap_or_default();
    args.content.unwrap_or(match layout::parse_partition_directory(&directory) {
        Some(found) if &*found.partition.topic == "__cluster_metadata" => Content::Metadata,
        Some(found) if &*found.partition.topic == "__consumer_offsets" => Content::Offsets,
        _ => Content::Plain,
    })
}

/// The lines of a small file, or what is wrong with it.
pub(super) fn small_lines(kind: Kind, bytes: &[u8]) -> Result<Vec<Line>, String> {
    match kind {
        Kind::Segment(SegmentFile::ProducerSnapshot, _) => {
            let producers = snapshot::decode(bytes).map_err(|error| error.to_string())?;
            Ok(producers.iter().map(producer).collect())
        }
        Kind::Offsets => {
            let offsets = decode_offsets(bytes).map_err(|error| error.to_string())?;
            let line = |name: &str, offset: Offset| {
                Line::new("offset").text_field("partition", name, 32).number("offset", offset.0, 0)
            };
            Ok(offsets.iter().map(|(partition, offset)| line(&partition.to_string(), *offset)).collect())
        }
        Kind::Epochs => {
            let epochs = decode_epochs(bytes).map_err(|error| error.to_string())?;
            let line = |epoch: i32, start: i64| {
                Line::new("epoch").number("epoch", epoch, 6).number("start", start, 0)
            };
            Ok(epochs.iter().map(|entry| line(entry.epoch.0, entry.start.0)).collect())
        }
        Kind::PartitionMetadata => {
            let id = decode_partition_metadata(bytes).map_err(|error| error.to_string())?;
            Ok(vec![Line::new("topic").text_field("id", &id.to_string(), 0)])
        }
        Kind::Meta => {
            let meta = MetaProperties::decode(bytes).map_err(|error| error.to_string())?;
            let line = Line::new("meta").text_field("cluster", &meta.cluster_id, 0);
            let line = line.number("node", meta.node_id.0, 0);
            Ok(vec![match meta.directory_id {
                Some(id) => line.text_field("directory", &slipring_protocol::ids::encode_uuid(id), 0),
                None => line,
            }])
        }
        Kind::Segment(..) | Kind::MetadataSnapshot | Kind::Journal => Err("no small file".to_owned()),
    }
}

fn producer(entry: &snapshot::SnapshotEntry) -> Line {
    let line = Line::new("producer")
        .number("producer", entry.producer_id.0, 6)
        .number("producer_epoch", entry.epoch.0, 3)
        .number("last_sequence", entry.last_sequence.0, 8)
        .number("last_offset", entry.last_offset.0, 8)
        .number("offset_delta", entry.offset_delta, 4)
        .number("time", entry.timestamp.0, 13)
        .number("coordinator_epoch", entry.coordinator_epoch, 0);
    match entry.txn_first_offset {
        Some(first) => line.number("txn_first", first.0, 0),
        None => line,
    }
}
