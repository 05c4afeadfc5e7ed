//! Kafka's rules one by one (`ProducerStateManagerTest`, `ProducerAppendInfo`).

use super::*;
use slipring_protocol::ids::LeaderEpoch;

const TRANSACTIONAL: i16 = 0x10;

pub(super) fn batch(id: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(0),
        batch_length: 49,
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: TimestampMs(1_000),
        max_timestamp: TimestampMs(1_000 + i64::from(count)),
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(sequence),
        record_count: count,
    }
}

pub(super) fn transactional(id: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
    BatchHeader { attributes: TRANSACTIONAL, ..batch(id, epoch, sequence, count) }
}

pub(super) fn marker(id: i64, epoch: i16, coordinator_epoch: i32, commit: bool) -> Marker {
    Marker {
        producer_id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        coordinator_epoch,
        commit,
        timestamp: TimestampMs(2_000),
    }
}

/// Checks as a client's and applies at the end.
fn append(state: &mut ProducerState, batch: &BatchHeader) -> Result<Check, ProducerError> {
    let check = state.check(batch, Origin::Client)?;
    if check == Check::Append {
        let end = state.end();
        state.apply(batch, end);
    }
    Ok(check)
}

fn is_out_of_order(result: Result<Check, ProducerError>) -> bool {
    matches!(result, Err(ProducerError::OutOfOrderSequence { .. }))
}

fn is_fenced(result: Result<Check, ProducerError>) -> bool {
    matches!(result, Err(ProducerError::InvalidProducerEpoch { .. }))
}

#[test]
fn batches_without_a_producer_only_move_the_end() {
    let mut state = ProducerState::new(Offset(7));
    assert_eq!(append(&mut state, &batch(-1, -1, -1, 3)), Ok(Check::Append));
    assert!(state.is_empty());
    assert_eq!(state.end(), Offset(10));
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    let mut state = ProducerState::default();
    assert_eq!(append(&mut state, &batch(1, 5, 17, 2)), Ok(Check::Append));
    assert_eq!(append(&mut state, &batch(1, 5, 19, 1)), Ok(Check::Append));
    assert!(is_out_of_order(append(&mut state, &batch(1, 5, 21, 1))));
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old() {
    let mut state = ProducerState::default();
    append(&mut state, &batch(1, 0, 0, 4)).expect("first");
    assert!(is_out_of_order(append(&mut state, &batch(1, 1, 4, 1))));
    assert_eq!(append(&mut state, &batch(1, 1, 0, 1)), Ok(Check::Append));
    assert!(is_fenced(append(&mut state, &batch(1, 0, 4, 1))));
    // The old epoch's batches are forgotten: its retry is fenced, not a duplicate.
    assert!(is_fenced(append(&mut state, &batch(1, 0, 0, 4))));
}

#[test]
fn only_the_last_five_batches_are_duplicates() {
    let mut state = ProducerState::default();
    for number in 0..6 {
        append(&mut state, &batch(1, 0, number * 3, 3)).expect("in order");
    }
    assert!(is_out_of_order(append(&mut state, &batch(1, 0, 0, 3))));
    for number in 1..6 {
        let base_offset = Offset(i64::from(number) * 3);
        assert_eq!(
            append(&mut state, &batch(1, 0, number * 3, 3)),
            Ok(Check::Duplicate {
                base_offset,
                last_offset: base_offset.plus(2),
                timestamp: TimestampMs(1_003)
            })
        );
    }
    // Not the same range: no duplicate.
    assert!(is_out_of_order(append(&mut state, &batch(1, 0, 15, 2))));
    assert_eq!(state.end(), Offset(18));
}

#[test]
fn sequences_wrap() {
    let mut state = ProducerState::default();
    append(&mut state, &batch(1, 0, i32::MAX - 1, 2)).expect("ends with the largest");
    assert_eq!(append(&mut state, &batch(1, 0, 0, 1)), Ok(Check::Append));
    let mut state = ProducerState::default();
    append(&mut state, &batch(1, 0, i32::MAX - 1, 4)).expect("wraps inside");
    let entry = state.get(ProducerId(1)).expect("known");
    assert_eq!(entry.last_sequence(), Sequence(1));
    assert_eq!(entry.batches()[0].first_sequence(), Sequence(i32::MAX - 1));
    assert!(matches!(append(&mut state, &batch(1, 0, i32::MAX - 1, 4)), Ok(Check::Duplicate { .. })));
    assert_eq!(append(&mut state, &batch(1, 0, 2, 1)), Ok(Check::Append));
}

#[test]
fn coordinators_and_replicas_are_trusted_as_far_as_kafka_trusts_them() {
    let mut state = ProducerState::default();
    append(&mut state, &batch(1, 3, 0, 1)).expect("first");
    let without_sequence = BatchHeader { base_sequence: Sequence::NONE, ..batch(1, 3, 0, 1) };
    assert_eq!(state.check(&without_sequence, Origin::Coordinator), Ok(Check::Append));
    assert!(is_fenced(state.check(&batch(1, 2, 0, 1), Origin::Coordinator)));
    assert_eq!(state.check(&batch(1, 2, 9, 1), Origin::Replication), Ok(Check::Append));
    // A follower also takes an older epoch over.
    state.apply(&batch(1, 2, 9, 1), Offset(1));
    assert_eq!(state.get(ProducerId(1)).expect("known").epoch(), ProducerEpoch(2));
}

#[test]
fn a_transaction_holds_the_first_unstable_offset_until_its_marker_is_replicated() {
    let mut state = ProducerState::new(Offset(10));
    append(&mut state, &transactional(1, 0, 0, 2)).expect("begins");
    append(&mut state, &transactional(2, 0, 0, 2)).expect("begins");
    append(&mut state, &transactional(1, 0, 2, 2)).expect("goes on");
    assert_eq!(state.first_unstable_offset(), Some(Offset(10)));
    assert_eq!(append(&mut state, &batch(1, 0, 4, 1)), Err(ProducerError::InvalidTxnState(ProducerId(1))));
    assert_eq!(state.oldest_txn_timestamp(), Some(TimestampMs(1_002)));

    let abort = marker(1, 0, 7, false);
    assert_eq!(state.check_marker(&abort, Origin::Coordinator, 0), Ok(()));
    let completed = state.apply_marker(&abort, Offset(16)).expect("held data");
    assert_eq!(completed.last_stable_offset, Offset(12));
    let index_entry = completed.index_entry().expect("aborted");
    assert_eq!((index_entry.first_offset, index_entry.last_offset), (Offset(10), Offset(16)));
    assert_eq!(state.first_unstable_offset(), Some(Offset(10)));
    state.on_high_watermark(Offset(16));
    assert_eq!(state.first_unstable_offset(), Some(Offset(10)));
    state.on_high_watermark(Offset(17));
    assert_eq!(state.first_unstable_offset(), Some(Offset(12)));

    let completed = state.apply_marker(&marker(2, 0, 7, true), Offset(17)).expect("held data");
    assert_eq!((completed.last_stable_offset, completed.index_entry()), (Offset(18), None));
    state.on_high_watermark(Offset(18));
    assert_eq!(state.first_unstable_offset(), None);
    assert_eq!(state.apply_marker(&marker(2, 0, 7, true), Offset(18)), None);
    // Sequences go on after a marker of the same epoch.
    assert_eq!(append(&mut state, &transactional(1, 0, 4, 1)), Ok(Check::Append));
}

#[test]
pub(super) fn markers_are_fenced_by_epochs() {
    let mut state = ProducerState::default();
    append(&mut state, &transactional(1, 3, 0, 1)).expect("begins");
    let fenced =
        |result: Result<(), ProducerError>| matches!(result, Err(ProducerError::InvalidProducerEpoch { .. }));
    assert!(fenced(state.check_marker(&marker(1, 2, 0, true), Origin::Coordinator, 0)));
    assert!(fenced(state.check_marker(&marker(1, 3, 0, true), Origin::Coordinator, 2)));
    assert_eq!(state.check_marker(&marker(1, 2, 0, true), Origin::Replication, 0), Ok(()));
    assert_eq!(state.check_marker(&marker(1, 4, 0, true), Origin::Coordinator, 2), Ok(()));
    state.apply_marker(&marker(1, 4, 5, true), Offset(1));
    // Written again after a lost answer: let through, though the epoch is not above.
    assert_eq!(state.check_marker(&marker(1, 4, 5, true), Origin::Coordinator, 2), Ok(()));
    assert!(fenced(state.check_marker(&marker(1, 3, 5, true), Origin::Coordinator, 2)));
    let error = state.check_marker(&marker(1, 4, 4, true), Origin::Coordinator, 2);
    assert!(matches!(error, Err(ProducerError::TransactionCoordinatorFenced { epoch: 4, current: 5, .. })));
    // The marker's new epoch forgot the batches: the producer starts at 0.
    assert!(is_out_of_order(append(&mut state, &transactional(1, 4, 1, 1))));
    assert_eq!(append(&mut state, &transactional(1, 4, 0, 1)), Ok(Check::Append));
    // An unknown producer's marker is taken and remembered.
    assert_eq!(state.check_marker(&marker(9, 0, 0, true), Origin::Coordinator, 2), Ok(()));
}

#[test]
fn idle_producers_expire_unless_in_a_transaction() {
    let mut state = ProducerState::default();
    append(&mut state, &batch(1, 0, 0, 1)).expect("first");
    append(&mut state, &transactional(2, 0, 0, 1)).expect("first");
    assert_eq!(state.expire(TimestampMs(1_050), 50), 0);
    assert_eq!(state.expire(TimestampMs(1_051), 50), 1);
    assert!(state.get(ProducerId(1)).is_none() && state.get(ProducerId(2)).is_some());
}

#[test]
fn the_limit_forgets_the_longest_idle_first() {
    let mut state = ProducerState::default().with_producers_max(32);
    append(&mut state, &transactional(1_000, 0, 0, 1)).expect("open transaction");
    for id in 0..100 {
        append(&mut state, &batch(id, 0, 0, 1)).expect("new");
        assert!(state.len() <= 32);
    }
    assert!(state.get(ProducerId(1_000)).is_some(), "an open transaction is never forgotten");
    assert!(state.get(ProducerId(99)).is_some() && state.get(ProducerId(60)).is_none());
}

#[test]
fn a_snapshot_keeps_the_last_batch_and_open_transactions() {
    let mut state = ProducerState::default();
    append(&mut state, &batch(5, 1, 0, 2)).expect("first");
    append(&mut state, &batch(5, 1, 2, 3)).expect("second");
    append(&mut state, &transactional(3, 0, 0, 1)).expect("begins");
    state.apply_marker(&marker(4, 2, 9, true), Offset(6));
    assert!(state.needs_snapshot());
    let bytes = snapshot::encode(&state.snapshot());
    state.snapshot_taken(state.end());
    assert!(!state.needs_snapshot());

    let entries = snapshot::decode(&bytes).expect("our own bytes");
    assert_eq!(entries.iter().map(|entry| entry.producer_id.0).collect::<Vec<_>>(), [3, 4, 5]);
    let mut loaded = ProducerState::default();
    loaded.load(Offset(7), &entries, TimestampMs(0), 1_000);
    assert_eq!((loaded.end(), loaded.snapshot_end()), (Offset(7), Offset(7)));
    assert_eq!(loaded.first_unstable_offset(), Some(Offset(5)));
    assert_eq!(loaded.snapshot(), entries);
    assert!(matches!(append(&mut loaded, &batch(5, 1, 2, 3)), Ok(Check::Duplicate { .. })));
    assert!(is_out_of_order(append(&mut loaded, &batch(5, 1, 0, 2))));
    assert_eq!(append(&mut loaded, &batch(5, 1, 5, 1)), Ok(Check::Append));
    // All but the open transaction's producer are expired by then.
    loaded.load(Offset(7), &entries, TimestampMs(10_000), 1_000);
    assert_eq!(loaded.len(), 1);
}

#[test]
fn damaged_snapshots_are_refused() {
    use snapshot::SnapshotError;

    let mut state = ProducerState::default();
    append(&mut state, &batch(5, 1, 0, 2)).expect("first");
    let good = snapshot::encode(&state.snapshot());
    for len in 0..good.len() {
        assert!(snapshot::decode(&good[..len]).is_err(), "cut to {len}");
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(snapshot::decode(&bad).is_err(), "bit {bit} of byte {at}");
        }
    }
    let mut absurd = good.clone();
    absurd[6..10].copy_from_slice(&i32::MAX.to_be_bytes());
    let crc = crc32c::crc32c(&absurd[6..]);
    absurd[2..6].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(snapshot::decode(&absurd), Err(SnapshotError::Count { count: i32::MAX, bytes: 46 }));
    let empty = snapshot::encode(&[]);
    assert_eq!(snapshot::decode(&empty), Ok(Vec::new()));
}

#[test]
fn stray_snapshots_are_those_without_a_segment() {
    let stray = |snapshots: &[i64], bases: &[i64]| -> Vec<i64> {
        let offsets = |list: &[i64]| list.iter().copied().map(Offset).collect::<Vec<_>>();
        snapshot::stray_snapshots(&offsets(snapshots), &offsets(bases))
            .iter()
            .map(|offset| offset.0)
            .collect()
    };
    assert_eq!(stray(&[5, 10, 12], &[0, 10]), [5], "the one of the clean stop stays");
    assert_eq!(stray(&[5, 11, 12], &[0, 10]), [5, 11]);
    assert_eq!(stray(&[5, 8], &[0, 10]), [5, 8]);
    assert_eq!(stray(&[10], &[0, 10]), [0i64; 0]);
}
