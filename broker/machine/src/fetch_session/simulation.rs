//! Thousands of random fetches against a plain model of Kafka's session cache: lists and maps, no indexes.

use std::collections::BTreeMap;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use slipring_protocol::ids::{Offset, PartitionIndex, TimestampMs, TopicId};
use slipring_protocol::wire::WireStr;

use super::*;
use crate::choices::{Choices, seeds};
use crate::image::MetadataImage;
use crate::image::fixtures::{image_with, topic_id};

const SLOTS_MAX: usize = 4;
const EVICTION_MS: i64 = 50;
const NAMES: [&str; 4] = ["a", "b", "c", "gone"];

/// A partition as the request names it: topic number and index.
type Key = (usize, i32);

#[derive(Default)]
struct Model {
    sessions: BTreeMap<i32, ModelSession>,
}

struct ModelSession {
    ids: bool,
    privileged: bool,
    created: i64,
    used: i64,
    epoch: i32,
    size: usize,
    by_all: bool,
    by_privileged: bool,
    parts: Vec<(Key, i64, Offset, Offset)>,
}

impl ModelSession {
    fn touch(&mut self, now: i64) {
        let lived = now - self.created > EVICTION_MS;
        (self.used, self.size) = (now, self.parts.len());
        (self.by_all, self.by_privileged) = (lived, lived || !self.privileged);
    }

    fn put(&mut self, key: Key, offset: i64) {
        match self.parts.iter_mut().find(|part| part.0 == key) {
            Some(part) => part.1 = offset,
            None => self.parts.push((key, offset, Offset(-1), Offset(-1))),
        }
    }
}

impl Model {
    fn open(&mut self, now: i64, fresh: i32, mut session: ModelSession) -> i32 {
        if self.sessions.contains_key(&fresh) {
            return 0;
        }
        if self.sessions.len() >= SLOTS_MAX {
            let (_, oldest) = self.sessions.iter().map(|(&id, held)| (held.used, id)).min().unwrap();
            if now - self.sessions[&oldest].used > EVICTION_MS {
                self.sessions.remove(&oldest);
            } else {
                let may =
                    |held: &ModelSession| if session.privileged { held.by_privileged } else { held.by_all };
                let keys = self.sessions.iter().filter(|(_, held)| may(held));
                let least = keys.map(|(&id, held)| (held.privileged, held.size, id)).min();
                match least {
                    Some(least) if (session.privileged, session.parts.len(), 0) >= least => {
                        self.sessions.remove(&least.2)
                    }
                    _ => return 0,
                };
            }
        }
        session.touch(now);
        self.sessions.insert(fresh, session);
        fresh
    }
}

/// A random request in the model's terms.
struct Asked {
    session: i32,
    epoch: i32,
    ids: bool,
    follower: bool,
    parts: Vec<(Key, i64)>,
    forget: Vec<Key>,
}

fn topic(number: usize, ids: bool) -> (WireStr, TopicId) {
    if ids {
        (WireStr::new(), topic_id(number as u128 + 10))
    } else {
        (WireStr::from_static_str(NAMES[number]), TopicId::NONE)
    }
}

impl Asked {
    fn random(choices: &mut Choices, model: &Model) -> Self {
        let known: Vec<i32> = model.sessions.keys().copied().chain([0, 77]).collect();
        let session = *choices.of(&known);
        let right =
            model.sessions.get(&session).map_or((1, choices.one_in(2)), |held| (held.epoch, held.ids));
        let epoch = match choices.below(8) {
            0 => 0,
            1 => -1,
            2 => choices.between(-3, 9),
            _ => right.0,
        };
        let ids = if epoch > 0 && !choices.one_in(9) { right.1 } else { choices.one_in(2) };
        let mut key = || (choices.below(NAMES.len()), choices.between(0, 6));
        let parts = (0..key().1).map(|_| (key(), i64::from(key().1))).collect();
        let forget = (0..key().1).map(|_| key()).collect();
        Self { session, epoch, ids, follower: choices.one_in(4), parts, forget }
    }

    fn topics(&self) -> Vec<FetchTopic> {
        let topic = |&((number, index), offset): &(Key, i64)| {
            let (name, topic_id) = topic(number, self.ids);
            let partition = FetchPartition::new(PartitionIndex(index), Offset(offset), 1);
            FetchTopic { name, topic_id, partitions: vec![partition] }
        };
        self.parts.iter().map(topic).collect()
    }

    fn forgotten(&self) -> Vec<ForgottenTopic> {
        let topic = |&(number, index): &Key| {
            let (name, topic_id) = topic(number, self.ids);
            ForgottenTopic { name, topic_id, partitions: vec![PartitionIndex(index)] }
        };
        self.forget.iter().map(topic).collect()
    }

    fn new_session(&self, now: i64) -> ModelSession {
        let mut session = ModelSession {
            ids: self.ids,
            privileged: self.follower,
            created: now,
            used: now,
            epoch: 1,
            size: 0,
            by_all: false,
            by_privileged: false,
            parts: Vec::new(),
        };
        for &(key, offset) in &self.parts {
            session.put(key, offset);
        }
        session
    }
}

fn key_of(target: &FetchTarget) -> (Key, i64) {
    let number = if target.topic_id.is_none() {
        NAMES.iter().position(|&name| Some(name) == target.topic.as_deref()).unwrap()
    } else {
        usize::try_from(target.topic_id.0.as_u128() - 10).unwrap()
    };
    ((number, target.partition.0), target.fetch_offset.0)
}

fn random_outcome(choices: &mut Choices, target: u32) -> FetchOutcome {
    let error = if choices.one_in(8) { ErrorCode::NotLeaderOrFollower } else { ErrorCode::None };
    let offset = |choices: &mut Choices| Offset(i64::from(choices.between(0, 2)));
    FetchOutcome {
        target,
        error,
        high_watermark: if error.is_error() { Offset(-1) } else { offset(choices) },
        log_start: if error.is_error() { Offset(-1) } else { offset(choices) },
        records_bytes: usize::from(choices.one_in(4)),
        preferred_replica: choices.one_in(20),
        diverging_epoch: choices.one_in(20),
    }
}

/// What the model says of the targets of a request, or its error.
fn model_begin(model: &mut Model, now: i64, asked: &Asked) -> Result<Vec<(Key, i64)>, ErrorCode> {
    let listed: Vec<_> = asked.new_session(now).parts.iter().map(|part| (part.0, part.1)).collect();
    if asked.epoch == 0 || asked.epoch == -1 {
        model.sessions.remove(&asked.session);
        return Ok(listed);
    }
    let held = model.sessions.get_mut(&asked.session).ok_or(ErrorCode::FetchSessionIdNotFound)?;
    if held.epoch != asked.epoch {
        return Err(ErrorCode::InvalidFetchSessionEpoch);
    }
    if held.ids != asked.ids {
        return Err(ErrorCode::FetchSessionTopicIdError);
    }
    for &(key, offset) in &asked.parts {
        held.put(key, offset);
    }
    held.parts.retain(|part| !asked.forget.contains(&part.0));
    if held.parts.is_empty() {
        model.sessions.remove(&asked.session);
        return Ok(listed);
    }
    held.touch(now);
    held.epoch += 1;
    Ok(held.parts.iter().map(|part| (part.0, part.1)).collect())
}

/// What the model says is sent: the session and the indexes of the outcomes.
fn model_complete(
    model: &mut Model,
    now: i64,
    asked: &Asked,
    context: &FetchContext,
    targets: &[(Key, i64)],
    outcomes: &[FetchOutcome],
    fresh: i32,
) -> (i32, Vec<u32>) {
    let all = (0..u32::try_from(outcomes.len()).unwrap()).collect();
    match context {
        FetchContext::Sessionless => (0, all),
        FetchContext::Full { .. } => {
            let mut session = asked.new_session(now);
            for outcome in outcomes {
                let key = targets[outcome.target as usize].0;
                let part = session.parts.iter_mut().find(|part| part.0 == key).unwrap();
                (part.2, part.3) = (outcome.high_watermark, outcome.log_start);
            }
            (model.open(now, fresh, session), all)
        }
        FetchContext::Incremental { .. } => {
            let held = model.sessions.get_mut(&asked.session).unwrap();
            let mut selected = Vec::new();
            for (index, outcome) in (0..).zip(outcomes) {
                let key = targets[outcome.target as usize].0;
                let place = held.parts.iter().position(|part| part.0 == key).unwrap();
                let part = &mut held.parts[place];
                let told = (part.2, part.3) != (outcome.high_watermark, outcome.log_start)
                    || outcome.records_bytes > 0
                    || outcome.error.is_error()
                    || outcome.preferred_replica
                    || outcome.diverging_epoch;
                (part.2, part.3) = (outcome.high_watermark, outcome.log_start);
                if told {
                    selected.push(index);
                }
                if outcome.records_bytes > 0 {
                    let part = held.parts.remove(place);
                    held.parts.push(part);
                }
            }
            (asked.session, selected)
        }
    }
}

fn run(seed: u64, image: &MetadataImage) {
    let mut choices = Choices::new(seed);
    let config =
        SessionCacheConfig { slots_max: SLOTS_MAX, eviction_ms_min: EVICTION_MS, partitions_max: 10_000 };
    let (mut cache, mut model) = (SessionCache::new(config), Model::default());
    let (mut targets, mut selected) = (Vec::new(), Vec::new());
    let mut now = 0;
    for _ in 0..200 {
        now += if choices.one_in(3) { i64::from(choices.between(0, 30)) } else { 0 };
        let asked = Asked::random(&mut choices, &model);
        let (topics, forgotten) = (asked.topics(), asked.forgotten());
        let view = FetchView {
            session_id: SessionId(asked.session),
            session_epoch: asked.epoch,
            uses_topic_ids: asked.ids,
            from_follower: asked.follower,
            topics: &topics,
            forgotten: &forgotten,
        };
        let expected = model_begin(&mut model, now, &asked);
        let began = cache.begin(TimestampMs(now), &view, image, &mut targets);
        cache.check();
        let keys: Vec<_> = targets.iter().map(key_of).collect();
        assert_eq!(began.as_ref().map(|_| keys.clone()).map_err(|&error| error), expected, "seed {seed}");
        let Ok(context) = began else { continue };
        let mut outcomes: Vec<_> =
            (0..).zip(&targets).map(|(target, _)| random_outcome(&mut choices, target)).collect();
        if choices.one_in(3) {
            outcomes.reverse();
        }
        // The order of a new session is that of the answer; the model takes that of the request.
        if matches!(context, FetchContext::Full { .. }) {
            outcomes.sort_by_key(|outcome| outcome.target);
        }
        let fresh = choices.between(1, 9);
        let expected = model_complete(&mut model, now, &asked, &context, &keys, &outcomes, fresh);
        let completed =
            cache.complete(TimestampMs(now), &context, &targets, &outcomes, SessionId(fresh), &mut selected);
        cache.check();
        assert_eq!((completed.session_id.0, selected.clone()), expected, "seed {seed}");
        assert_eq!(cache.session_count(), model.sessions.len(), "seed {seed}");
    }
}

#[test]
fn the_cache_does_what_the_model_does() {
    let image = image_with(&[("a", 10, 6), ("b", 11, 6), ("c", 12, 3)]);
    for seed in 0..seeds(500) {
        run(seed, &image);
    }
}
