//! The bounded cache of one core's fetch sessions and the two halves of a fetch.

use std::collections::{BTreeMap, BTreeSet};

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{PartitionIndex, TimestampMs, TopicId};

use super::partitions::{SessionPartitions, shared_name};
use super::request::{
    EPOCH_FINAL, EPOCH_INITIAL, FetchContext, FetchOutcome, FetchTarget, FetchView, SessionId, epoch_after,
};
use crate::image::MetadataImage;

/// Bounds of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionCacheConfig {
    /// Most sessions (this core's share of `max.incremental.fetch.session.cache.slots`).
    pub slots_max: usize,
    /// How long a session must be unused, or must have lived, before another may push it out, in milliseconds. Kafka's
    /// `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`.
    pub eviction_ms_min: i64,
    /// Most partitions over all sessions, so that memory is bounded (Kafka has no such bound). A full fetch above it gets
    /// no session; an incremental one loses its own.
    pub partitions_max: usize,
}

impl Default for SessionCacheConfig {
    fn default() -> Self {
        Self { slots_max: 1000, eviction_ms_min: 120_000, partitions_max: 1_000_000 }
    }
}

/// What goes at the head of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Error of the whole answer; with one, no partition is sent.
    pub error: ErrorCode,
    /// Session that the client is in now.
    pub session_id: SessionId,
}

/// The sessions of one core.
#[derive(Clone, Debug)]
pub struct SessionCache {
    config: SessionCacheConfig,
    sessions: BTreeMap<SessionId, Session>,
    last_used: BTreeSet<(TimestampMs, SessionId)>,
    /// Sessions that any new session of more partitions may push out: those that have lived for a while.
    evictable_by_all: BTreeSet<EvictableKey>,
    /// Sessions that a follower's may push out: those of consumers as well.
    evictable_by_privileged: BTreeSet<EvictableKey>,
    partition_count: usize,
    eviction_count: u64,
    serial_next: u64,
}

/// A session on its way from one core to another.
#[derive(Clone, Debug)]
pub struct MovedSession {
    id: SessionId,
    session: Session,
}

#[derive(Clone, Debug)]
struct Session {
    privileged: bool,
    created: TimestampMs,
    last_used: TimestampMs,
    /// Epoch of the next request.
    epoch: i32,
    /// Size under which the session stands in the sets.
    size: usize,
    serial: u64,
    partitions: SessionPartitions,
}

/// Least valuable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct EvictableKey {
    privileged: bool,
    size: usize,
    id: SessionId,
}

impl SessionCache {
    /// A cache without sessions.
    #[must_use]
    pub const fn new(config: SessionCacheConfig) -> Self {
        Self {
            config,
            sessions: BTreeMap::new(),
            last_used: BTreeSet::new(),
            evictable_by_all: BTreeSet::new(),
            evictable_by_privileged: BTreeSet::new(),
            partition_count: 0,
            eviction_count: 0,
            serial_next: 0,
        }
    }

    /// Sessions held.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Partitions held, over all sessions.
    #[must_use]
    pub const fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Sessions pushed out so far.
    #[must_use]
    pub const fn eviction_count(&self) -> u64 {
        self.eviction_count
    }

    /// Starts a fetch: writes the partitions to read into `targets` (cleared first; keep it for the next fetch) in the
    /// order in which they should be read, since the byte limit may end the read early. A session that a full request
    /// names is closed; where it belongs to another core, tell that one by [`close`](Self::close).
    ///
    /// # Errors
    /// `FetchSessionIdNotFound`, `InvalidFetchSessionEpoch`, and `FetchSessionTopicIdError` when the session names topics
    /// the other way. The answer then holds only this error and session id 0.
    pub fn begin(
        &mut self,
        now: TimestampMs,
        request: &FetchView<'_>,
        image: &MetadataImage,
        targets: &mut Vec<FetchTarget>,
    ) -> Result<FetchContext, ErrorCode> {
        targets.clear();
        if !request.is_full() {
            return self.begin_incremental(now, request, image, targets);
        }
        self.close(request.session_id);
        full_targets(request, image, targets);
        Ok(match request.session_epoch {
            EPOCH_FINAL => FetchContext::Sessionless,
            _ => FetchContext::Full {
                uses_topic_ids: request.uses_topic_ids,
                from_follower: request.from_follower,
            },
        })
    }

    fn begin_incremental(
        &mut self,
        now: TimestampMs,
        request: &FetchView<'_>,
        image: &MetadataImage,
        targets: &mut Vec<FetchTarget>,
    ) -> Result<FetchContext, ErrorCode> {
        let id = request.session_id;
        let session = self.sessions.get_mut(&id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.partitions.uses_topic_ids() != request.uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.partitions.update(request.topics, image);
        session.partitions.forget(request.forgotten);
        if session.partitions.is_empty() {
            self.close(id);
            full_targets(request, image, targets);
            return Ok(FetchContext::Sessionless);
        }
        session.epoch = epoch_after(session.epoch);
        session.partitions.targets(image, targets);
        let (serial, epoch) = (session.serial, session.epoch);
        self.touch(now, id);
        if self.partition_count > self.config.partitions_max {
            self.close(id);
            targets.clear();
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        Ok(FetchContext::Incremental { session: id, serial, epoch })
    }

    /// Ends a fetch: writes the indexes of the outcomes to send into `selected` (cleared first), in the order of
    /// `outcomes`, which is the order of the answer. `fresh` is the id for a session that this fetch may open: random,
    /// positive, of this core. If it happens to be in use, no session is opened, and the client asks again next time.
    pub fn complete(
        &mut self,
        now: TimestampMs,
        context: &FetchContext,
        targets: &[FetchTarget],
        outcomes: &[FetchOutcome],
        fresh: SessionId,
        selected: &mut Vec<u32>,
    ) -> Completed {
        selected.clear();
        let mut all = |id| {
            selected.extend((0..).zip(outcomes).map(|(index, _): (u32, _)| index));
            Completed { error: ErrorCode::None, session_id: id }
        };
        match *context {
            FetchContext::Sessionless => all(SessionId::NONE),
            FetchContext::Full { uses_topic_ids, from_follower } => {
                let partitions = SessionPartitions::new(uses_topic_ids);
                all(self.open(now, from_follower, partitions, targets, outcomes, fresh))
            }
            FetchContext::Incremental { session: id, serial, epoch } => {
                match self.sessions.get_mut(&id).filter(|session| session.serial == serial) {
                    // Pushed out meanwhile. What is known of the client went with it, so it is told everything; its next
                    // fetch learns that the session is gone.
                    None => all(id),
                    Some(session) if session.epoch != epoch => {
                        Completed { error: ErrorCode::InvalidFetchSessionEpoch, session_id: id }
                    }
                    Some(session) => {
                        session.select(targets, outcomes, selected);
                        Completed { error: ErrorCode::None, session_id: id }
                    }
                }
            }
        }
    }

    /// Forgets a session, if it is here.
    pub fn close(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.last_used.remove(&(session.last_used, id));
        let key = session.evictable_key(id);
        self.evictable_by_all.remove(&key);
        self.evictable_by_privileged.remove(&key);
        self.partition_count -= session.size;
    }

    /// Whether a session is here.
    #[must_use]
    pub fn contains(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// Takes a session out, for another core's cache: its client's connection lives there now. A fetch of it that is under
    /// way here is answered in full.
    pub fn take(&mut self, id: SessionId) -> Option<MovedSession> {
        let session = self.sessions.get(&id)?.clone();
        self.close(id);
        Some(MovedSession { id, session })
    }

    /// Takes in a session of another core, under its id. It must find room like a new one; where there is none it is
    /// forgotten, and its client opens another.
    pub fn adopt(&mut self, now: TimestampMs, moved: MovedSession) {
        let MovedSession { id, mut session } = moved;
        let key = session.evictable_key(SessionId::NONE);
        if self.make_room(now, id, key) {
            (session.serial, session.last_used) = (self.serial_next, now);
            self.add(now, id, session);
        }
    }

    fn open(
        &mut self,
        now: TimestampMs,
        privileged: bool,
        mut partitions: SessionPartitions,
        targets: &[FetchTarget],
        outcomes: &[FetchOutcome],
        fresh: SessionId,
    ) -> SessionId {
        let key = EvictableKey { privileged, size: outcomes.len(), id: SessionId::NONE };
        if !self.make_room(now, fresh, key) {
            return SessionId::NONE;
        }
        for outcome in outcomes {
            if let Some(target) = targets.get(outcome.target as usize) {
                partitions.remember(target, outcome);
            }
        }
        let (epoch, serial, size) = (epoch_after(EPOCH_INITIAL), self.serial_next, partitions.len());
        let session = Session { privileged, created: now, last_used: now, epoch, size, serial, partitions };
        self.add(now, fresh, session);
        fresh
    }

    /// Whether a session of this id and worth can be added now.
    fn make_room(&mut self, now: TimestampMs, id: SessionId, key: EvictableKey) -> bool {
        id.0 > 0
            && !self.sessions.contains_key(&id)
            && self.partition_count + key.size <= self.config.partitions_max
            && (self.sessions.len() < self.config.slots_max || self.evict_for(now, key))
    }

    fn add(&mut self, now: TimestampMs, id: SessionId, session: Session) {
        self.serial_next += 1;
        self.partition_count += session.size;
        self.sessions.insert(id, session);
        self.file(now, id);
    }

    /// Makes room for a new session: by one that nobody has used for long, else by the least valuable one, unless that is
    /// worth more than the new one.
    fn evict_for(&mut self, now: TimestampMs, new: EvictableKey) -> bool {
        let Some(&(last_used, oldest)) = self.last_used.first() else { return false };
        let id = if self.is_long(last_used, now) {
            oldest
        } else {
            let evictable =
                if new.privileged { &self.evictable_by_privileged } else { &self.evictable_by_all };
            match evictable.first() {
                Some(least) if new >= *least => least.id,
                _ => return false,
            }
        };
        self.close(id);
        self.eviction_count += 1;
        true
    }

    fn is_long(&self, since: TimestampMs, now: TimestampMs) -> bool {
        now.0.saturating_sub(since.0) > self.config.eviction_ms_min
    }

    /// Notes that a session was used, and its size.
    fn touch(&mut self, now: TimestampMs, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let size = session.partitions.len();
        if session.last_used == now && session.size == size {
            return;
        }
        let (old_used, old_key) = (session.last_used, session.evictable_key(id));
        self.partition_count = self.partition_count - session.size + size;
        (session.last_used, session.size) = (now, size);
        let key = session.evictable_key(id);
        // In before out: a set of one would give its memory back and take it again.
        self.file(now, id);
        if old_used != now {
            self.last_used.remove(&(old_used, id));
        }
        if old_key != key {
            self.evictable_by_all.remove(&old_key);
            self.evictable_by_privileged.remove(&old_key);
        }
    }

    /// Puts a session into the sets that it belongs to now.
    fn file(&mut self, now: TimestampMs, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let (key, privileged) = (session.evictable_key(id), session.privileged);
        let has_lived = self.is_long(session.created, now);
        self.last_used.insert((now, id));
        if has_lived || !privileged {
            self.evictable_by_privileged.insert(key);
        }
        if has_lived {
            self.evictable_by_all.insert(key);
        }
    }

    /// What must hold after every call.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let partitions: usize = self.sessions.values().map(|session| session.partitions.len()).sum();
        assert_eq!(partitions, self.partition_count);
        assert!(partitions <= self.config.partitions_max && self.sessions.len() <= self.config.slots_max);
        let used =
            self.sessions.iter().map(|(&id, session)| (session.last_used, id)).collect::<BTreeSet<_>>();
        assert_eq!(used, self.last_used);
        let keys =
            self.sessions.iter().map(|(&id, session)| session.evictable_key(id)).collect::<BTreeSet<_>>();
        assert!(self.evictable_by_all.is_subset(&self.evictable_by_privileged));
        assert!(self.evictable_by_privileged.is_subset(&keys));
        assert!(self.sessions.values().all(|session| session.epoch > 0));
    }
}

impl Session {
    const fn evictable_key(&self, id: SessionId) -> EvictableKey {
        EvictableKey { privileged: self.privileged, size: self.size, id }
    }

    fn select(&mut self, targets: &[FetchTarget], outcomes: &[FetchOutcome], selected: &mut Vec<u32>) {
        for (index, outcome) in (0..).zip(outcomes) {
            let told = match targets.get(outcome.target as usize) {
                Some(target) => self.partitions.report(target, outcome),
                None => false,
            };
            if told {
                selected.push(index);
            }
        }
    }
}

/// The partitions that a request lists. One listed twice counts once, as it stands last, at its first place.
fn full_targets(request: &FetchView<'_>, image: &MetadataImage, targets: &mut Vec<FetchTarget>) {
    if lists_twice(request) {
        let mut partitions = SessionPartitions::new(request.uses_topic_ids);
        partitions.update(request.topics, image);
        partitions.targets(image, targets);
        return;
    }
    for topic in request.topics {
        let name = if request.uses_topic_ids {
            image.topic_by_id(topic.topic_id).map(|topic| topic.name.clone())
        } else {
            Some(shared_name(&topic.name, image))
        };
        let id = if request.uses_topic_ids { topic.topic_id } else { TopicId::NONE };
        targets.extend(topic.partitions.iter().map(|asked| FetchTarget::new(id, name.clone(), asked)));
    }
}

/// Whether some partition stands in the request more than once. No client does that, but a session would trip over it.
fn lists_twice(request: &FetchView<'_>) -> bool {
    /// Up to here comparing each with each is cheaper than sorting.
    const FEW: usize = 16;
    let keys = || {
        request.topics.iter().flat_map(|topic| {
            let key = |partition| (topic.topic_id, &*topic.name, partition);
            topic.partitions.iter().map(move |asked| key(asked.partition))
        })
    };
    if keys().take(FEW + 1).count() <= FEW {
        return keys().enumerate().any(|(index, key)| keys().take(index).any(|earlier| earlier == key));
    }
    let mut sorted: Vec<(TopicId, &str, PartitionIndex)> = keys().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}
