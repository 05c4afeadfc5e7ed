//! A member of a consumer group, and how its assignment moves towards the target (Kafka's `CurrentAssignmentBuilder`): it gives
//! up first, and gets only what nobody else holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use slipring_protocol::group_records::{
    ConsumerMemberMetadata, CurrentAssignment, EpochedPartitions, Partitions,
};
use slipring_protocol::ids::{PartitionIndex, TopicId};

/// Where a member is on its way to the target assignment. Numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberState {
    /// Has all that it is to have at its epoch.
    Stable,
    /// Is to give up partitions and has not said yet that it did.
    Unrevoked,
    /// Waits for partitions that others have not given up.
    Unreleased,
    /// A state that a later version wrote.
    Unknown,
}

impl MemberState {
    const fn of(number: i8) -> Self {
        match number {
            0 => Self::Stable,
            1 => Self::Unrevoked,
            2 => Self::Unreleased,
            _ => Self::Unknown,
        }
    }

    const fn number(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::Unrevoked => 1,
            Self::Unreleased => 2,
            Self::Unknown => 127,
        }
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConsumerMember {
    pub(super) id: Arc<str>,
    pub(super) said: ConsumerMemberMetadata,
    pub(super) has: CurrentAssignment,
}

/// What a member has before its first assignment.
pub(super) fn nothing() -> CurrentAssignment {
    CurrentAssignment { previous_epoch: -1, ..CurrentAssignment::default() }
}

/// What a reconciliation goes by.
pub(super) struct Aim<'a> {
    /// The epoch of the target assignment.
    pub(super) epoch: i32,
    /// What the member is to have.
    pub(super) target: &'a Partitions,
    /// The topics that it subscribes to; nothing else may be its.
    pub(super) subscribed: &'a BTreeSet<TopicId>,
    /// Whether its subscription is another one than before.
    pub(super) subscription_changed: bool,
    /// What it says it owns, if it said so.
    pub(super) owned: Option<&'a Partitions>,
}

impl ConsumerMember {
    pub(super) fn new(id: Arc<str>) -> Self {
        let said = ConsumerMemberMetadata {
            instance_id: None,
            rack_id: None,
            client_id: Arc::default(),
            client_host: Arc::default(),
            topics: BTreeSet::new(),
            regex: None,
            rebalance_timeout_ms: -1,
            assignor: None,
            classic: None,
        };
        Self { id, said, has: nothing() }
    }

    pub(super) const fn state(&self) -> MemberState {
        MemberState::of(self.has.state)
    }

    /// Its regular expression, if it has one.
    pub(super) fn regex(&self) -> Option<&Arc<str>> {
        self.said.regex.as_ref().filter(|regex| !regex.is_empty())
    }

    pub(super) const fn is_classic(&self) -> bool {
        self.said.classic.is_some()
    }

    pub(super) const fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        matches!(self.state(), MemberState::Stable) && self.has.epoch == target_epoch
    }

    /// Whether what it says it owns is no more than what it has.
    pub(super) fn owns_only_its_own(&self, owned: Option<&Partitions>) -> bool {
        let has = |topic: &TopicId, partition: &PartitionIndex| {
            self.has.assigned.get(topic).is_some_and(|own| own.contains_key(partition))
        };
        owned.is_some_and(|owned| {
            owned.iter().all(|(topic, partitions)| partitions.iter().all(|partition| has(topic, partition)))
        })
    }

    /// The epoch at which it got a partition that it still has or is giving up.
    pub(super) fn assignment_epoch(&self, topic: TopicId, partition: PartitionIndex) -> Option<i32> {
        let within = |partitions: &EpochedPartitions| partitions.get(&topic)?.get(&partition).copied();
        within(&self.has.assigned).or_else(|| within(&self.has.pending_revocation))
    }

    /// Its next assignment on the way to the target; none when it would have to abandon everything first. `is_free` says
    /// whether nobody holds a partition.
    pub(super) fn reconcile(
        &self,
        aim: &Aim<'_>,
        is_free: impl Fn(TopicId, PartitionIndex) -> bool,
    ) -> Option<CurrentAssignment> {
        let next = |epoch| self.next_assignment(epoch, aim, &is_free);
        Some(match self.state() {
            MemberState::Stable if self.has.epoch != aim.epoch => next(self.has.epoch),
            MemberState::Stable | MemberState::Unrevoked
                if self.state() == MemberState::Stable || still_owns(&self.has.pending_revocation, aim) =>
            {
                if aim.subscription_changed {
                    self.without_unsubscribed(aim)
                } else {
                    self.has.clone()
                }
            }
            MemberState::Unknown if aim.owned.is_none_or(|owned| !owned.is_empty()) => return None,
            MemberState::Unknown => next(aim.epoch),
            MemberState::Stable | MemberState::Unrevoked | MemberState::Unreleased => next(self.has.epoch),
        })
    }

    /// Takes away only what it does not subscribe to any more.
    fn without_unsubscribed(&self, aim: &Aim<'_>) -> CurrentAssignment {
        let (assigned, removed): (EpochedPartitions, EpochedPartitions) =
            self.has.assigned.clone().into_iter().partition(|(topic, _)| aim.subscribed.contains(topic));
        if removed.is_empty() {
            return self.has.clone();
        }
        let mut pending = self.has.pending_revocation.clone();
        for (topic, partitions) in removed {
            pending.entry(topic).or_default().extend(partitions);
        }
        if still_owns(&pending, aim) {
            return self.at(self.has.epoch, MemberState::Unrevoked, assigned, pending);
        }
        let pending = self.has.pending_revocation.clone();
        self.at(self.has.epoch, self.state(), assigned, pending)
    }

    fn next_assignment(
        &self,
        epoch: i32,
        aim: &Aim<'_>,
        is_free: &impl Fn(TopicId, PartitionIndex) -> bool,
    ) -> CurrentAssignment {
        let wanted = |topic: &TopicId, partition: &PartitionIndex| {
            aim.subscribed.contains(topic)
                && aim.target.get(topic).is_some_and(|partitions| partitions.contains(partition))
        };
        let (mut assigned, mut revoked) = (EpochedPartitions::new(), EpochedPartitions::new());
        for (topic, partitions) in &self.has.assigned {
            for (partition, since) in partitions {
                let side = if wanted(topic, partition) { &mut assigned } else { &mut revoked };
                side.entry(*topic).or_default().insert(*partition, *since);
            }
        }
        if !revoked.is_empty() && still_owns(&revoked, aim) {
            return self.at(epoch, MemberState::Unrevoked, assigned, revoked);
        }
        let mut is_waiting = false;
        let own_pending = |topic: TopicId, partition: PartitionIndex| {
            self.has.pending_revocation.get(&topic).is_some_and(|own| own.contains_key(&partition))
        };
        for (topic, partitions) in aim.target.iter().filter(|(topic, _)| aim.subscribed.contains(topic)) {
            for partition in partitions {
                if assigned.get(topic).is_some_and(|own| own.contains_key(partition)) {
                    continue;
                }
                if is_free(*topic, *partition) || own_pending(*topic, *partition) {
                    assigned.entry(*topic).or_default().insert(*partition, aim.epoch);
                } else {
                    is_waiting = true;
                }
            }
        }
        let state = if is_waiting { MemberState::Unreleased } else { MemberState::Stable };
        self.at(aim.epoch, state, assigned, EpochedPartitions::new())
    }

    fn at(
        &self,
        epoch: i32,
        state: MemberState,
        assigned: EpochedPartitions,
        pending_revocation: EpochedPartitions,
    ) -> CurrentAssignment {
        let (previous_epoch, state) = (self.has.epoch, state.number());
        CurrentAssignment { epoch, previous_epoch, state, assigned, pending_revocation }
    }
}

/// Whether the member owns any of these, or does not say.
fn still_owns(pending: &EpochedPartitions, aim: &Aim<'_>) -> bool {
    let owns = |topic: &TopicId, partition: &PartitionIndex| {
        pending.get(topic).is_some_and(|pending| pending.contains_key(partition))
    };
    aim.owned.is_none_or(|owned| {
        owned.iter().any(|(topic, partitions)| partitions.iter().any(|partition| owns(topic, partition)))
    })
}

/// Partitions without the epochs at which they were got.
pub(super) fn plain(partitions: &EpochedPartitions) -> Partitions {
    partitions.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}
