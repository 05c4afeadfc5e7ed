//! Whether what was acknowledged is there: counts by log ends, and on demand everything fetched back, every CRC computed and
//! every offset followed.

use std::thread;
use std::time::{Duration, Instant};

use slipring_protocol::batch::{Batches, crc_ok};
use slipring_protocol::client::Client;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use slipring_protocol::ids::{Offset, PartitionIndex};

use crate::admin::{Admin, End, Topic};
use crate::error::{Doing, PerfError, check_code};
use crate::request::{CLIENT_ID, FETCH_VERSION};
use crate::target::Target;

/// Checks that the log ends moved by exactly the records acknowledged. Unanswered requests (acks=0) are given time.
///
/// # Errors
/// When records are missing, or there are more than were sent.
pub(crate) fn count(
    admin: &mut Admin,
    topic: &Topic,
    before: &[i64],
    records: u64,
    unanswered: bool,
) -> Result<(), PerfError> {
    let start = Instant::now();
    loop {
        let after = admin.offsets(topic, End::Latest)?;
        let grown: i64 = after.iter().zip(before).map(|(after, before)| after - before).sum();
        if grown == records as i64 {
            return Ok(());
        }
        if !unanswered || start.elapsed() > ARRIVAL {
            let text = format!("{records} records were acknowledged, the logs grew by {grown}");
            return Err(PerfError::Wrong(text));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Fetches a topic from its beginning to its end; gives the records and bytes that there are.
///
/// # Errors
/// A CRC that does not fit, a gap or a repetition in the offsets, or any error code.
pub(crate) fn contents(target: &Target, topic: &Topic) -> Result<(u64, u64), PerfError> {
    let mut admin = Admin::connect(target.broker)?;
    let (starts, ends) = (admin.offsets(topic, End::Earliest)?, admin.offsets(topic, End::Latest)?);
    let mut client = Client::connect(target.broker, CLIENT_ID).doing("connect to the broker")?;
    let (mut records, mut bytes) = (0, 0);
    for (index, (&start, &end)) in starts.iter().zip(&ends).enumerate() {
        let mut next = start;
        while next < end {
            let (after, len) = fetch(&mut client, topic, index as i32, next)?;
            records += (after - next) as u64;
            bytes += len;
            next = after;
        }
        if next != end {
            return Err(PerfError::Wrong(format!("partition {index} goes on to {next}, its end is {end}")));
        }
    }
    Ok((records, bytes))
}

/// Fetches some batches and checks them; gives the offset after them and their bytes.
fn fetch(client: &mut Client, topic: &Topic, index: i32, from: i64) -> Result<(i64, u64), PerfError> {
    let partition = FetchPartition::new(PartitionIndex(index), Offset(from), FETCH_BYTES);
    let request = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        topics: vec![FetchTopic { topic_id: topic.id, partitions: vec![partition], ..FetchTopic::default() }],
        ..FetchRequest::default()
    };
    let answer = client.fetch(FETCH_VERSION, &request).doing("fetch back")?;
    check_code(answer.head.error.code(), "fetch back")?;
    let Some(partition) = answer.topics.first().and_then(|topic| topic.partitions.first()) else {
        return Err(PerfError::Wrong("Fetch answers for no partition".to_owned()));
    };
    if partition.head.error != ErrorCode::None {
        let doing = format!("fetch back partition {index} from offset {from}");
        return Err(PerfError::Broker { doing, error: partition.head.error });
    }
    check_batches(partition.records.as_deref().unwrap_or_default(), from)
        .map_err(|text| PerfError::Wrong(format!("partition {index}: {text}")))
}

/// Checks whole batches that begin at an offset; gives the offset after them and their bytes.
pub(crate) fn check_batches(records: &[u8], from: i64) -> Result<(i64, u64), String> {
    let mut next = from;
    let mut batches = Batches::new(records);
    for batch in batches.by_ref() {
        let batch = batch.map_err(|error| format!("at offset {next}: {error}"))?;
        if !crc_ok(batch.bytes) {
            return Err(format!("the batch at offset {next} has a wrong CRC"));
        }
        let header = batch.header;
        if header.base_offset.0 != next || header.last_offset_delta + 1 != header.record_count {
            return Err(format!("after offset {next} comes {header:?}"));
        }
        next = header.next_offset().0;
    }
    if next == from {
        return Err(format!("nothing comes at offset {from}"));
    }
    Ok((next, batches.whole_bytes() as u64))
}

/// Bytes fetched at a time.
const FETCH_BYTES: i32 = 8 << 20;
/// How long records that nobody acknowledges may take.
const ARRIVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use slipring_protocol::batch::patch_base_offset_and_epoch;
    use slipring_protocol::ids::{LeaderEpoch, TimestampMs};

    use super::*;
    use crate::batch::BatchSpec;

    fn log(bases: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &base in bases {
            let mut batch =
                BatchSpec { records_per_batch: 3, ..BatchSpec::single(10) }.encode(TimestampMs(1)).bytes;
            patch_base_offset_and_epoch(&mut batch, Offset(base), LeaderEpoch(0));
            bytes.extend(batch);
        }
        bytes
    }

    #[test]
    fn whole_batches_in_order_pass() {
        let bytes = log(&[5, 8, 11]);
        assert_eq!(check_batches(&bytes, 5), Ok((14, bytes.len() as u64)));
        let cut = bytes.len() / 3 * 2;
        assert_eq!(check_batches(&bytes[..cut + 70], 5), Ok((11, cut as u64)));
    }

    #[test]
    fn gaps_repetitions_and_damage_do_not() {
        assert!(check_batches(&log(&[5, 9]), 5).is_err());
        assert!(check_batches(&log(&[5, 5]), 5).is_err());
        assert!(check_batches(&log(&[5]), 4).is_err());
        assert!(check_batches(&[], 4).is_err());
        let mut bytes = log(&[5]);
        *bytes.last_mut().unwrap() ^= 1;
        assert!(check_batches(&bytes, 5).unwrap_err().contains("CRC"));
    }
}
