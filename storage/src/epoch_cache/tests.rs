//! Kafka's answers (`LeaderEpochFileCacheTest`), and a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn cache(entries: &[(i32, i64)]) -> EpochCache {
    EpochCache::from_entries(
        entries.iter().map(|&(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start: Offset(start) }),
    )
}

fn list(cache: &EpochCache) -> Vec<(i32, i64)> {
    cache.entries().iter().map(|entry| (entry.epoch.0, entry.start.0)).collect()
}

fn end(cache: &EpochCache, requested: i32, log_end: i64) -> (i32, i64) {
    let found = cache.end_offset_for(LeaderEpoch(requested), Offset(log_end));
    (found.epoch.0, found.end.0)
}

#[test]
fn an_empty_cache_knows_nothing() {
    let cache = EpochCache::new();
    assert_eq!(end(&cache, 0, 10), (-1, -1));
    assert_eq!(end(&cache, -1, 10), (-1, -1));
    assert_eq!(cache.epoch_for_offset(Offset(3)), None);
    assert_eq!((cache.latest(), cache.earliest()), (None, None));
}

#[test]
fn ends_are_kafkas() {
    let cache = cache(&[(2, 6), (5, 10), (7, 20)]);
    assert_eq!(end(&cache, 7, 30), (7, 30), "the latest ends with the log");
    assert_eq!(end(&cache, 8, 30), (-1, -1), "beyond the latest");
    assert_eq!(end(&cache, 5, 30), (5, 20));
    assert_eq!(end(&cache, 6, 30), (5, 20), "between two: the one below");
    assert_eq!(end(&cache, 2, 30), (2, 10));
    assert_eq!(end(&cache, 1, 30), (1, 6), "before the first: its start, and the epoch asked for");
    assert_eq!(end(&cache, -1, 30), (-1, -1));
    assert_eq!(end(&cache, -5, 30), (-5, 6), "only -1 is undefined");
    assert_eq!(cache.previous(LeaderEpoch(7)).map(|entry| entry.epoch), Some(LeaderEpoch(5)));
    assert_eq!(cache.previous(LeaderEpoch(2)), None);
    let epoch = |offset| cache.epoch_for_offset(Offset(offset)).map(|epoch| epoch.0);
    assert_eq!(
        [epoch(5), epoch(6), epoch(9), epoch(10), epoch(99)],
        [None, Some(2), Some(2), Some(5), Some(7)]
    );
}

#[test]
fn an_assignment_drops_what_contradicts_it() {
    let mut cache = cache(&[(2, 6)]);
    assert!(!cache.assign(LeaderEpoch(2), Offset(9)), "known");
    assert!(cache.assign(LeaderEpoch(2), Offset(5)), "began earlier");
    assert!(cache.assign(LeaderEpoch(3), Offset(5)), "the reign before it wrote nothing");
    assert_eq!(list(&cache), [(3, 5)]);
    assert!(cache.assign(LeaderEpoch(4), Offset(8)));
    assert!(cache.assign(LeaderEpoch(3), Offset(12)), "an older epoch with a later start");
    assert_eq!(list(&cache), [(3, 12)]);
    assert!(!cache.assign(LeaderEpoch(-1), Offset(20)) && !cache.assign(LeaderEpoch(9), Offset(-1)));
}

#[test]
fn truncation_is_kafkas() {
    let full = cache(&[(2, 6), (3, 8), (4, 11)]);
    let from_end = |end: i64| {
        let mut cache = full.clone();
        let changed = cache.truncate_from_end(Offset(end));
        assert_eq!(changed, cache != full);
        list(&cache)
    };
    assert_eq!(from_end(8), [(2, 6)]);
    assert_eq!(from_end(9), [(2, 6), (3, 8)]);
    assert_eq!(from_end(12), [(2, 6), (3, 8), (4, 11)]);
    assert_eq!(from_end(0), [(0, 0); 0]);
    assert_eq!(from_end(-1), [(2, 6), (3, 8), (4, 11)]);
    let from_start = |start: i64| {
        let mut cache = full.clone();
        let changed = cache.truncate_from_start(Offset(start));
        assert_eq!(changed, cache != full);
        list(&cache)
    };
    assert_eq!(from_start(8), [(3, 8), (4, 11)]);
    assert_eq!(from_start(9), [(3, 9), (4, 11)]);
    assert_eq!(from_start(5), [(2, 6), (3, 8), (4, 11)]);
    assert_eq!(from_start(7), [(2, 7), (3, 8), (4, 11)]);
    assert_eq!(from_start(50), [(4, 50)]);
    assert!(!EpochCache::new().truncate_from_start(Offset(1)));
}

#[derive(Clone, Debug)]
enum Step {
    Assign(i32, i64),
    FromEnd(i64),
    FromStart(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0i32..12, 0i64..60).prop_map(|(epoch, start)| Step::Assign(epoch, start)),
        1 => (0i64..60).prop_map(Step::FromEnd),
        1 => (0i64..60).prop_map(Step::FromStart),
    ]
}

/// The same over a sorted map, worked through entry by entry.
fn model_step(model: &mut BTreeMap<i32, i64>, step: &Step) {
    match *step {
        Step::Assign(epoch, start) => {
            if model.last_key_value().is_some_and(|(last, from)| *last == epoch && *from <= start) {
                return;
            }
            while model.last_key_value().is_some_and(|(last, from)| *last >= epoch || *from >= start) {
                model.pop_last();
            }
            model.insert(epoch, start);
        }
        Step::FromEnd(end) => model.retain(|_, start| *start < end),
        Step::FromStart(begin) => {
            let last = model.iter().filter(|(_, start)| **start <= begin).map(|(epoch, _)| *epoch).max();
            model.retain(|_, start| *start > begin);
            model.extend(last.map(|epoch| (epoch, begin)));
        }
    }
}

fn model_end(model: &BTreeMap<i32, i64>, requested: i32, log_end: i64) -> (i32, i64) {
    let next = model.range(requested + 1..).next();
    let floor = model.range(..=requested).next_back();
    match (floor, next) {
        _ if requested == -1 => (-1, -1),
        (Some((epoch, _)), None) if *epoch == requested => (requested, log_end),
        (_, None) => (-1, -1),
        (Some((epoch, _)), Some((_, start))) => (*epoch, *start),
        (None, Some((_, start))) => (requested, *start),
    }
}

proptest! {
    #[test]
    fn any_history_equals_the_model(steps in prop::collection::vec(step(), 0..40)) {
        let mut cache = EpochCache::new();
        let mut model = BTreeMap::new();
        for step in &steps {
            match *step {
                Step::Assign(epoch, start) => { cache.assign(LeaderEpoch(epoch), Offset(start)); }
                Step::FromEnd(end) => { cache.truncate_from_end(Offset(end)); }
                Step::FromStart(start) => { cache.truncate_from_start(Offset(start)); }
            }
            model_step(&mut model, step);
            let expected: Vec<(i32, i64)> = model.iter().map(|(epoch, start)| (*epoch, *start)).collect();
            prop_assert_eq!(list(&cache), expected);
            for requested in -2..13 {
                prop_assert_eq!(end(&cache, requested, 99), model_end(&model, requested, 99));
            }
        }
    }
}
