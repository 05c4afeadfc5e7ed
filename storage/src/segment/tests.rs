//! Indexes against a linear model, at their limits, and damaged.

use bytes::Bytes;
use proptest::prelude::*;
use slipring_protocol::ids::{Offset, ProducerId, TimestampMs};

use super::index::{self, IndexError, IndexView, OffsetIndex, OffsetPosition};
use super::time_index::{self, TimeIndex, TimeIndexView, TimestampOffset};
use super::txn_index::{self, AbortedTxn, TxnIndex, TxnIndexError, TxnIndexView};

const BASE: Offset = Offset(1_000);

fn at(offset: i64, position: u32) -> OffsetPosition {
    OffsetPosition { offset: Offset(offset), position }
}

fn time(timestamp: i64, offset: i64) -> TimestampOffset {
    TimestampOffset { timestamp: TimestampMs(timestamp), offset: Offset(offset) }
}

fn txn(first: i64, last: i64, stable: i64) -> AbortedTxn {
    AbortedTxn {
        producer_id: ProducerId(first),
        first_offset: Offset(first),
        last_offset: Offset(last),
        last_stable_offset: Offset(stable),
    }
}

proptest! {
    #[test]
    fn offset_lookups_equal_a_linear_search(
        steps in prop::collection::vec((1i64..50, 1u32..5_000), 0..60),
        targets in prop::collection::vec(-10i64..2_000, 1..20),
        cut in 0i64..2_000,
    ) {
        let mut index = OffsetIndex::new(BASE, 1 << 20);
        let mut model = Vec::new();
        let (mut offset, mut position) = (BASE.0 - 1, 0);
        for (records, bytes) in steps {
            offset += records;
            position += bytes;
            index.append(Offset(offset), position).expect("rising");
            model.push(at(offset, position));
        }
        for round in 0..2 {
            let view = IndexView::new(BASE, Bytes::copy_from_slice(index.bytes())).expect("our own");
            prop_assert_eq!(view.check_order(), Ok(()));
            prop_assert_eq!(view.entries().collect::<Vec<_>>(), model.clone());
            for target in &targets {
                let target = Offset(BASE.0 + target);
                let below = model.iter().rev().find(|entry| entry.offset <= target).copied();
                let expected = below.unwrap_or(at(BASE.0, 0));
                prop_assert_eq!(index.lookup(target), expected);
                prop_assert_eq!(view.lookup(target), expected);
                let from = target.0.unsigned_abs() * 7;
                let beyond = model.iter().find(|entry| u64::from(entry.position) >= from).copied();
                prop_assert_eq!(index.entry_from_position(from), beyond);
                prop_assert_eq!(view.entry_from_position(from), beyond);
            }
            if round == 0 {
                let end = Offset(BASE.0 + cut);
                index.truncate_to(end);
                model.retain(|entry| entry.offset < end);
            }
        }
    }

    #[test]
    fn time_lookups_equal_a_linear_search(
        steps in prop::collection::vec((0i64..30, 1i64..50), 0..60),
        targets in prop::collection::vec(-10i64..1_000, 1..20),
        cut in 0i64..2_000,
    ) {
        let mut index = TimeIndex::new(BASE, 1 << 20);
        let mut model: Vec<TimestampOffset> = Vec::new();
        let (mut timestamp, mut offset) = (0, BASE.0);
        for (later, records) in steps {
            timestamp += later;
            offset += records;
            index.maybe_append(time(timestamp, offset), false).expect("rising");
            if timestamp > model.last().map_or(-1, |last| last.timestamp.0) {
                model.push(time(timestamp, offset));
            }
        }
        for round in 0..2 {
            let view = TimeIndexView::new(BASE, Bytes::copy_from_slice(index.bytes())).expect("our own");
            prop_assert_eq!(view.check_order(), Ok(()));
            prop_assert_eq!(view.entries().collect::<Vec<_>>(), model.clone());
            prop_assert_eq!(view.last_entry(), model.last().copied().unwrap_or(time(-1, BASE.0)));
            for target in &targets {
                let below = model.iter().rev().find(|entry| entry.timestamp.0 <= *target).copied();
                let expected = below.unwrap_or(time(-1, BASE.0));
                prop_assert_eq!(index.lookup(TimestampMs(*target)), expected);
                prop_assert_eq!(view.lookup(TimestampMs(*target)), expected);
            }
            if round == 0 {
                let end = Offset(BASE.0 + cut);
                index.truncate_to(end);
                model.retain(|entry| entry.offset < end);
            }
        }
    }

    #[test]
    fn no_bytes_make_an_index_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        base in any::<i64>(),
        target in any::<i64>(),
    ) {
        let (base, shared) = (Offset(base), Bytes::from(bytes.clone()));
        if let Ok(view) = IndexView::new(base, shared.clone()) {
            let _ = (view.check_order(), view.lookup(Offset(target)), view.last_entry());
            let _ = (view.entry_from_position(target.unsigned_abs()), view.entries().count());
        }
        if let Ok(view) = TimeIndexView::new(base, shared.clone()) {
            let _ = (view.check_order(), view.lookup(TimestampMs(target)), view.last_entry());
        }
        if let Ok(mut index) = OffsetIndex::load(base, bytes.clone(), 100) {
            let _ = index.append(Offset(target), 1);
            index.truncate_to(Offset(target));
        }
        if let Ok(mut index) = TimeIndex::load(base, bytes.clone(), 100) {
            let _ = index.maybe_append(time(target, target), true);
            index.truncate_to(Offset(target));
        }
        if let Ok(view) = TxnIndexView::new(base, shared) {
            view.collect(base, Offset(target), &mut Vec::new());
        }
        if let Ok(mut index) = TxnIndex::load(base, bytes) {
            let _ = index.append(&txn(target, target, target));
            index.truncate_to(Offset(target));
        }
    }
}

#[test]
fn an_offset_index_keeps_its_rules() {
    let mut index = OffsetIndex::new(BASE, 3 * index::ENTRY_SIZE + 7);
    assert_eq!(index.lookup(Offset(5_000)), at(1_000, 0));
    let too_far = Offset(BASE.0 + (1 << 31));
    for offset in [Offset(999), too_far] {
        assert_eq!(index.append(offset, 1), Err(IndexError::OutOfRange { offset, base: BASE }));
    }
    index.append(Offset(1_010), 100).expect("fits");
    let (offset, last) = (Offset(1_010), Offset(1_010));
    assert_eq!(index.append(offset, 200), Err(IndexError::NotIncreasing { offset, last }));
    index.append(Offset(1_011), u32::MAX).expect("positions have 32 bits");
    index.append(too_far.plus(-1), 300).expect("the largest relative offset");
    assert!(index.is_full());
    assert_eq!(index.append(too_far, 400), Err(IndexError::Full(3)));
    assert_eq!(index.last_entry(), Some(at(too_far.0 - 1, 300)));
    assert_eq!(index.bytes_from(2), [0x7f, 0xff, 0xff, 0xff, 0, 0, 1, 44]);
    assert_eq!(index.bytes_from(9), [0u8; 0]);
}

#[test]
fn a_time_index_keeps_its_rules() {
    let mut index = TimeIndex::new(BASE, 3 * time_index::ENTRY_SIZE);
    index.maybe_append(time(-1, 1_005), false).expect("no timestamp, no entry");
    assert!(index.is_empty());
    index.maybe_append(time(50, 1_005), false).expect("fits");
    index.maybe_append(time(50, 1_009), false).expect("the same timestamp adds nothing");
    assert_eq!((index.len(), index.last_entry()), (1, time(50, 1_005)));
    let back = index.maybe_append(time(49, 1_010), false);
    assert_eq!(back, Err(IndexError::TimestampBack { timestamp: 49, last: 50 }));
    let back = index.maybe_append(time(51, 1_004), false);
    assert_eq!(back, Err(IndexError::NotIncreasing { offset: Offset(1_004), last: Offset(1_005) }));
    index.maybe_append(time(60, 1_020), false).expect("fits");
    assert!(index.is_full(), "one entry is kept for the roll");
    assert_eq!(index.maybe_append(time(70, 1_030), false), Err(IndexError::Full(2)));
    index.maybe_append(time(70, 1_030), true).expect("the roll's entry");
    assert_eq!(index.maybe_append(time(80, 1_040), true), Err(IndexError::Full(3)));
    assert_eq!(index.bytes_from(2).len(), time_index::ENTRY_SIZE);
}

#[test]
fn damaged_indexes_are_told_apart() {
    let mut offsets = OffsetIndex::new(BASE, 1_000);
    let mut times = TimeIndex::new(BASE, 1_000);
    for step in 1..5 {
        offsets.append(Offset(BASE.0 + step * 10), step as u32 * 100).expect("fits");
        times.maybe_append(time(step * 5, BASE.0 + step * 10), false).expect("fits");
    }
    let view = |bytes: &[u8]| IndexView::new(BASE, Bytes::copy_from_slice(bytes));
    let good = offsets.bytes();
    assert_eq!(view(&good[..31]).err(), Some(IndexError::Length { len: 31, entry_size: 8 }));
    let mut bad = good.to_vec();
    bad[24] = 0x80;
    assert!(matches!(view(&bad).err(), Some(IndexError::LastEntry(_))));
    assert!(OffsetIndex::load(BASE, bad, 1_000).is_err());
    let mut bad = good.to_vec();
    bad[8 + 3] = 5;
    assert_eq!(view(&bad).expect("the ends are sane").check_order(), Err(IndexError::Order(1)));
    // A file that Kafka had allocated ahead and not trimmed: zeros behind the last entry.
    let mut padded = good.to_vec();
    padded.extend_from_slice(&[0; 16]);
    assert_eq!(view(&padded).expect("Kafka takes it").check_order(), Err(IndexError::Order(4)));

    let view = |bytes: &[u8]| TimeIndexView::new(BASE, Bytes::copy_from_slice(bytes));
    let good = times.bytes();
    assert_eq!(view(&good[..13]).err(), Some(IndexError::Length { len: 13, entry_size: 12 }));
    let mut bad = good.to_vec();
    bad[36 + 7] = 1;
    assert_eq!(view(&bad).err(), Some(IndexError::LastEntry(1)));
    let mut bad = good.to_vec();
    bad[36 + 8] = 0xff;
    assert!(matches!(view(&bad).err(), Some(IndexError::LastEntry(_))));
    let mut bad = good.to_vec();
    bad[12 + 7] = 1;
    assert_eq!(view(&bad).expect("the ends are sane").check_order(), Err(IndexError::Order(1)));
}

#[test]
fn aborted_transactions_are_found_as_kafka_finds_them() {
    // Kafka's TransactionIndexTest.testCollectAbortedTransactions.
    let all = [txn(0, 10, 11), txn(5, 15, 13), txn(18, 35, 25), txn(32, 50, 40)];
    let mut index = TxnIndex::new();
    for txn in &all {
        index.append(txn).expect("markers rise");
    }
    let view = TxnIndexView::new(Offset(0), Bytes::copy_from_slice(index.bytes())).expect("our own");
    let find = |from: i64, upper: i64| {
        let (mut found, mut loaded) = (Vec::new(), Vec::new());
        let complete = index.collect(Offset(from), Offset(upper), &mut found);
        assert_eq!(complete, view.collect(Offset(from), Offset(upper), &mut loaded));
        assert_eq!(found, loaded);
        (found, complete)
    };
    assert_eq!(find(0, 100), (all.to_vec(), false));
    assert_eq!(find(0, 32), (all[..3].to_vec(), true));
    assert_eq!(find(0, 35), (all.to_vec(), true));
    assert_eq!(find(10, 35), (all.to_vec(), true));
    assert_eq!(find(11, 35), (all[1..].to_vec(), true));
    assert_eq!(find(20, 41), (all[2..].to_vec(), false));

    let mut cut = index.clone();
    cut.truncate_to(Offset(51));
    assert_eq!(cut.bytes(), index.bytes());
    cut.truncate_to(Offset(50));
    assert_eq!(cut.last(), Some(all[2]));
    cut.truncate_to(Offset(10));
    assert!(cut.is_empty() && cut.last().is_none());
}

#[test]
fn damaged_transaction_indexes_are_refused() {
    let mut index = TxnIndex::new();
    index.append(&txn(0, 10, 11)).expect("first");
    let (offset, last) = (Offset(10), Offset(10));
    assert_eq!(index.append(&txn(5, 10, 13)), Err(TxnIndexError::NotIncreasing { offset, last }));
    index.append(&txn(5, 15, 13)).expect("rising");
    let good = index.into_bytes();
    let load = |base: i64, bytes: &[u8]| TxnIndex::load(Offset(base), bytes.to_vec());
    assert_eq!(load(0, &good[..good.len() - 1]).expect("a torn entry is passed over").bytes().len(), 34);
    assert!(matches!(load(11, &good).err(), Some(TxnIndexError::BeforeBase { entry: 0, .. })));
    let mut bad = good.clone();
    bad[txn_index::ENTRY_SIZE + 1] = 1;
    assert_eq!(load(0, &bad).err(), Some(TxnIndexError::Version { entry: 1, version: 1 }));
}
