//! One case after the other of what Kafka's `FetchSessionTest` pins down.

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
use slipring_protocol::ids::{BrokerId, Offset, PartitionIndex, TimestampMs, TopicId};
use slipring_protocol::wire::WireStr;

use super::*;
use crate::image::MetadataImage;
use crate::image::fixtures::{image_with, topic_id};

const V12: i16 = 12;
const V13: i16 = 13;

/// A cache with what its user needs around it.
struct Bench {
    cache: SessionCache,
    image: MetadataImage,
    now: i64,
    fresh: i32,
    targets: Vec<FetchTarget>,
}

/// What a fetch was answered: error, session, and the partitions as "topic-partition".
type Answer = (ErrorCode, i32, Vec<String>);

impl Bench {
    fn new(slots_max: usize) -> Self {
        let config = SessionCacheConfig { slots_max, eviction_ms_min: 1000, partitions_max: 100 };
        let image = image_with(&[("a", 0xa, 9), ("b", 0xb, 9)]);
        Self { cache: SessionCache::new(config), image, now: 0, fresh: 100, targets: Vec::new() }
    }

    fn begin(&mut self, version: i16, request: &FetchRequest) -> Result<FetchContext, ErrorCode> {
        let view = FetchView::of(version, request);
        self.cache.begin(TimestampMs(self.now), &view, &self.image, &mut self.targets)
    }

    /// A fetch in which every partition gives what `outcome` says of it.
    fn fetch(
        &mut self,
        version: i16,
        request: &FetchRequest,
        outcome: impl Fn(&str) -> FetchOutcome,
    ) -> Answer {
        let context = match self.begin(version, request) {
            Ok(context) => context,
            Err(error) => return (error, 0, Vec::new()),
        };
        self.complete(&context, outcome)
    }

    fn complete(&mut self, context: &FetchContext, outcome: impl Fn(&str) -> FetchOutcome) -> Answer {
        let names: Vec<String> = self.targets.iter().map(name).collect();
        let outcomes: Vec<FetchOutcome> =
            (0..).zip(&names).map(|(target, name)| FetchOutcome { target, ..outcome(name) }).collect();
        self.fresh += 1;
        let fresh = SessionId(self.fresh);
        let mut selected = Vec::new();
        let completed = self.cache.complete(
            TimestampMs(self.now),
            context,
            &self.targets,
            &outcomes,
            fresh,
            &mut selected,
        );
        self.cache.check();
        let sent = selected.iter().map(|&index| names[index as usize].clone()).collect();
        (completed.error, completed.session_id.0, sent)
    }

    /// Opens a session of partitions of topic a; gives its id, 0 when there was no room.
    fn open(&mut self, partitions: i32, follower: bool) -> i32 {
        let list: Vec<(&str, i32)> = (0..partitions).map(|index| ("a", index)).collect();
        let mut request = by_name(0, 0, &list);
        request.replica_id = BrokerId(if follower { 2 } else { -1 });
        self.fetch(V12, &request, |_| quiet()).1
    }

    fn is_alive(&mut self, session: i32) -> bool {
        let answer = self.begin(V12, &by_name(session, 99, &[]));
        answer == Err(ErrorCode::InvalidFetchSessionEpoch)
    }
}

fn name(target: &FetchTarget) -> String {
    let topic = target.topic.as_deref().map_or_else(|| target.topic_id.to_string(), str::to_owned);
    format!("{topic}-{}@{}", target.partition, target.fetch_offset)
}

fn quiet() -> FetchOutcome {
    FetchOutcome {
        target: 0,
        error: ErrorCode::None,
        high_watermark: Offset(10),
        log_start: Offset(0),
        records_bytes: 0,
        preferred_replica: false,
        diverging_epoch: false,
    }
}

fn partition(index: i32) -> FetchPartition {
    FetchPartition::new(PartitionIndex(index), Offset(i64::from(index) * 10), 1 << 20)
}

fn by_name(session_id: i32, session_epoch: i32, partitions: &[(&'static str, i32)]) -> FetchRequest {
    let topic = |&(name, index)| FetchTopic {
        name: WireStr::from_static_str(name),
        topic_id: TopicId::NONE,
        partitions: vec![partition(index)],
    };
    let topics = partitions.iter().map(topic).collect();
    FetchRequest { session_id, session_epoch, topics, ..FetchRequest::default() }
}

fn by_id(session_id: i32, session_epoch: i32, partitions: &[(u128, i32)]) -> FetchRequest {
    let topic = |&(id, index)| FetchTopic {
        name: WireStr::new(),
        topic_id: topic_id(id),
        partitions: vec![partition(index)],
    };
    let topics = partitions.iter().map(topic).collect();
    FetchRequest { session_id, session_epoch, topics, ..FetchRequest::default() }
}

fn forget(request: FetchRequest, name: &'static str, indexes: &[i32]) -> FetchRequest {
    let partitions = indexes.iter().copied().map(PartitionIndex).collect();
    let topic = ForgottenTopic { name: WireStr::from_static_str(name), topic_id: TopicId::NONE, partitions };
    FetchRequest { forgotten: vec![topic], ..request }
}

fn sent(error: ErrorCode, session: i32, partitions: &[&str]) -> Answer {
    (error, session, partitions.iter().map(|&name| name.to_owned()).collect())
}

#[test]
fn epochs_wrap_past_the_special_ones() {
    for (epoch, after) in [(0, 1), (1, 2), (i32::MAX, 1), (-1, -1), (-7, -1)] {
        assert_eq!(request::epoch_after(epoch), after);
    }
}

#[test]
fn a_fetch_without_session_is_answered_in_full() {
    let mut bench = Bench::new(10);
    let request = by_name(0, -1, &[("b", 1), ("a", 0)]);
    assert_eq!(bench.fetch(V12, &request, |_| quiet()), sent(ErrorCode::None, 0, &["b-1@10", "a-0@0"]));
    assert_eq!(bench.cache.session_count(), 0);
}

#[test]
fn a_partition_listed_twice_counts_once() {
    let mut bench = Bench::new(10);
    let mut request = by_name(0, 0, &[("b", 1), ("a", 0), ("b", 1)]);
    request.topics[2].partitions[0].fetch_offset = Offset(77);
    let expected = sent(ErrorCode::None, 101, &["b-1@77", "a-0@0"]);
    assert_eq!(bench.fetch(V12, &request, |_| quiet()), expected);
    let long: Vec<(&str, i32)> = (0..9).flat_map(|index| [("a", index), ("b", index)]).collect();
    let mut request = by_name(0, -1, &long);
    assert_eq!(bench.fetch(V12, &request, |_| quiet()).2.len(), 18);
    request.topics.push(request.topics[3].clone());
    assert_eq!(bench.fetch(V12, &request, |_| quiet()).2.len(), 18);
}

#[test]
fn a_session_answers_only_what_changed() {
    let mut bench = Bench::new(10);
    let first = by_name(0, 0, &[("a", 0), ("a", 1), ("b", 0)]);
    let all = sent(ErrorCode::None, 101, &["a-0@0", "a-1@10", "b-0@0"]);
    assert_eq!(bench.fetch(V12, &first, |_| quiet()), all);
    assert_eq!(bench.cache.partition_count(), 3);

    let nothing = sent(ErrorCode::None, 101, &[]);
    assert_eq!(bench.fetch(V12, &by_name(101, 1, &[]), |_| quiet()), nothing);

    let only_a1 = |change: fn(&mut FetchOutcome)| {
        move |name: &str| {
            let mut outcome = quiet();
            if name.starts_with("a-1") {
                change(&mut outcome);
            }
            outcome
        }
    };
    let changes: [fn(&mut FetchOutcome); 6] = [
        |outcome| outcome.high_watermark = Offset(11),
        |outcome| outcome.log_start = Offset(5),
        |outcome| outcome.records_bytes = 100,
        |outcome| outcome.preferred_replica = true,
        |outcome| outcome.diverging_epoch = true,
        |outcome| {
            outcome.error = ErrorCode::NotLeaderOrFollower;
            (outcome.high_watermark, outcome.log_start) = (Offset(-1), Offset(-1));
        },
    ];
    let mut epoch = 2;
    for change in changes {
        let answer = bench.fetch(V12, &by_name(101, epoch, &[]), only_a1(change));
        assert_eq!(answer, sent(ErrorCode::None, 101, &["a-1@10"]), "change of epoch {epoch}");
        // Back to what it was: told once more where the client's knowledge changed.
        bench.fetch(V12, &by_name(101, epoch + 1, &[]), |_| quiet());
        assert_eq!(bench.fetch(V12, &by_name(101, epoch + 2, &[]), |_| quiet()), nothing);
        epoch += 3;
    }
}

#[test]
fn an_error_is_told_each_time_and_its_end_too() {
    let mut bench = Bench::new(10);
    bench.fetch(V12, &by_name(0, 0, &[("a", 0)]), |_| quiet());
    let failing = |_: &str| FetchOutcome { error: ErrorCode::KafkaStorageError, ..quiet() };
    let told = sent(ErrorCode::None, 101, &["a-0@0"]);
    assert_eq!(bench.fetch(V12, &by_name(101, 1, &[]), failing), told);
    assert_eq!(bench.fetch(V12, &by_name(101, 2, &[]), failing), told);
    assert_eq!(bench.fetch(V12, &by_name(101, 3, &[]), |_| quiet()), told);
    assert_eq!(bench.fetch(V12, &by_name(101, 4, &[]), |_| quiet()), sent(ErrorCode::None, 101, &[]));
}

#[test]
fn partitions_are_added_changed_and_forgotten() {
    let mut bench = Bench::new(10);
    bench.fetch(V12, &by_name(0, 0, &[("a", 0), ("a", 1)]), |_| quiet());
    let mut request = forget(by_name(101, 1, &[("b", 2), ("a", 1)]), "a", &[0, 8]);
    request.topics[1].partitions[0].fetch_offset = Offset(500);
    // The new one is told, the changed one is only read elsewhere.
    assert_eq!(bench.fetch(V12, &request, |_| quiet()), sent(ErrorCode::None, 101, &["b-2@20"]));
    let order: Vec<String> = bench.targets.iter().map(name).collect();
    assert_eq!(order, ["a-1@500", "b-2@20"]);
    // Added again, it goes to the end and is told anew.
    let answer = bench.fetch(V12, &by_name(101, 2, &[("a", 0)]), |_| quiet());
    assert_eq!(answer, sent(ErrorCode::None, 101, &["a-0@0"]));
    assert_eq!(bench.targets.iter().map(name).collect::<Vec<_>>(), ["a-1@500", "b-2@20", "a-0@0"]);
}

#[test]
fn partitions_that_gave_records_go_to_the_end() {
    let mut bench = Bench::new(10);
    bench.fetch(V12, &by_name(0, 0, &[("a", 0), ("a", 1), ("a", 2)]), |_| quiet());
    let order = |bench: &Bench| bench.targets.iter().map(|t| t.partition.0).collect::<Vec<_>>();
    for (epoch, expected) in [(1, [0, 1, 2]), (2, [1, 2, 0]), (3, [2, 0, 1]), (4, [0, 1, 2])] {
        let context = bench.begin(V12, &by_name(101, epoch, &[])).unwrap();
        assert_eq!(order(&bench), expected);
        let first = format!("a-{}", expected[0]);
        bench.complete(&context, |name| FetchOutcome {
            records_bytes: usize::from(name.starts_with(&first)),
            ..quiet()
        });
    }
}

#[test]
fn forgetting_everything_ends_the_session() {
    let mut bench = Bench::new(10);
    bench.fetch(V12, &by_name(0, 0, &[("a", 0), ("a", 1)]), |_| quiet());
    let request = forget(by_name(101, 1, &[]), "a", &[0, 1]);
    assert_eq!(bench.fetch(V12, &request, |_| quiet()), sent(ErrorCode::None, 0, &[]));
    let gone = sent(ErrorCode::FetchSessionIdNotFound, 0, &[]);
    assert_eq!(bench.fetch(V12, &by_name(101, 2, &[]), |_| quiet()), gone);
    assert_eq!((bench.cache.session_count(), bench.cache.partition_count()), (0, 0));
}

#[test]
fn wrong_ids_and_epochs_are_refused() {
    let mut bench = Bench::new(10);
    bench.fetch(V12, &by_name(0, 0, &[("a", 0)]), |_| quiet());
    let cases = [
        (V12, 102, 1, ErrorCode::FetchSessionIdNotFound),
        (V12, -5, 1, ErrorCode::FetchSessionIdNotFound),
        (V12, 0, 1, ErrorCode::FetchSessionIdNotFound),
        (V12, 101, 2, ErrorCode::InvalidFetchSessionEpoch),
        (V12, 101, -3, ErrorCode::InvalidFetchSessionEpoch),
        (V13, 101, 1, ErrorCode::FetchSessionTopicIdError),
    ];
    for (version, session, epoch, error) in cases {
        let answer = bench.fetch(version, &by_name(session, epoch, &[]), |_| quiet());
        assert_eq!(answer, sent(error, 0, &[]), "session {session} epoch {epoch}");
    }
    assert_eq!(bench.fetch(V12, &by_name(101, 1, &[]), |_| quiet()).0, ErrorCode::None);
    // And from ids to names.
    bench.fetch(V13, &by_id(0, 0, &[(0xa, 0)]), |_| quiet());
    let session = bench.fresh;
    let answer = bench.fetch(V12, &by_name(session, 1, &[]), |_| quiet());
    assert_eq!(answer.0, ErrorCode::FetchSessionTopicIdError);
}

#[test]
fn a_full_request_closes_the_session_it_names() {
    let mut bench = Bench::new(10);
    bench.fetch(V12, &by_name(0, 0, &[("a", 0)]), |_| quiet());
    let answer = bench.fetch(V12, &by_name(101, 0, &[("a", 0)]), |_| quiet());
    assert_eq!(answer, sent(ErrorCode::None, 102, &["a-0@0"]));
    assert_eq!(bench.cache.session_count(), 1);
    let answer = bench.fetch(V12, &by_name(102, -1, &[("a", 0)]), |_| quiet());
    assert_eq!(answer, sent(ErrorCode::None, 0, &["a-0@0"]));
    assert_eq!(bench.cache.session_count(), 0);
}

#[test]
fn a_second_request_in_between_takes_the_answer_away() {
    let mut bench = Bench::new(10);
    bench.fetch(V12, &by_name(0, 0, &[("a", 0)]), |_| quiet());
    let slow = bench.begin(V12, &by_name(101, 1, &[])).unwrap();
    bench.fetch(V12, &by_name(101, 2, &[]), |_| quiet());
    let overtaken = sent(ErrorCode::InvalidFetchSessionEpoch, 101, &[]);
    assert_eq!(bench.complete(&slow, |_| quiet()), overtaken);
    // Pushed out in between: answered in full; another session of the same id is not mistaken for it.
    let slow = bench.begin(V12, &by_name(101, 3, &[])).unwrap();
    bench.cache.close(SessionId(101));
    bench.fresh = 100;
    bench.fetch(V12, &by_name(0, 0, &[("a", 0)]), |_| quiet());
    assert_eq!(bench.complete(&slow, |_| quiet()), sent(ErrorCode::None, 101, &["a-0@0"]));
}

#[test]
fn an_id_in_use_opens_no_session() {
    let mut bench = Bench::new(10);
    for (fresh, expected) in [(100, 101), (100, 0), (-8, 0), (-1, 0), (101, 102)] {
        bench.fresh = fresh;
        assert_eq!(bench.open(1, false), expected);
    }
}

#[test]
fn topics_by_id_resolve_as_the_image_goes_on() {
    let mut bench = Bench::new(10);
    let both = by_id(0, 0, &[(0xc, 0), (0xa, 0)]);
    bench.fetch(V13, &both, |_| quiet());
    let codes = |bench: &Bench| {
        let resolve = |target: &FetchTarget| target.resolve(&bench.image).map(|topic| topic.name.to_string());
        bench.targets.iter().map(resolve).collect::<Vec<_>>()
    };
    assert_eq!(codes(&bench), [Err(ErrorCode::UnknownTopicId), Ok("a".to_owned())]);
    // The unknown one appears, the known one is deleted.
    bench.image = image_with(&[("c", 0xc, 1)]);
    bench.begin(V13, &by_id(101, 1, &[(0xc, 5)])).unwrap();
    let unknown = Err(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(codes(&bench), [Ok("c".to_owned()), unknown.clone(), unknown.clone()]);
    // And made again under its name.
    bench.image = image_with(&[("a", 0xaa, 1), ("c", 0xc, 9)]);
    bench.begin(V13, &by_id(101, 2, &[])).unwrap();
    let c = Ok("c".to_owned());
    assert_eq!(codes(&bench), [c.clone(), Err(ErrorCode::InconsistentTopicId), c]);
    // By name the new topic is simply the topic.
    bench.begin(V12, &by_name(0, -1, &[("a", 0), ("zzz", 0)])).unwrap();
    assert_eq!(codes(&bench), [Ok("a".to_owned()), unknown]);
}

#[test]
fn the_cache_evicts_as_kafka_does() {
    // A consumer's young session stands against another consumer's, not against a follower's.
    let mut bench = Bench::new(2);
    let (first, second) = (bench.open(5, false), bench.open(2, false));
    assert_eq!(bench.open(9, false), 0);
    let follower = bench.open(1, true);
    assert!(follower > 0 && bench.is_alive(first) && !bench.is_alive(second));
    assert_eq!(bench.cache.eviction_count(), 1);
    // The next follower takes the other consumer's place; then both are followers' and young.
    let other = bench.open(3, true);
    assert!(other > 0 && !bench.is_alive(first));
    assert_eq!((bench.open(9, true), bench.open(9, false)), (0, 0));
    // Unused for longer than the bound: anyone may push it out, the oldest first.
    bench.now = 1001;
    assert!(bench.open(1, false) > 0);
    assert!(!bench.is_alive(follower) && bench.is_alive(other));
}

#[test]
fn an_old_session_yields_to_a_larger_one_only() {
    let mut bench = Bench::new(1);
    let old = bench.open(3, false);
    bench.now = 900;
    bench.fetch(V12, &by_name(old, 1, &[]), |_| quiet());
    bench.now = 1500;
    // Used lately, but it was not touched since it came of age, so it is in nobody's reach.
    assert_eq!(bench.open(9, false), 0);
    bench.fetch(V12, &by_name(old, 2, &[]), |_| quiet());
    assert_eq!((bench.open(2, false), bench.open(3, false)), (0, 0));
    assert!(bench.open(4, false) > 0 && !bench.is_alive(old));
}

#[test]
fn a_session_moves_to_another_core() {
    let (mut from, mut to) = (Bench::new(10), Bench::new(1));
    from.fetch(V12, &by_name(0, 0, &[("a", 0), ("a", 1)]), |_| quiet());
    let slow = from.begin(V12, &by_name(101, 1, &[])).unwrap();
    let moved = from.cache.take(SessionId(101)).unwrap();
    assert!(from.cache.take(SessionId(101)).is_none() && !from.cache.contains(SessionId(101)));
    assert_eq!(from.complete(&slow, |_| quiet()).2.len(), 2);
    to.cache.adopt(TimestampMs(0), moved.clone());
    to.cache.check();
    assert!(to.cache.contains(SessionId(101)));
    // It goes on where it was: the epoch, and what the client knows.
    assert_eq!(to.fetch(V12, &by_name(101, 2, &[]), |_| quiet()), sent(ErrorCode::None, 101, &[]));
    // No room, and an id in use: it is forgotten.
    to.cache.adopt(TimestampMs(0), moved.clone());
    assert_eq!((to.cache.session_count(), to.cache.partition_count()), (1, 2));
    let mut full = Bench::new(1);
    full.fresh = 500;
    full.open(5, false);
    full.cache.adopt(TimestampMs(0), moved);
    full.cache.check();
    assert!(!full.cache.contains(SessionId(101)));
}

#[test]
fn no_slots_and_too_many_partitions_mean_no_session() {
    let mut bench = Bench::new(0);
    assert_eq!(bench.open(1, true), 0);
    let mut bench = Bench::new(100);
    let sessions: Vec<i32> = (0..12).map(|_| bench.open(9, false)).collect();
    assert_eq!(sessions.iter().filter(|&&id| id > 0).count(), 11);
    assert_eq!(bench.cache.partition_count(), 99);
    // One that grows past the bound loses its session.
    let growing = by_name(101, 1, &[("b", 0), ("b", 1)]);
    let answer = bench.fetch(V12, &growing, |_| quiet());
    assert_eq!(answer, sent(ErrorCode::FetchSessionIdNotFound, 0, &[]));
    assert_eq!(bench.cache.partition_count(), 90);
    bench.cache.check();
}
