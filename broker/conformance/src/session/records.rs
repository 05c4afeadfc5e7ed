//! Record batches as a tree: every header field, whether the checksum holds, and the record area by size and
//! checksum, as it lies there and unpacked.

use serde_json::{Value, json};
use slipring_protocol::batch::{Batches, crc_ok, record_area};

/// The batches of a fetched record set. A cut one at the end is told apart.
pub(crate) fn describe(bytes: &[u8]) -> Value {
    let mut batches = Batches::new(bytes);
    let mut list = Vec::new();
    for batch in batches.by_ref() {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                list.push(json!({ "broken": error.to_string() }));
                break;
            }
        };
        let header = batch.header;
        let area = batch.bytes.get(61..).unwrap_or_default();
        list.push(json!({
            "base_offset": header.base_offset.0,
            "batch_length": header.batch_length,
            "partition_leader_epoch": header.leader_epoch.0,
            "crc": header.crc,
            "crc_ok": crc_ok(batch.bytes),
            "attributes": header.attributes,
            "last_offset_delta": header.last_offset_delta,
            "base_timestamp": header.base_timestamp.0,
            "max_timestamp": header.max_timestamp.0,
            "producer_id": header.producer_id.0,
            "producer_epoch": header.producer_epoch.0,
            "base_sequence": header.base_sequence.0,
            "record_count": header.record_count,
            "area_bytes": area.len(),
            "area_crc": crc32c::crc32c(area),
            "records_crc": record_area(batch.bytes, RECORDS_BYTES_MAX).ok().map(|records| crc32c::crc32c(&records)),
        }));
    }
    json!({ "batches": list, "bytes_of_a_cut_batch": batches.rest() })
}

/// Far more than any script's batch unpacks to.
const RECORDS_BYTES_MAX: usize = 64 << 20;
