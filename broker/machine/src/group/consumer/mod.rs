//! Groups of the consumer protocol (KIP-848): the broker assigns, members follow one heartbeat at a time. A group is what its
//! records say: every change is decided on a copy, by records applied to it as a load would apply them ([`ConsumerGroup::apply`]),
//! and takes the group's place when they are staged.

mod assignors;
mod draft;
mod heartbeat;
mod leave;
mod member;
mod message;
mod regex;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
#[cfg(test)]
use slipring_protocol::group_records::EpochedPartitions;
use slipring_protocol::group_records::{ConsumerRecord, Partitions, ResolvedRegex};
use slipring_protocol::ids::{PartitionIndex, TimestampMs, TopicId};

use super::message::Member;
use super::timers::{MemberTimer, TimerKey};
use super::{GroupConfig, Turn};

pub use assignors::Assignor;
pub use message::{
    ConsumerBeat, ConsumerHeartbeat, DescribedConsumer, DescribedConsumerGroup, DescribedTopic, JOINING,
    LEAVING, LEAVING_FOR_NOW, Refusal,
};
pub use topics::{NoTopics, TopicInfo, Topics};

pub(super) use heartbeat::heartbeat;
pub(super) use leave::{make_way, time_out};

use member::{ConsumerMember, MemberState, plain};

/// All groups of the consumer protocol; none of them is a classic group.
pub(super) type ConsumerGroups = BTreeMap<Arc<str>, ConsumerGroup>;

/// One group. Its parts are shared with the copies that changes are decided on.
#[derive(Clone, Debug)]
pub(super) struct ConsumerGroup {
    id: Arc<str>,
    epoch: i32,
    metadata_hash: i64,
    target_epoch: i32,
    /// When the target was computed; 0 when not known.
    target_at: TimestampMs,
    members: BTreeMap<Arc<str>, Arc<ConsumerMember>>,
    /// Member ids by `group.instance.id`.
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    target: BTreeMap<Arc<str>, Arc<Partitions>>,
    regexes: BTreeMap<Arc<str>, Arc<ResolvedRegex>>,
    /// Who holds what: has it, or has not given it up yet.
    owners: BTreeMap<(TopicId, PartitionIndex), Arc<str>>,
    /// A record of brokers before 4.1, to be deleted.
    has_partition_metadata: bool,
    /// The version of the topics that the hash was last compared with; not written.
    seen_topics: Option<i64>,
}

impl ConsumerGroup {
    pub(super) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            epoch: 0,
            metadata_hash: 0,
            target_epoch: 0,
            target_at: TimestampMs(0),
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            target: BTreeMap::new(),
            regexes: BTreeMap::new(),
            owners: BTreeMap::new(),
            has_partition_metadata: false,
            seen_topics: None,
        }
    }

    /// Takes over a record about this group. A tombstone of the group itself is the caller's to heed.
    pub(super) fn apply(&mut self, record: &ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(_, value) => {
                let value = value.unwrap_or_default();
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            ConsumerRecord::PartitionMetadata(_, value) => self.has_partition_metadata = value.is_some(),
            ConsumerRecord::TargetEpoch(_, value) => {
                let value = value.unwrap_or_default();
                (self.target_epoch, self.target_at) = (value.epoch, value.computed_at);
            }
            ConsumerRecord::Target(key, Some(target)) => {
                self.target.insert(key.member_id.clone(), Arc::new(target.clone()));
            }
            ConsumerRecord::Target(key, None) => _ = self.target.remove(&key.member_id),
            ConsumerRecord::Regex(_, regex, Some(resolved)) => {
                self.regexes.insert(regex.clone(), Arc::new(resolved.clone()));
            }
            ConsumerRecord::Regex(_, regex, None) => _ = self.regexes.remove(regex),
            ConsumerRecord::Member(key, Some(said)) => {
                let mut member = self.member_or_new(&key.member_id);
                if let Some(before) = &member.said.instance_id {
                    self.static_members.remove(before);
                }
                member.said = said.clone();
                if let Some(instance_id) = &member.said.instance_id {
                    self.static_members.insert(instance_id.clone(), key.member_id.clone());
                }
                self.members.insert(key.member_id.clone(), Arc::new(member));
            }
            ConsumerRecord::Member(key, None) => self.remove_member(&key.member_id),
            ConsumerRecord::Current(key, value) => {
                // A tombstone comes before the member's own; compaction may leave it alone.
                if value.is_none() && !self.members.contains_key(&key.member_id) {
                    return;
                }
                let mut member = self.member_or_new(&key.member_id);
                self.disown(&member);
                member.has = value.clone().unwrap_or_else(member::nothing);
                for (topic, partitions) in
                    [&member.has.assigned, &member.has.pending_revocation].into_iter().flatten()
                {
                    for partition in partitions.keys() {
                        self.owners.insert((*topic, *partition), key.member_id.clone());
                    }
                }
                self.members.insert(key.member_id.clone(), Arc::new(member));
            }
        }
    }

    fn member_or_new(&self, id: &Arc<str>) -> ConsumerMember {
        self.members.get(id).map_or_else(|| ConsumerMember::new(id.clone()), |member| (**member).clone())
    }

    fn remove_member(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        self.disown(&member);
        if let Some(instance_id) = &member.said.instance_id
            && self.static_members.get(instance_id).is_some_and(|current| **current == *id)
        {
            self.static_members.remove(instance_id);
        }
    }

    fn disown(&mut self, member: &ConsumerMember) {
        for (topic, partitions) in
            [&member.has.assigned, &member.has.pending_revocation].into_iter().flatten()
        {
            for partition in partitions.keys() {
                let key = (*topic, *partition);
                if self.owners.get(&key).is_some_and(|owner| *owner == member.id) {
                    self.owners.remove(&key);
                }
            }
        }
    }

    /// The name of its state that Kafka shows (`ConsumerGroup.maybeUpdateGroupState`).
    pub(super) fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if !self.members.values().all(|member| member.is_reconciled_to(self.target_epoch)) {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What a member subscribes to, by names and by what its expression is resolved to.
    fn subscription<'a>(&'a self, member: &'a ConsumerMember) -> impl Iterator<Item = &'a Arc<str>> {
        let resolved = member.regex().and_then(|regex| self.regexes.get(regex));
        member.said.topics.iter().chain(resolved.into_iter().flat_map(|resolved| &resolved.topics))
    }

    /// All topics that anybody subscribes to.
    fn subscribed(&self) -> BTreeSet<Arc<str>> {
        self.members.values().flat_map(|member| self.subscription(member)).cloned().collect()
    }

    /// Whether offsets in the topic are in use.
    pub(super) fn subscribes_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| self.subscription(member).any(|name| &**name == topic))
    }

    /// How many members subscribe to each regular expression.
    fn expressions(&self) -> BTreeMap<&Arc<str>, usize> {
        let mut counts = BTreeMap::new();
        for regex in self.members.values().filter_map(|member| member.regex()) {
            *counts.entry(regex).or_default() += 1;
        }
        counts
    }

    /// The assignor that most members would like, by name among equals (`ConsumerGroup.computePreferredServerAssignor`).
    fn assignor(&self, config: &GroupConfig) -> Assignor {
        let mut votes: BTreeMap<Assignor, usize> = BTreeMap::new();
        let liked =
            self.members.values().filter_map(|member| Assignor::named(member.said.assignor.as_deref()?));
        liked.for_each(|assignor| *votes.entry(assignor).or_default() += 1);
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map_or(config.consumer.assignors[0], |(assignor, _)| assignor)
    }

    /// Whether a member may commit these offsets (`ConsumerGroup.validateOffsetCommit`): with an older epoch only in partitions
    /// that it has had since then.
    pub(super) fn validate_commit(
        &self,
        member: &Member,
        partitions: impl Iterator<Item = (TopicId, PartitionIndex)>,
        knows_epochs: bool,
    ) -> Result<(), ErrorCode> {
        if member.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let found = self.members.get(&member.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if !found.is_classic() && !knows_epochs {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let stale = stale(found);
        let mut partitions = partitions;
        match member.generation.cmp(&found.has.epoch) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(stale),
            std::cmp::Ordering::Less => {
                let since = |(topic, partition)| found.assignment_epoch(topic, partition);
                let is_owner = |key| since(key).is_some_and(|since| member.generation >= since);
                if partitions.all(is_owner) { Ok(()) } else { Err(stale) }
            }
        }
    }

    /// Whether somebody may ask for offsets as this member (`ConsumerGroup.validateOffsetFetch`).
    pub(super) fn validate_fetch(&self, member_id: &str, epoch: i32) -> Result<(), ErrorCode> {
        let found = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        if found.has.epoch == epoch { Ok(()) } else { Err(stale(found)) }
    }

    pub(super) fn describe(&self, config: &GroupConfig, topics: &dyn Topics) -> DescribedConsumerGroup {
        let named = |partitions: &Partitions| {
            let topic = |(id, partitions): (&TopicId, &BTreeSet<PartitionIndex>)| {
                let partitions = partitions.iter().copied().collect();
                topics.name(*id).map(|name| DescribedTopic { id: *id, name, partitions })
            };
            partitions.iter().filter_map(topic).collect()
        };
        let none = Partitions::new();
        let member = |member: &Arc<ConsumerMember>| DescribedConsumer {
            member_id: member.id.clone(),
            epoch: member.has.epoch,
            metadata: member.said.clone(),
            assignment: named(&plain(&member.has.assigned)),
            target: named(self.target.get(&member.id).map_or(&none, |target| &**target)),
        };
        DescribedConsumerGroup {
            state: self.state(),
            epoch: self.epoch,
            target_epoch: self.target_epoch,
            assignor: self.assignor(config).name(),
            members: self.members.values().map(member).collect(),
        }
    }

    /// Tombstones for all that is known of the group, the group last.
    pub(super) fn tombstones(&self) -> Vec<ConsumerRecord> {
        let key = |id: &Arc<str>| self.key(id);
        let members = || self.members.keys();
        let mut records: Vec<ConsumerRecord> =
            members().map(|id| ConsumerRecord::Current(key(id), None)).collect();
        records.extend(self.target.keys().map(|id| ConsumerRecord::Target(key(id), None)));
        records.push(ConsumerRecord::TargetEpoch(self.id.clone(), None));
        records.extend(members().map(|id| ConsumerRecord::Member(key(id), None)));
        if self.has_partition_metadata {
            records.push(ConsumerRecord::PartitionMetadata(self.id.clone(), None));
        }
        let regexes = self.regexes.keys();
        records.extend(regexes.map(|regex| ConsumerRecord::Regex(self.id.clone(), regex.clone(), None)));
        records.push(ConsumerRecord::Epoch(self.id.clone(), None));
        records
    }

    /// Members have their time from now to be heard of.
    pub(super) fn loaded(&self, turn: &mut Turn<'_>) {
        for member in self.members.values() {
            self.renew_session(member, turn);
            self.watch_revocation(member, turn);
        }
    }

    fn forget_member_timers(&self, id: &Arc<str>, turn: &mut Turn<'_>) {
        for timer in MemberTimer::ALL {
            turn.timers.cancel(&self.timer(timer, id));
        }
    }

    fn renew_session(&self, member: &ConsumerMember, turn: &mut Turn<'_>) {
        let after_ms = match &member.said.classic {
            Some(classic) => classic.session_timeout_ms.max(0) as u64,
            None => turn.config.consumer.session_timeout_ms,
        };
        turn.schedule(self.timer(MemberTimer::Session, &member.id), after_ms, leave::fence(None));
    }

    /// Who is to give up partitions has its rebalance time-out for it, from now.
    fn watch_revocation(&self, member: &ConsumerMember, turn: &mut Turn<'_>) {
        let key = self.timer(MemberTimer::Rebalance, &member.id);
        if member.state() == MemberState::Unrevoked && !member.is_classic() {
            let after_ms = member.said.rebalance_timeout_ms.max(0) as u64;
            turn.schedule(key, after_ms, leave::fence(Some(member.has.epoch)));
        } else {
            turn.timers.cancel(&key);
        }
    }

    fn timer(&self, timer: MemberTimer, member_id: &Arc<str>) -> TimerKey {
        TimerKey::Member(timer, self.id.clone(), member_id.clone())
    }

    fn key(&self, member_id: &Arc<str>) -> slipring_protocol::group_records::MemberKey {
        slipring_protocol::group_records::MemberKey { group: self.id.clone(), member_id: member_id.clone() }
    }

    /// What of the group records tell: for comparing with a load.
    #[cfg(test)]
    pub(super) fn hard_state(&self) -> String {
        format!("{:?}", Self { seen_topics: None, ..self.clone() })
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut held = BTreeMap::new();
        for member in self.members.values() {
            let own: [&EpochedPartitions; 2] = [&member.has.assigned, &member.has.pending_revocation];
            for (topic, partitions) in own.into_iter().flatten() {
                for partition in partitions.keys() {
                    let before = held.insert((*topic, *partition), member.id.clone());
                    assert!(before.is_none(), "{topic}-{partition} is held by {before:?} and {}", member.id);
                }
            }
            assert!(member.has.epoch <= self.epoch, "no member is ahead of its group");
            assert_ne!(member.state(), MemberState::Unknown);
        }
        assert_eq!(held, self.owners, "owners are who holds");
        assert!(self.target_epoch <= self.epoch, "no target is ahead of its group");
        let statics: BTreeMap<_, _> = self
            .members
            .values()
            .filter_map(|member| Some((member.said.instance_id.clone()?, member.id.clone())))
            .collect();
        assert_eq!(statics, self.static_members, "static members are members");
        let mut aimed = BTreeSet::new();
        for (id, target) in &self.target {
            assert!(self.members.contains_key(id), "targets are members'");
            for (topic, partitions) in &**target {
                assert!(partitions.iter().all(|partition| aimed.insert((*topic, *partition))), "one target");
            }
        }
    }
}

/// What a member hears whose epoch is not the one that it should have.
fn stale(member: &ConsumerMember) -> ErrorCode {
    if member.is_classic() { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}
