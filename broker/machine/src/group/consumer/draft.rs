//! A change of a group in the making: records, and the group as they will leave it. Staged it takes the group's place; refused
//! it never was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::{
    ConsumerRecord, CurrentAssignment, GroupEpoch, GroupRecord, Partitions, TargetEpoch,
};
use slipring_protocol::ids::{TimestampMs, TopicId};

use super::assignors::{GroupSpec, MemberSpec};
use super::member::{Aim, ConsumerMember};
use super::message::Refusal;
use super::topics::{existing, metadata_hash};
use super::{ConsumerGroup, Topics};
use crate::group::{GroupConfig, Turn, WriteId, write_error};

/// The change.
pub(super) struct Draft {
    pub(super) group: ConsumerGroup,
    pub(super) records: Vec<GroupRecord>,
}

impl Draft {
    /// A change of this group.
    pub(super) fn of(group: &ConsumerGroup) -> Self {
        Self { group: group.clone(), records: Vec::new() }
    }

    /// A new group.
    pub(super) fn new(id: Arc<str>) -> Self {
        Self { group: ConsumerGroup::new(id), records: Vec::new() }
    }

    pub(super) fn push(&mut self, record: ConsumerRecord) {
        self.group.apply(&record);
        self.records.push(GroupRecord::Consumer(record));
    }

    /// Stages the records. None when there is nothing to write.
    pub(super) fn stage(&self, turn: &mut Turn<'_>) -> Result<Option<WriteId>, Refusal> {
        if self.records.is_empty() {
            return Ok(None);
        }
        turn.append(&self.records).map(Some).map_err(|error| Refusal::from(write_error(error)))
    }

    /// The group is to be assigned anew, as its topics are now.
    pub(super) fn bump(&mut self, topics: &dyn Topics) {
        let metadata_hash = metadata_hash(topics, &self.group.subscribed());
        let epoch = self.group.epoch + 1;
        self.push(ConsumerRecord::Epoch(self.group.id.clone(), Some(GroupEpoch { epoch, metadata_hash })));
        self.seen(topics);
    }

    /// Whether the topics that the group subscribes to are others than at its epoch.
    pub(super) fn have_topics_changed(&mut self, topics: &dyn Topics) -> bool {
        self.seen(topics);
        metadata_hash(topics, &self.group.subscribed()) != self.group.metadata_hash
    }

    fn seen(&mut self, topics: &dyn Topics) {
        self.group.seen_topics = Some(topics.version());
        if self.group.has_partition_metadata {
            self.push(ConsumerRecord::PartitionMetadata(self.group.id.clone(), None));
        }
    }

    /// Computes the target assignment, unless it is of the group's epoch or the last one is too recent (KIP-1263).
    pub(super) fn assign(&mut self, config: &GroupConfig, topics: &dyn Topics, now: TimestampMs) {
        let group = &self.group;
        let interval_ms = config.consumer.assignment_interval_ms;
        let is_due = group.target_at.0 == 0
            || interval_ms == 0
            || now.0 >= group.target_at.0.saturating_add(i64::try_from(interval_ms).unwrap_or(i64::MAX));
        if group.epoch <= group.target_epoch || !is_due {
            return;
        }
        let mut spec = GroupSpec { members: BTreeMap::new(), topics: existing(topics, &group.subscribed()) };
        for member in group.members.values() {
            let member_spec = MemberSpec {
                instance_id: member.said.instance_id.clone(),
                topics: self.topic_ids(member, topics),
                previous: group.target.get(&member.id).map(|target| (**target).clone()).unwrap_or_default(),
            };
            spec.members.insert(member.id.clone(), member_spec);
        }
        let target = group.assignor(config).assign(&spec);
        for (id, partitions) in target {
            if self.group.target.get(&id).is_none_or(|before| **before != partitions) {
                self.push(ConsumerRecord::Target(self.group.key(&id), Some(partitions)));
            }
        }
        let value = TargetEpoch { epoch: self.group.epoch, computed_at: now };
        self.push(ConsumerRecord::TargetEpoch(self.group.id.clone(), Some(value)));
    }

    fn topic_ids(&self, member: &ConsumerMember, topics: &dyn Topics) -> BTreeSet<TopicId> {
        existing(topics, self.group.subscription(member)).into_keys().collect()
    }

    /// Brings a member nearer to its target; false when it would have to abandon everything first.
    pub(super) fn reconcile(
        &mut self,
        id: &Arc<str>,
        subscription_changed: bool,
        owned: Option<&Partitions>,
        topics: &dyn Topics,
    ) -> bool {
        let group = &self.group;
        let Some(member) = group.members.get(id).cloned() else { return true };
        if !subscription_changed && member.is_reconciled_to(group.target_epoch) {
            return true;
        }
        let none = Partitions::new();
        let aim = Aim {
            epoch: group.target_epoch,
            target: group.target.get(id).map_or(&none, |target| &**target),
            subscribed: &self.topic_ids(&member, topics),
            subscription_changed,
            owned,
        };
        let is_free = |topic, partition| !group.owners.contains_key(&(topic, partition));
        match member.reconcile(&aim, is_free) {
            Some(has) if has == member.has => {}
            Some(has) => self.push(ConsumerRecord::Current(group.key(id), Some(has))),
            None => return false,
        }
        true
    }

    /// Takes a member out, without a new epoch.
    pub(super) fn remove(&mut self, id: &Arc<str>) {
        for record in [
            ConsumerRecord::Current(self.group.key(id), None),
            ConsumerRecord::Target(self.group.key(id), None),
            ConsumerRecord::Member(self.group.key(id), None),
        ] {
            self.push(record);
        }
    }

    /// Puts a static member's successor into its place, which has what it had and no epoch yet.
    pub(super) fn replace(&mut self, old: &ConsumerMember, id: &Arc<str>) {
        let target = self.group.target.get(&old.id).map(|target| (**target).clone()).unwrap_or_default();
        self.remove(&old.id);
        let has = CurrentAssignment { epoch: 0, previous_epoch: 0, ..old.has.clone() };
        for record in [
            ConsumerRecord::Member(self.group.key(id), Some(old.said.clone())),
            ConsumerRecord::Target(self.group.key(id), Some(target)),
            ConsumerRecord::Current(self.group.key(id), Some(has)),
        ] {
            self.push(record);
        }
    }

    /// Forgets what expressions mean that nobody subscribes to any more.
    pub(super) fn forget_regexes(&mut self) {
        let used: BTreeSet<Arc<str>> = self.group.expressions().into_keys().cloned().collect();
        let unused: Vec<Arc<str>> =
            self.group.regexes.keys().filter(|regex| !used.contains(*regex)).cloned().collect();
        for regex in unused {
            self.push(ConsumerRecord::Regex(self.group.id.clone(), regex, None));
        }
    }

    /// The member as it will be.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`.
    pub(super) fn member(&self, id: &Arc<str>) -> Result<Arc<ConsumerMember>, Refusal> {
        self.group.member(id)
    }
}

impl ConsumerGroup {
    pub(super) fn member(&self, id: &Arc<str>) -> Result<Arc<ConsumerMember>, Refusal> {
        self.members.get(id).cloned().ok_or_else(|| {
            Refusal::new(ErrorCode::UnknownMemberId, format!("{id} is no member of group {}", self.id))
        })
    }

    pub(super) fn static_member(&self, instance_id: &Arc<str>) -> Option<Arc<ConsumerMember>> {
        self.members.get(self.static_members.get(instance_id)?).cloned()
    }
}
