//! One entry for fuzzers and the seeded-mutation test: everything of this room that reads bytes from outside.

use bytes::Bytes;

use super::{
    BATCH_HEADER_SIZE, BatchRules, Batches, Checked, Compression, ControlRecord, Progress, Records,
    StoredCodec, TimestampType, check_produced, decompression_memory, first_record_at_or_after, is_long,
    record_area, record_of_max_timestamp,
};
use crate::ids::{Offset, TimestampMs};

/// Parses, walks, validates, inflates (within limits) and looks into `bytes`. Must neither panic nor run long.
#[doc(hidden)]
pub fn fuzz_batch(bytes: &[u8]) {
    for batch in Batches::new(bytes).flatten() {
        let _ = (batch.header.last_sequence(), batch.header.next_offset(), is_long(&batch.header));
        let area = &batch.bytes[BATCH_HEADER_SIZE..];
        for record in Records::new(area, batch.header.record_count).flatten() {
            assert_eq!(record.headers.count(), record.headers.len(), "checked headers can all be read");
        }
        if let Ok(codec) = batch.header.compression() {
            let _ = decompression_memory(codec, area);
        }
        let _ = ControlRecord::first_of(batch.bytes);
        if batch.header.record_count < 10_000 {
            let _ = record_area(batch.bytes, 1 << 20);
            let _ = record_of_max_timestamp(batch.bytes);
            let _ = first_record_at_or_after(batch.bytes, TimestampMs(0), Offset(1));
        }
    }
    let records = Bytes::copy_from_slice(bytes);
    let stored = Some(StoredCodec { codec: Compression::Lz4, level: None });
    for (produce_version, compacted, timestamp_type, stored) in
        [(3, true, TimestampType::CreateTime, None), (12, false, TimestampType::LogAppendTime, stored)]
    {
        let rules = BatchRules {
            compacted,
            timestamp_type,
            timestamp_before_max_ms: 1,
            stored,
            ..BatchRules::default()
        };
        if let Ok(Checked::Deep(mut check)) =
            check_produced(&records, produce_version, &rules, TimestampMs(0))
        {
            let _ = check.memory();
            for budget in [0, 1, 1 << 10, 1 << 16, 1 << 20] {
                if matches!(check.run(budget), Progress::Done(_)) {
                    break;
                }
            }
        }
    }
}
