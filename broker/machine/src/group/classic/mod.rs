//! Groups of the classic protocol: members join, their leader assigns, everybody fetches its assignment, heartbeats keep it.
//! The state of one group and what is asked about it; the phases have a file each.

mod join;
mod liveness;
mod member;
mod rebalance;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipring_protocol::consumer_protocol::{PROTOCOL_TYPE, subscribed_topics};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::{GroupMetadata, GroupRecord};
use slipring_protocol::ids::TimestampMs;

use super::message::{DescribedGroup, JoinReply, JoinedMember, Member, SyncReply};
use super::timers::TimerKey;
use super::{Answer, Reply, RequestId, Turn, WriteId};

pub(super) use join::{StaticRejoin, join};
pub(super) use liveness::{heartbeat, leave};
pub(super) use sync::sync;

use member::GroupMember;

/// State of a group. Kafka's `Dead` does not occur: a deleted group is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No members.
    Empty,
    /// Members are to join.
    PreparingRebalance,
    /// All have joined; the leader is to assign.
    CompletingRebalance,
    /// Everybody has its assignment or may ask for it.
    Stable,
}

impl State {
    /// The name that Kafka shows.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }

    const fn may_follow(self, previous: Self) -> bool {
        match self {
            Self::Empty | Self::CompletingRebalance => matches!(previous, Self::PreparingRebalance),
            Self::PreparingRebalance => !matches!(previous, Self::PreparingRebalance),
            Self::Stable => matches!(previous, Self::CompletingRebalance),
        }
    }
}

/// One group.
#[derive(Clone, Debug)]
pub(super) struct ClassicGroup {
    id: Arc<str>,
    state: State,
    previous: State,
    /// Since when it is in its state; -1 when not known.
    state_since: TimestampMs,
    generation: i32,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, GroupMember>,
    /// Member ids by `group.instance.id`.
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids given to members that have not joined with them yet.
    pending_joins: BTreeSet<Arc<str>>,
    /// Members that have not asked for their assignment in this generation.
    pending_syncs: BTreeSet<Arc<str>>,
    /// How many members support each protocol.
    supported: BTreeMap<Arc<str>, usize>,
    /// Members that wait for the answer to their JoinGroup.
    awaiting_joins: usize,
    /// Whether somebody joined since the initial rebalance was last put off.
    new_member_added: bool,
    /// What the members subscribe to, where it is consumers and we understand them.
    subscribed: Option<BTreeSet<String>>,
    /// The write that brings this generation's assignment.
    assignment_write: Option<WriteId>,
}

impl ClassicGroup {
    pub(super) fn new(id: Arc<str>, now: TimestampMs) -> Self {
        Self {
            id,
            state: State::Empty,
            previous: State::Empty,
            state_since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            supported: BTreeMap::new(),
            awaiting_joins: 0,
            new_member_added: false,
            subscribed: None,
            assignment_write: None,
        }
    }

    /// The group as a record tells it.
    pub(super) fn restore(id: Arc<str>, value: GroupMetadata) -> Self {
        let protocol_type = Some(value.protocol_type).filter(|name| !name.is_empty());
        let mut group = Self::new(id, value.state_since);
        group.state = if value.members.is_empty() { State::Empty } else { State::Stable };
        group.previous = group.state;
        group.generation = value.generation;
        let protocol = value.protocol.clone().unwrap_or_default();
        for member in value.members {
            group.insert(GroupMember::restore(member, &protocol));
        }
        group.protocol_type = protocol_type;
        group.protocol = value.protocol;
        group.leader = value.leader;
        group.subscribed = group.find_subscribed();
        group
    }

    /// The record of the group as it is now, with the given assignments.
    fn record(&self, assignments: Option<&BTreeMap<Arc<str>, bytes::Bytes>>) -> GroupRecord {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let assignment = |member: &GroupMember| match assignments {
            Some(assignments) => assignments.get(&member.id).cloned().unwrap_or_default(),
            None => member.assignment.clone(),
        };
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: self
                .members
                .values()
                .map(|member| member.record(protocol, assignment(member)))
                .collect(),
        };
        GroupRecord::Group(self.id.clone(), Some(value))
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) const fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    /// Whether the members are consumers, whose subscriptions we understand.
    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(PROTOCOL_TYPE)
    }

    /// Whether offsets in the topic are in use. Consumers whose subscriptions we cannot read may use any.
    pub(super) fn subscribes_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// Whether offsets that are not subscribed to may expire; and since when the retention time counts, where not since
    /// each one's commit (`ClassicGroup.offsetExpirationCondition`).
    pub(super) fn expiry(&self) -> Option<Option<TimestampMs>> {
        if self.protocol_type.is_none() {
            return Some(None);
        }
        match self.state {
            State::Empty => Some(Some(self.state_since).filter(|since| since.0 != -1)),
            State::Stable if self.is_of_consumers() && self.subscribed.is_some() => Some(None),
            State::Stable | State::PreparingRebalance | State::CompletingRebalance => None,
        }
    }

    /// Whether a member is who it says (`ClassicGroup.validateMember`).
    fn validate(&self, member_id: &str, instance_id: Option<&Arc<str>>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if &**current != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether offsets may be committed by this member, or by nobody (`ClassicGroup.validateOffsetCommit`).
    pub(super) fn validate_commit(&self, member: &Member) -> Result<(), ErrorCode> {
        if member.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if member.generation < 0 && member.member_id.is_empty() && member.instance_id.is_none() {
            if self.state != State::Empty {
                return Err(ErrorCode::UnknownMemberId);
            }
        } else {
            self.validate(&member.member_id, member.instance_id.as_ref())?;
            if member.generation != self.generation {
                return Err(ErrorCode::IllegalGeneration);
            }
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    pub(super) fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol.as_ref().filter(|_| self.state == State::Stable);
        DescribedGroup {
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.cloned().unwrap_or_default(),
            members: self
                .members
                .values()
                .map(|member| member.describe(protocol.map(|name| &**name)))
                .collect(),
        }
    }

    /// Everybody who waits is told that the coordinator is not here any more.
    pub(super) fn fail_all(&mut self, error: ErrorCode, out: &mut Vec<Answer>) {
        for member in self.members.values_mut() {
            if let Some(to) = member.awaiting_join.take() {
                out.push((to, Reply::Join(JoinReply::failed(&member.id, error))));
            }
            if let Some(to) = member.awaiting_sync.take() {
                out.push((to, Reply::Sync(SyncReply::failed(error))));
            }
        }
        self.awaiting_joins = 0;
    }

    /// Nothing of the group is to be done later.
    pub(super) fn forget_timers(&self, turn: &mut Turn<'_>) {
        for member in self.members.keys().chain(&self.pending_joins) {
            turn.timers.cancel(&self.session_key(member));
        }
        turn.timers.cancel(&TimerKey::Join(self.id.clone()));
        turn.timers.cancel(&TimerKey::Sync(self.id.clone()));
    }

    fn session_key(&self, member_id: &Arc<str>) -> TimerKey {
        TimerKey::Session(self.id.clone(), member_id.clone())
    }

    /// Adds a member that is not there yet; the first one leads.
    fn insert(&mut self, member: GroupMember) {
        let id = member.id.clone();
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), id.clone());
        }
        for (protocol, _) in &member.protocols {
            *self.supported.entry(protocol.clone()).or_default() += 1;
        }
        self.awaiting_joins += usize::from(member.awaiting_join.is_some());
        self.leader.get_or_insert_with(|| id.clone());
        self.pending_joins.remove(&id);
        let before = self.members.insert(id, member);
        assert!(before.is_none(), "a member joins once");
    }

    /// Takes a member out. Another leads if it led.
    fn remove(&mut self, member_id: &str) -> Option<GroupMember> {
        let removed = self.take_out(member_id);
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        removed
    }

    fn take_out(&mut self, member_id: &str) -> Option<GroupMember> {
        let member = self.members.remove(member_id)?;
        for (protocol, _) in &member.protocols {
            if let Some(count) = self.supported.get_mut(protocol) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(protocol);
                }
            }
        }
        self.awaiting_joins -= usize::from(member.awaiting_join.is_some());
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        Some(member)
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    fn all_joined(&self) -> bool {
        self.awaiting_joins == self.members.len() && self.pending_joins.is_empty()
    }

    /// The longest rebalance time-out of any member, in milliseconds.
    fn rebalance_timeout_ms(&self) -> u64 {
        self.members.values().map(|member| member.rebalance_timeout_ms.max(0) as u64).max().unwrap_or(0)
    }

    /// Whether somebody with these protocols may join (`ClassicGroup.supportsProtocols`).
    fn supports(&self, protocol_type: &str, protocols: &[(Arc<str>, bytes::Bytes)]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let by_all = |name: &Arc<str>| self.supported.get(name).copied().unwrap_or(0) == self.members.len();
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.iter().any(|(name, _)| by_all(name))
    }

    /// The protocol that most members like best of those that all support. Among equals the first of the first member.
    fn select_protocol(&self) -> Option<Arc<str>> {
        let candidates: BTreeSet<&Arc<str>> = self
            .supported
            .iter()
            .filter(|(_, count)| **count == self.members.len())
            .map(|(name, _)| name)
            .collect();
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member.protocols.iter().map(|(name, _)| name).find(|name| candidates.contains(name));
            *votes.entry(vote?).or_default() += 1;
        }
        let most = *votes.values().max()?;
        let first = self.members.values().next()?;
        let winner = first.protocols.iter().map(|(name, _)| name).find(|name| votes.get(name) == Some(&most));
        winner.or_else(|| votes.iter().find(|(_, count)| **count == most).map(|(name, _)| *name)).cloned()
    }

    /// What the members subscribe to under the chosen protocol (`ClassicGroup.computeSubscribedTopics`).
    fn find_subscribed(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            all.extend(subscribed_topics(&member.metadata(protocol))?);
        }
        Some(all)
    }

    fn transition(&mut self, to: State, now: TimestampMs) {
        assert!(to.may_follow(self.state), "{to:?} does not follow {:?}", self.state);
        self.previous = std::mem::replace(&mut self.state, to);
        self.state_since = now;
    }

    /// What the leader is told of everybody.
    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.members
            .values()
            .map(|member| JoinedMember {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol),
            })
            .collect()
    }

    /// The answer to a member that belongs to the present generation; the leader gets all members.
    fn joined(&self, member_id: &Arc<str>) -> JoinReply {
        let members = if self.is_leader(member_id) { self.joined_members() } else { Vec::new() };
        JoinReply {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members,
        }
    }

    /// Answers the member's JoinGroup if it waits for one.
    fn answer_join(&mut self, member_id: &str, reply: JoinReply, turn: &mut Turn<'_>) {
        if let Some(to) = self.members.get_mut(member_id).and_then(|member| member.awaiting_join.take()) {
            self.awaiting_joins -= 1;
            turn.reply(to, Reply::Join(reply));
        }
    }

    /// The member waits for its JoinGroup to be answered. An older request of its own hears that the group rebalances: Kafka
    /// leaves it without an answer, which here would hold up everything behind it on its connection.
    fn await_join(&mut self, member_id: &Arc<str>, request: RequestId, turn: &mut Turn<'_>) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        match member.awaiting_join.replace(request) {
            Some(old) => {
                let reply = JoinReply::failed(member_id, ErrorCode::RebalanceInProgress);
                turn.reply(old, Reply::Join(reply));
            }
            None => self.awaiting_joins += 1,
        }
    }

    #[cfg(test)]
    pub(super) const fn generation(&self) -> i32 {
        self.generation
    }

    #[cfg(test)]
    pub(super) fn stored(&self) -> GroupMetadata {
        match self.record(None) {
            GroupRecord::Group(_, Some(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    #[cfg(test)]
    pub(super) fn all_synced(&self) -> bool {
        self.pending_syncs.is_empty()
    }

    /// Members, joined or not, that do not wait for us.
    #[cfg(test)]
    pub(super) fn who_must_show_life(&self) -> impl Iterator<Item = &Arc<str>> {
        let quiet = self.members.values().filter(|member| !member.is_waiting());
        quiet.map(|member| &member.id).chain(&self.pending_joins)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let awaiting = self.members.values().filter(|member| member.awaiting_join.is_some()).count();
        assert_eq!(awaiting, self.awaiting_joins, "joins are counted");
        match self.state {
            State::Empty => assert!(self.members.is_empty(), "an empty group has no members"),
            State::PreparingRebalance => {}
            State::CompletingRebalance | State::Stable => assert!(!self.members.is_empty(), "not empty"),
        }
        for (instance_id, member_id) in &self.static_members {
            let member = &self.members[member_id];
            assert_eq!(member.instance_id.as_ref(), Some(instance_id), "static members are members");
        }
        if let Some(leader) = &self.leader {
            assert!(self.members.contains_key(leader), "the leader is a member");
        }
        assert!(self.pending_joins.iter().all(|id| !self.members.contains_key(id)), "pending is not joined");
        assert!(
            self.pending_syncs.iter().all(|id| self.members.contains_key(id)),
            "pending syncs are members"
        );
    }
}
