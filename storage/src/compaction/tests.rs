//! Cleaning against a plain model: seeded logs of all codecs, tombstones, idempotent producers, several rounds.

use std::collections::BTreeMap;

use slipring_protocol::batch::{BatchBuilder, BatchHeader, Compression, Records, crc_ok, record_area};
use slipring_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::filter::{Kept, LastRecord, Rules, clean_batch, index_batch};
use super::offset_map::OffsetMap;
use super::plan::{CompactionConfig, GroupLimits, Input, Source, cleanable, group};
use super::txns::CleanedTxns;
use crate::segment::txn_index::AbortedTxn;

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A record as the model and the log agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

fn records_of(batch: &[u8]) -> Vec<Plain> {
    let header = BatchHeader::parse(batch).unwrap();
    assert!(crc_ok(batch));
    let area = record_area(batch, 1 << 20).unwrap();
    let plain = |record: slipring_protocol::batch::Record<'_>| Plain {
        offset: header.base_offset.0 + i64::from(record.offset_delta),
        timestamp: header.base_timestamp.0 + record.timestamp_delta,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
    };
    Records::new(&area, header.record_count).map(|record| plain(record.unwrap())).collect()
}

/// A log of batches; some by one producer, some records without a key or without a value.
fn random_log(rng: &mut Rng, from: i64, batches: u64) -> Vec<Vec<u8>> {
    let mut offset = from;
    let mut log = Vec::new();
    for _ in 0..batches {
        let mut builder = BatchBuilder::new();
        builder.base_offset(Offset(offset));
        builder.compression(Compression::ALL[rng.below(5) as usize]);
        if rng.below(3) == 0 {
            builder.producer(ProducerId(5), ProducerEpoch(1), Sequence(offset as i32));
        }
        for _ in 0..1 + rng.below(6) {
            let key = [b'k', rng.below(12) as u8];
            let key = (rng.below(20) > 0).then_some(&key[..]);
            let value = offset.to_be_bytes();
            let value = (rng.below(5) > 0).then_some(&value[..]);
            builder.append(TimestampMs(1_000 + offset), key, value);
            offset += 1;
        }
        log.push(builder.build());
    }
    log
}

/// One round over a whole log: what `Cleaner.clean` does between two checkpoints.
fn clean(log: &[Vec<u8>], first_dirty: i64, rules: &Rules, map: &mut OffsetMap) -> Vec<Vec<u8>> {
    let mut txns = CleanedTxns::default();
    for batch in log {
        if BatchHeader::parse(batch).unwrap().last_offset().0 >= first_dirty
            && !index_batch(batch, Offset(first_dirty), map, &mut txns).unwrap()
        {
            break;
        }
    }
    let mut txns = CleanedTxns::default();
    let mut cleaned = Vec::new();
    for batch in log {
        match clean_batch(batch, rules, map, &mut txns).unwrap() {
            Kept::All => cleaned.push(batch.clone()),
            Kept::Some(batch) => cleaned.push(batch),
            Kept::Nothing => {}
        }
    }
    cleaned
}

fn rules(now: i64) -> Rules {
    Rules { now: TimestampMs(now), delete_retention_ms: 100, producers: BTreeMap::new() }
}

#[test]
fn what_stays_is_the_last_of_each_key() {
    for seed in 0..60 {
        let mut rng = Rng(seed);
        let log = random_log(&mut rng, 0, 40);
        let all: Vec<Plain> = log.iter().flat_map(|batch| records_of(batch)).collect();
        let last_batch = log.iter().rev().map(|batch| BatchHeader::parse(batch).unwrap());
        let last_of_producer = last_batch.clone().find(BatchHeader::has_producer_id);
        let mut rules = rules(10_000);
        if let Some(header) = &last_of_producer {
            let last = LastRecord { data: Some(header.last_offset()), epoch: ProducerEpoch(1) };
            rules.producers.insert(ProducerId(5), last);
        }
        let mut map = OffsetMap::new(1 << 16, 1_000, seed);
        let cleaned = clean(&log, 0, &rules, &mut map);
        let mut model: BTreeMap<Vec<u8>, Plain> = BTreeMap::new();
        for record in all.iter().filter(|record| record.key.is_some()) {
            model.insert(record.key.clone().unwrap(), record.clone());
        }
        let mut expected: Vec<Plain> = model.into_values().collect();
        expected.sort_by_key(|record| record.offset);
        let found: Vec<Plain> = cleaned.iter().flat_map(|batch| records_of(batch)).collect();
        assert_eq!(found, expected, "seed {seed}: first round");
        let kept_producer = cleaned
            .iter()
            .map(|batch| BatchHeader::parse(batch).unwrap())
            .find(|header| Some(header.last_offset()) == last_of_producer.map(|last| last.last_offset()));
        assert_eq!(
            kept_producer.is_some(),
            last_of_producer.is_some(),
            "seed {seed}: retries are recognised"
        );
        // Before the horizon tombstones stay, afterwards they go.
        for (now, tombstones) in [(10_099, true), (10_100, false)] {
            let rules = Rules { now: TimestampMs(now), ..rules.clone() };
            let again = clean(&cleaned, 0, &rules, &mut OffsetMap::new(1 << 16, 1_000, seed + 1));
            let found: Vec<Plain> = again.iter().flat_map(|batch| records_of(batch)).collect();
            let stays = |record: &&Plain| tombstones || record.value.is_some();
            let expected: Vec<Plain> = expected.iter().filter(stays).cloned().collect();
            assert_eq!(found, expected, "seed {seed}: second round at {now}");
        }
    }
}

#[test]
fn a_full_table_judges_only_what_it_knows() {
    for seed in 0..20 {
        let mut rng = Rng(seed);
        let log = random_log(&mut rng, 0, 40);
        let mut map = OffsetMap::new(8 * super::offset_map::ENTRY_BYTES, 1_000, seed);
        let cleaned = clean(&log, 0, &rules(10_000), &mut map);
        let latest = map.latest().0;
        let all: Vec<Plain> = log.iter().flat_map(|batch| records_of(batch)).collect();
        assert!(latest < all.last().unwrap().offset, "twelve keys do not fit seven entries");
        let known: Vec<&Plain> = all.iter().filter(|record| record.offset <= latest).collect();
        let is_last = |record: &Plain| {
            record.offset > latest
                || record.key.is_some()
                    && !known.iter().any(|other| other.key == record.key && other.offset > record.offset)
        };
        let expected: Vec<Plain> = all.iter().filter(|record| is_last(record)).cloned().collect();
        let found: Vec<Plain> = cleaned.iter().flat_map(|batch| records_of(batch)).collect();
        // A key that was refused may have left an offset in the table that lies beyond `latest`.
        let missing: Vec<&Plain> = expected.iter().filter(|record| !found.contains(record)).collect();
        for record in missing {
            let later = all.iter().any(|other| other.key == record.key && other.offset > record.offset);
            assert!(later, "seed {seed}: {record:?} is gone and nothing later has its key");
        }
    }
}

#[test]
fn records_of_aborted_transactions_go_and_markers_follow() {
    let data = |base: i64, producer: i64| {
        let mut builder = BatchBuilder::new();
        builder.base_offset(Offset(base)).transactional();
        builder.producer(ProducerId(producer), ProducerEpoch(0), Sequence(0));
        builder.append(TimestampMs(base), Some(&[producer as u8]), Some(b"v"));
        builder.build()
    };
    let marker = |base: i64, producer: i64, kind: u8| {
        let mut builder = BatchBuilder::new();
        builder.base_offset(Offset(base)).transactional().control();
        builder.producer(ProducerId(producer), ProducerEpoch(0), Sequence(-1));
        builder.append(TimestampMs(base), Some(&[0, 0, 0, kind]), Some(&[0; 6]));
        builder.build()
    };
    let log = [data(0, 1), data(1, 2), marker(2, 1, 0), marker(3, 2, 1), data(4, 3), marker(5, 3, 1)];
    let aborted = AbortedTxn {
        producer_id: ProducerId(1),
        first_offset: Offset(0),
        last_offset: Offset(2),
        last_stable_offset: Offset(0),
    };
    let round = |log: &[Vec<u8>], now: i64| {
        let mut map = OffsetMap::new(1 << 12, 100, 1);
        let mut txns = CleanedTxns::default();
        txns.add_aborted([aborted]);
        for batch in log {
            assert!(index_batch(batch, Offset(0), &mut map, &mut txns).unwrap());
        }
        let mut txns = CleanedTxns::default();
        txns.add_aborted([aborted]);
        let mut cleaned = Vec::new();
        for batch in log {
            match clean_batch(batch, &rules(now), &map, &mut txns).unwrap() {
                Kept::All => cleaned.push(batch.clone()),
                Kept::Some(batch) => cleaned.push(batch),
                Kept::Nothing => {}
            }
        }
        (cleaned, txns.take_kept())
    };
    let offsets = |log: &[Vec<u8>]| -> Vec<i64> {
        log.iter().map(|batch| BatchHeader::parse(batch).unwrap().base_offset.0).collect()
    };
    let (first, kept) = round(&log, 1_000);
    assert_eq!(offsets(&first), [1, 2, 3, 4, 5], "the aborted record goes, its marker stays for now");
    assert_eq!(kept, [aborted]);
    let (second, kept) = round(&first, 2_000);
    assert_eq!((offsets(&second), kept), (vec![1, 2, 3, 4, 5], vec![]), "the marker gets its horizon");
    assert!(BatchHeader::parse(&second[1]).unwrap().has_delete_horizon());
    let (third, _) = round(&second, 2_100);
    assert_eq!(offsets(&third), [1, 3, 4, 5]);
}

const CONFIG: CompactionConfig = CompactionConfig {
    dirty_ratio_min_millionths: 500_000,
    lag_min_ms: 0,
    lag_max_ms: i64::MAX,
    delete_retention_ms: 0,
};

/// Five segments of ten offsets and 100 bytes each; the last is active.
fn sources() -> Vec<Source> {
    (0..5)
        .map(|at| Source {
            base: Offset(at * 10),
            next: Offset(at * 10 + 10),
            size: 100,
            offset_index: 8,
            time_index: 12,
            first: Some(TimestampMs(at * 1_000 + 1)),
            largest: TimestampMs(at * 1_000 + 900),
        })
        .collect()
}

#[test]
fn what_is_cleanable() {
    let segments = sources();
    let input = Input {
        config: CONFIG,
        segments: &segments,
        log_start: Offset(0),
        last_stable: Offset(50),
        cleaned: None,
        now: TimestampMs(5_000),
    };
    let all = cleanable(&input);
    assert_eq!((all.first_dirty, all.upper, all.dirty_bytes), (Offset(0), Offset(40), 400));
    assert!(all.is_wanted(&CONFIG) && !all.is_due);
    let half = cleanable(&Input { cleaned: Some(Offset(20)), ..input });
    assert_eq!((half.clean_bytes, half.dirty_bytes, half.ratio_millionths()), (200, 200, 500_000));
    assert!(!half.is_wanted(&CONFIG), "the ratio must be passed, not reached");
    let due = CompactionConfig { lag_max_ms: 2_000, ..CONFIG };
    assert!(cleanable(&Input { cleaned: Some(Offset(20)), config: due, ..input }).is_wanted(&due));
    let lagging = CompactionConfig { lag_min_ms: 3_000, ..CONFIG };
    assert_eq!(cleanable(&Input { config: lagging, ..input }).upper, Offset(20), "largest 2900 is too young");
    assert_eq!(cleanable(&Input { last_stable: Offset(13), ..input }).upper, Offset(13));
    let beyond = cleanable(&Input { cleaned: Some(Offset(90)), ..input });
    assert_eq!(beyond.first_dirty, Offset(0), "a checkpoint beyond the log counts for nothing");
    let deleted = cleanable(&Input { log_start: Offset(25), cleaned: Some(Offset(20)), ..input });
    assert_eq!(deleted.first_dirty, Offset(25));
    let done = cleanable(&Input { cleaned: Some(Offset(40)), ..input });
    assert!(!done.is_wanted(&CompactionConfig { dirty_ratio_min_millionths: 0, ..CONFIG }));
}

#[test]
fn neighbours_join_up_to_the_limits() {
    let mut segments = sources();
    let limits = GroupLimits { segment_bytes: 250, index_bytes: 1 << 20 };
    assert_eq!(group(&segments, limits), [2, 2, 1]);
    assert_eq!(group(&segments, GroupLimits { index_bytes: 36, ..limits }), [2, 2, 1]);
    assert_eq!(group(&segments, GroupLimits { index_bytes: 12, ..limits }), [1; 5]);
    segments[1].next = Offset(i64::from(i32::MAX) + 2);
    assert_eq!(group(&segments[..2], limits), [1, 1], "offsets are relative in 31 bits");
    assert!(group(&[], limits).is_empty());
}
