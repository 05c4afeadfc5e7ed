//! Reads a partition from its start to its end and holds it against what was promised.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use slipring_protocol::batch::{Batch, Batches, crc_ok};
use slipring_protocol::client::Client;
use slipring_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use slipring_protocol::ids::{BrokerId, Offset, PartitionIndex};
use slipring_protocol::wire::WireStr;

use super::content::{self, Slot};
use super::ledger::{Ledger, Promises};
use super::{PLACES, lock};

/// What a check found in the logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Next number of every idempotent producer in every partition: by slot, then by producer.
    pub(crate) next: Vec<Vec<u64>>,
}

/// Reads all partitions and compares.
///
/// # Errors
/// Everything that is wrong, by partition; reading of a partition stops at its first wrong batch.
pub(crate) fn check(
    address: SocketAddr,
    ledger: &Mutex<Ledger>,
    fleet: &[bool],
) -> Result<Found, Vec<String>> {
    let mut found = Found::default();
    let mut wrong = Vec::new();
    for (slot, (topic, partition)) in PLACES.iter().enumerate() {
        let promises = lock(ledger).promises(slot);
        match check_slot(address, slot, promises, fleet) {
            Ok(walk) => {
                found.records += walk.next as u64;
                found.bytes += walk.bytes;
                found.next.push(walk.numbers);
            }
            Err(why) => wrong.push(format!("{topic}-{partition}: {why}")),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// Fetches from one partition of [`PLACES`] without a session; batches and high watermark.
///
/// # Errors
/// Of the connection, or `InvalidData` with the error that the broker answered.
pub(crate) fn fetch(
    client: &mut Client,
    slot: Slot,
    offset: i64,
    bytes_max: i32,
) -> io::Result<(Vec<u8>, i64)> {
    let (topic, partition) = PLACES[slot];
    let index = PartitionIndex(partition);
    let request = FetchRequest {
        replica_id: BrokerId(-1),
        max_bytes: bytes_max,
        topics: vec![FetchTopic {
            name: WireStr::from_static_str(topic),
            partitions: vec![FetchPartition::new(index, Offset(offset), bytes_max)],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let response = client.fetch(FETCH_VERSION, &request)?;
    let partition = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
    let Some(partition) = partition.filter(|_| !response.head.error.is_error()) else {
        let why = format!("fetch at {offset}: error {:?}", response.head.error);
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    };
    if partition.head.error.is_error() {
        let why = format!("fetch at {offset}: error {:?}", partition.head.error);
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let records = partition.records.map(|records| records.to_vec()).unwrap_or_default();
    Ok((records, partition.head.high_watermark.0))
}

fn check_slot(
    address: SocketAddr,
    slot: Slot,
    promises: Promises,
    fleet: &[bool],
) -> Result<Walk<'_>, String> {
    let mut client = Client::connect(address, "check").map_err(|error| error.to_string())?;
    let mut walk = Walk::new(slot, promises, fleet);
    let mut latest = None;
    loop {
        let (bytes, high_watermark) =
            fetch(&mut client, slot, walk.next, FETCH_BYTES).map_err(|error| error.to_string())?;
        // Load may go on: what came after the first answer is the next check's.
        let latest = *latest.get_or_insert(high_watermark);
        if latest < walk.promises.end() {
            return Err(format!("ends at {latest}, but {} was promised", walk.promises.end()));
        }
        let before = walk.next;
        for batch in Batches::new(&bytes) {
            walk.batch(&batch.map_err(|error| format!("at {}: {error}", walk.next))?)?;
        }
        if walk.next >= latest {
            return walk.finish();
        }
        if walk.next == before {
            return Err(format!("nothing comes at {before}, but the log ends at {latest}"));
        }
    }
}

/// How far one partition was read, and what the next batch must look like.
#[derive(Debug)]
struct Walk<'a> {
    slot: Slot,
    promises: Promises,
    /// By producer: whether it is idempotent.
    fleet: &'a [bool],
    next: i64,
    epoch: i32,
    /// By producer: the next number of an idempotent one, the lowest possible one of a plain one.
    numbers: Vec<u64>,
    kept: usize,
    bytes: u64,
}

impl<'a> Walk<'a> {
    fn new(slot: Slot, promises: Promises, fleet: &'a [bool]) -> Self {
        let numbers = vec![0; fleet.len()];
        Self { slot, promises, fleet, next: 0, epoch: 0, numbers, kept: 0, bytes: 0 }
    }

    fn batch(&mut self, batch: &Batch<'_>) -> Result<(), String> {
        let (header, at) = (&batch.header, batch.header.base_offset.0);
        if at != self.next {
            return Err(format!("a batch at {at} where {} comes next", self.next));
        }
        if !crc_ok(batch.bytes) {
            return Err(format!("the batch at {at} has a wrong checksum"));
        }
        if header.leader_epoch.0 < self.epoch {
            return Err(format!("leader epoch {} at {at} after {}", header.leader_epoch.0, self.epoch));
        }
        let records = i64::from(header.record_count);
        if i64::from(header.last_offset_delta) + 1 != records {
            return Err(format!("{records} records up to delta {} at {at}", header.last_offset_delta));
        }
        let first = content::read(header, batch.bytes).map_err(|why| format!("at {at}: {why}"))?;
        if first.slot != self.slot {
            return Err(format!("{first:?} at {at}: a record of another partition"));
        }
        self.number(first.producer, first.number, records as u64).map_err(|why| format!("at {at}: {why}"))?;
        self.promised(at, at + records, header.crc, first)?;
        self.next = at + records;
        self.epoch = header.leader_epoch.0;
        self.bytes += batch.bytes.len() as u64;
        Ok(())
    }

    /// An idempotent producer's numbers are dense. A plain one sends each record once, so its numbers rise, with gaps where
    /// nothing was acknowledged.
    fn number(&mut self, producer: u16, number: u64, records: u64) -> Result<(), String> {
        let index = usize::from(producer);
        let (Some(next), Some(idempotent)) = (self.numbers.get_mut(index), self.fleet.get(index)) else {
            return Err(format!("producer {producer} is none of ours"));
        };
        let expected = *next;
        if number < expected {
            return Err(format!("producer {producer}: record {number} again, {expected} comes next"));
        }
        if *idempotent && number > expected {
            return Err(format!("idempotent producer {producer}: record {number}, {expected} is missing"));
        }
        *next = number + records;
        Ok(())
    }

    fn promised(&mut self, at: i64, end: i64, crc: u32, first: content::Name) -> Result<(), String> {
        if let Some(held) = self.promises.acknowledged_at(at) {
            if (held.first, i64::from(held.records), held.crc) != (first, end - at, crc) {
                return Err(format!("{first:?} at {at}, but {held:?} was acknowledged there"));
            }
            self.kept += 1;
        }
        if self.promises.shown_at(at).is_some_and(|shown| shown != crc) {
            return Err(format!("{first:?} at {at} is not what a consumer was shown there"));
        }
        match self.promises.broken_inside(at, end) {
            Some(lost) => Err(format!("{lost} was acknowledged, but the batch at {at} covers it")),
            None => Ok(()),
        }
    }

    /// Every promise must have been met, not merely covered.
    fn finish(self) -> Result<Self, String> {
        let promised = self.promises.acknowledged();
        if self.kept == promised {
            return Ok(self);
        }
        Err(format!("{promised} batches were acknowledged, {} are there", self.kept))
    }
}

const FETCH_VERSION: i16 = 12;
const FETCH_BYTES: i32 = 8 << 20;

#[cfg(test)]
mod tests {
    use slipring_protocol::ids::{LeaderEpoch, ProducerEpoch, ProducerId, TimestampMs};

    use super::super::content::{Batch as Sent, Name, Size};
    use super::*;
    use crate::chance::Chance;

    const FLEET: &[bool] = &[true, false];

    fn sent(producer: u16, number: u64) -> Sent {
        let identity = (producer == 0).then_some((ProducerId(4), ProducerEpoch(0)));
        let size = Size { records: 4, value: (16, 60) };
        content::batch(
            Name { producer, slot: 0, number },
            size,
            identity,
            TimestampMs(1),
            &mut Chance::new(number),
        )
    }

    fn stored(batch: &Sent, offset: i64, epoch: i32) -> Vec<u8> {
        let mut bytes = batch.bytes.to_vec();
        slipring_protocol::batch::patch_base_offset_and_epoch(&mut bytes, Offset(offset), LeaderEpoch(epoch));
        bytes
    }

    /// Four batches of four records: idempotent 0 and 4, plain 0 and 8 (4 was never acknowledged), epochs 1 and 2.
    fn log() -> Vec<Vec<u8>> {
        let batches = [sent(0, 0), sent(1, 0), sent(0, 4), sent(1, 8)];
        batches.iter().zip(0..).map(|(batch, index)| stored(batch, index * 4, 1 + index as i32 / 2)).collect()
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(1);
        ledger.acknowledge(&sent(0, 0), 0).unwrap();
        ledger.acknowledge(&sent(1, 8), 12).unwrap();
        ledger.show(0, 4, 8, sent(1, 0).crc).unwrap();
        ledger
    }

    fn walk(log: &[Vec<u8>], ledger: &Ledger) -> Result<i64, String> {
        let mut walk = Walk::new(0, ledger.promises(0), FLEET);
        let bytes = log.concat();
        for batch in Batches::new(&bytes) {
            walk.batch(&batch.map_err(|error| error.to_string())?)?;
        }
        Ok(walk.finish()?.next)
    }

    #[test]
    fn a_log_that_keeps_its_promises_passes() {
        assert_eq!(walk(&log(), &ledger()), Ok(16));
    }

    #[test]
    fn broken_promises_are_seen() {
        let fails = |change: &dyn Fn(&mut Vec<Vec<u8>>), why: &str| {
            let mut log = log();
            change(&mut log);
            let outcome = walk(&log, &ledger());
            assert!(outcome.as_ref().is_err_and(|error| error.contains(why)), "{outcome:?}, not {why}");
        };
        fails(&|log| drop(log.pop()), "2 batches were acknowledged, 1 are there");
        fails(&|log| drop(log.remove(1)), "a batch at 8 where 4 comes next");
        fails(&|log| log[3] = stored(&sent(0, 4), 12, 2), "record 4 again, 8 comes next");
        fails(&|log| log[3] = stored(&sent(0, 12), 12, 2), "8 is missing");
        fails(&|log| log[3] = stored(&sent(1, 4), 12, 2), "was acknowledged there");
        fails(&|log| log[3] = stored(&sent(1, 0), 12, 2), "record 0 again");
        fails(&|log| log[1] = stored(&sent(1, 2), 4, 1), "is not what a consumer was shown");
        fails(&|log| log[2] = stored(&sent(0, 4), 8, 0), "leader epoch 0 at 8 after 1");
        fails(&|log| *log[2].last_mut().unwrap() ^= 1, "wrong checksum");
        fails(&|log| log[3] = stored(&sent(7, 0), 12, 2), "producer 7 is none of ours");
    }

    #[test]
    fn a_promise_inside_another_batch_is_broken() {
        let mut ledger = Ledger::new(1);
        ledger.acknowledge(&sent(1, 0), 6).unwrap();
        let outcome = walk(&log(), &ledger);
        assert!(outcome.unwrap_err().contains("6 was acknowledged, but the batch at 4 covers it"));
    }
}
