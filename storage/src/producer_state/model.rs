//! Random histories against the rules in their plainest form: a list of everything every producer ever wrote.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{batch, marker, transactional};
use super::*;

/// What one producer did under its current epoch.
#[derive(Clone, Debug, Default)]
struct ModelProducer {
    epoch: i16,
    /// First sequence, last sequence, first offset: all batches of the epoch.
    batches: Vec<(i32, i32, i64)>,
    /// How many of them may still be recognised; a reload keeps only the last.
    recognised: usize,
    open_since: Option<i64>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Producer, epoch step, which sequence, records, transactional.
    Produce(i64, i16, Choice, i32, bool),
    /// Producer, epoch step, commit.
    End(i64, i16, bool),
    /// Snapshot, encode, decode, load.
    Reload,
    /// High watermark to the end.
    Replicate,
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    /// What comes next.
    Next,
    /// The n-th last batch again.
    Again(usize),
    Exactly(i32),
}

fn step() -> impl Strategy<Value = Step> {
    let choice = prop_oneof![
        6 => Just(Choice::Next),
        3 => (0usize..8).prop_map(Choice::Again),
        1 => (0i32..10).prop_map(Choice::Exactly),
        1 => (0i32..6).prop_map(|below| Choice::Exactly(i32::MAX - below)),
    ];
    let epoch = prop_oneof![8 => Just(0i16), 1 => Just(1), 1 => Just(-1)];
    prop_oneof![
        10 => (0i64..4, epoch.clone(), choice, 1i32..6, any::<bool>())
            .prop_map(|(id, epoch, choice, count, open)| Step::Produce(id, epoch, choice, count, open)),
        2 => (0i64..4, epoch, any::<bool>()).prop_map(|(id, epoch, commit)| Step::End(id, epoch, commit)),
        1 => Just(Step::Reload),
        2 => Just(Step::Replicate),
    ]
}

#[derive(Default)]
struct Model {
    producers: BTreeMap<i64, ModelProducer>,
    /// First offset and marker of ended transactions above the high watermark.
    ended: Vec<(i64, i64)>,
    end: i64,
}

impl Model {
    /// The batch a step means.
    fn resolve(&self, id: i64, epoch_step: i16, choice: Choice, count: i32, open: bool) -> BatchHeader {
        let known = self.producers.get(&id);
        let epoch = (known.map_or(3, |known| known.epoch) + epoch_step).max(0);
        let batches = known.map_or(&[][..], |known| &known.batches);
        let (sequence, count) = match choice {
            Choice::Next if epoch_step > 0 => (0, count),
            Choice::Next => (batches.last().map_or(0, |last| wrap(last.1, 1)), count),
            Choice::Again(back) => match batches.iter().rev().nth(back) {
                Some(&(first, last, _)) => (first, distance(first, last) + 1),
                None => (0, count),
            },
            Choice::Exactly(sequence) => (sequence, count),
        };
        if open { transactional(id, epoch, sequence, count) } else { batch(id, epoch, sequence, count) }
    }

    fn judge(&self, batch: &BatchHeader) -> Verdict {
        let Some(known) = self.producers.get(&batch.producer_id.0) else { return Verdict::Append };
        let (first, last) = (batch.base_sequence.0, wrap(batch.base_sequence.0, batch.last_offset_delta));
        let epoch = batch.producer_epoch.0;
        let recent = &known.batches[known.batches.len() - known.recognised..];
        if let Some(found) =
            recent.iter().find(|found| epoch == known.epoch && (found.0, found.1) == (first, last))
        {
            return Verdict::Duplicate(found.2);
        }
        if epoch < known.epoch {
            return Verdict::Fenced;
        }
        let next = match known.batches.last() {
            Some(last) if epoch == known.epoch => wrap(last.1, 1),
            _ => 0,
        };
        if first != next {
            return Verdict::OutOfOrder;
        }
        match known.open_since {
            Some(_) if !batch.is_transactional() => Verdict::OutsideTransaction,
            _ => Verdict::Append,
        }
    }

    fn append(&mut self, batch: &BatchHeader) {
        let known = self.producers.entry(batch.producer_id.0).or_default();
        if known.epoch != batch.producer_epoch.0 {
            known.epoch = batch.producer_epoch.0;
            known.batches.clear();
            known.recognised = 0;
        }
        let first = batch.base_sequence.0;
        known.batches.push((first, wrap(first, batch.last_offset_delta), self.end));
        known.recognised = (known.recognised + 1).min(BATCHES_REMEMBERED);
        if batch.is_transactional() {
            known.open_since.get_or_insert(self.end);
        }
        self.end += i64::from(batch.last_offset_delta) + 1;
    }

    fn first_unstable(&self) -> Option<Offset> {
        let open = self.producers.values().filter_map(|known| known.open_since);
        open.chain(self.ended.iter().map(|ended| ended.0)).min().map(Offset)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Append,
    Duplicate(i64),
    Fenced,
    OutOfOrder,
    OutsideTransaction,
}

fn verdict(result: Result<Check, ProducerError>) -> Verdict {
    match result {
        Ok(Check::Append) => Verdict::Append,
        Ok(Check::Duplicate { base_offset, .. }) => Verdict::Duplicate(base_offset.0),
        Err(ProducerError::InvalidProducerEpoch { .. }) => Verdict::Fenced,
        Err(ProducerError::OutOfOrderSequence { .. }) => Verdict::OutOfOrder,
        Err(ProducerError::InvalidTxnState(_)) => Verdict::OutsideTransaction,
        Err(error @ ProducerError::TransactionCoordinatorFenced { .. }) => panic!("no marker: {error}"),
    }
}

/// Sequences are numbers modulo 2^31.
fn wrap(sequence: i32, more: i32) -> i32 {
    ((i64::from(sequence) + i64::from(more)) % (1 << 31)) as i32
}

fn distance(first: i32, last: i32) -> i32 {
    ((i64::from(last) - i64::from(first)).rem_euclid(1 << 31)) as i32
}

proptest! {
    #[test]
    fn any_history_equals_the_model(steps in prop::collection::vec(step(), 0..80)) {
        let mut state = ProducerState::default();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Produce(id, epoch_step, choice, count, open) => {
                    let batch = model.resolve(id, epoch_step, choice, count, open);
                    let check = state.check(&batch, Origin::Client);
                    let expected = model.judge(&batch);
                    prop_assert_eq!(verdict(check), expected, "{:?}", batch);
                    if check == Ok(Check::Append) {
                        state.apply(&batch, Offset(model.end));
                        model.append(&batch);
                    }
                }
                Step::End(id, epoch_step, commit) => {
                    let known = model.producers.entry(id).or_default();
                    let marker = marker(id, (known.epoch + epoch_step).max(0), 0, commit);
                    let check = state.check_marker(&marker, Origin::Coordinator, 0);
                    prop_assert_eq!(check.is_ok(), marker.epoch.0 >= known.epoch);
                    if check.is_ok() {
                        let completed = state.apply_marker(&marker, Offset(model.end));
                        prop_assert_eq!(completed.map(|txn| txn.first_offset.0), known.open_since);
                        if known.epoch != marker.epoch.0 {
                            *known = ModelProducer { epoch: marker.epoch.0, open_since: known.open_since, ..ModelProducer::default() };
                        }
                        model.ended.extend(known.open_since.take().map(|first| (first, model.end)));
                        model.end += 1;
                    } else if state.get(ProducerId(id)).is_none() {
                        model.producers.remove(&id);
                    }
                }
                Step::Reload => {
                    let bytes = snapshot::encode(&state.snapshot());
                    let entries = snapshot::decode(&bytes).expect("our own bytes");
                    state.load(state.end(), &entries, TimestampMs(0), i64::MAX);
                    // A reload happens below the high watermark, so what was decided is stable.
                    model.ended.clear();
                    for known in model.producers.values_mut() {
                        known.recognised = known.recognised.min(1);
                    }
                }
                Step::Replicate => {
                    state.on_high_watermark(state.end());
                    model.ended.clear();
                }
            }
            prop_assert_eq!(state.end(), Offset(model.end));
            prop_assert_eq!(state.first_unstable_offset(), model.first_unstable());
            prop_assert_eq!(state.len(), model.producers.len());
        }
    }
}
