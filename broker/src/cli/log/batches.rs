//! Segments and metadata snapshots, batch by batch.

use std::path::Path;

use slipring_protocol::batch::{BatchHeader, TimestampType};
use slipring_protocol::ids::Offset;
use slipring_storage::inspect::{BatchWalk, SeenBatch, Step};

use super::out::{Line, Out};
use super::{Content, DumpArgs, Failure, open, records};

/// Largest batch whose records are shown, and most bytes that they may inflate to.
pub(super) const RECORDS_BYTES_MAX: usize = 64 << 20;

/// Prints the batches of a file.
pub(super) fn dump(
    path: &Path,
    base: Offset,
    content: Content,
    args: &DumpArgs,
    out: &mut Out,
) -> Result<(), Failure> {
    let source = open(path)?;
    let mut walk = BatchWalk::new(&source, base);
    while let Some(step) = walk.step().map_err(Failure::file(path))? {
        match step {
            Step::Batch(batch) => {
                out.line(&line(&batch))?;
                for fault in &batch.faults {
                    out.fault(path, Some(batch.position), fault)?;
                }
                if args.records {
                    match walk.bytes(&batch, RECORDS_BYTES_MAX).map_err(Failure::file(path))? {
                        Some(bytes) => records::dump(path, &batch, &bytes, content, args, out)?,
                        None => out.fault(path, Some(batch.position), "too large to show its records")?,
                    }
                }
            }
            Step::Lost { position, left, reason } => {
                out.fault(path, Some(position), &format!("{reason}; {left} bytes not looked at"))?;
            }
        }
    }
    out.end_file(path)
}

fn line(batch: &SeenBatch) -> Line {
    let header = &batch.header;
    let codec = header.compression().map_or("unknown", slipring_protocol::batch::Compression::name);
    let mut line = Line::new("batch")
        .number("position", batch.position, 10)
        .number("size", header.size() as u64, 7)
        .number("first", header.base_offset.0, 8)
        .number("last", header.last_offset().0, 8)
        .number("records", header.record_count, 5)
        .number("epoch", header.leader_epoch.0, 3)
        .text_field("codec", codec, 6)
        .text_field("time", time_name(header), 6)
        .number("max_time", header.max_timestamp.0, 13)
        .text_field("crc", &format!("{:#010x}", header.crc), 0);
    if header.has_producer_id() {
        line = line
            .number("producer", header.producer_id.0, 0)
            .number("producer_epoch", header.producer_epoch.0, 0)
            .number("sequence", header.base_sequence.0, 0)
            .number("last_sequence", header.last_sequence().0, 0);
    }
    let flags = [
        (header.is_transactional(), "transactional"),
        (header.is_control(), "control"),
        (header.has_delete_horizon(), "delete-horizon"),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    if flags.is_empty() { line } else { line.text_field("flags", &flags.join(","), 0) }
}

fn time_name(header: &BatchHeader) -> &'static str {
    match header.timestamp_type() {
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "append",
    }
}
