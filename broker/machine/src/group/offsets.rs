//! Committed offsets: commit, fetch, delete, expire. An offset belongs to a group that exists; a commit from outside any group
//! makes a simple one, an empty group without a protocol type.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::{CommittedOffset, ConsumerRecord, GroupRecord, OffsetKey};
use slipring_protocol::ids::{PartitionIndex, TimestampMs};

use super::classic::{ClassicGroup, State};
use super::consumer::ConsumerGroups;
use super::message::{Commit, CommitPartition, CommitTopic, DeleteOffsets, Fetch, FetchedTopic};
use super::{Groups, Parked, Reply, RequestId, Turn, write_error};

type Topics = BTreeMap<Arc<str>, BTreeMap<PartitionIndex, CommittedOffset>>;

/// All committed offsets, by group, topic and partition; no empty maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    groups: BTreeMap<Arc<str>, Topics>,
    count: usize,
}

impl Offsets {
    pub(super) fn insert(&mut self, key: OffsetKey, value: CommittedOffset) {
        let topics = self.groups.entry(key.group).or_default();
        if topics.entry(key.topic).or_default().insert(key.partition, value).is_none() {
            self.count += 1;
        }
    }

    pub(super) fn remove(&mut self, key: &OffsetKey) -> bool {
        let Some(topics) = self.groups.get_mut(&key.group) else { return false };
        let Some(partitions) = topics.get_mut(&key.topic) else { return false };
        let removed = partitions.remove(&key.partition).is_some();
        self.count -= usize::from(removed);
        if partitions.is_empty() {
            topics.remove(&key.topic);
        }
        if topics.is_empty() {
            self.groups.remove(&key.group);
        }
        removed
    }

    pub(super) fn get(
        &self,
        group: &str,
        topic: &str,
        partition: PartitionIndex,
    ) -> Option<&CommittedOffset> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    /// All of them, by group, topic and partition.
    pub(super) fn iter(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, PartitionIndex, &CommittedOffset)> {
        let topics = self.groups.iter().flat_map(|(group, topics)| {
            topics.iter().map(move |(topic, partitions)| (group, topic, partitions))
        });
        topics.flat_map(|(group, topic, partitions)| {
            partitions.iter().map(move |(partition, committed)| (group, topic, *partition, committed))
        })
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn fetch(&self, fetch: &Fetch) -> Vec<FetchedTopic> {
        let committed = self.groups.get(&fetch.group);
        match &fetch.topics {
            Some(topics) => topics
                .iter()
                .map(|(name, partitions)| {
                    let topic = committed.and_then(|topics| topics.get(name));
                    let offset = |index| topic.and_then(|partitions| partitions.get(index).cloned());
                    let partitions = partitions.iter().map(|index| (*index, offset(index))).collect();
                    FetchedTopic { name: name.clone(), partitions }
                })
                .collect(),
            None => committed
                .into_iter()
                .flatten()
                .map(|(name, partitions)| FetchedTopic {
                    name: name.clone(),
                    partitions: partitions
                        .iter()
                        .map(|(index, offset)| (*index, Some(offset.clone())))
                        .collect(),
                })
                .collect(),
        }
    }

    /// Tombstones for all offsets of a group.
    pub(super) fn tombstones(&self, group: &Arc<str>) -> Vec<GroupRecord> {
        let topics = self.groups.get(group).into_iter().flatten();
        topics
            .flat_map(|(topic, partitions)| partitions.keys().map(move |partition| (topic, *partition)))
            .map(|(topic, partition)| tombstone(group, topic, partition))
            .collect()
    }

    /// Takes over records that were staged.
    pub(super) fn apply(&mut self, records: Vec<GroupRecord>) {
        for record in records {
            match record {
                GroupRecord::Offset(key, Some(value)) => self.insert(key, value),
                GroupRecord::Offset(key, None) => _ = self.remove(&key),
                GroupRecord::Group(..) | GroupRecord::Consumer(_) | GroupRecord::Opaque { .. } => {}
            }
        }
    }
}

fn tombstone(group: &Arc<str>, topic: &Arc<str>, partition: PartitionIndex) -> GroupRecord {
    GroupRecord::Offset(OffsetKey { group: group.clone(), topic: topic.clone(), partition }, None)
}

/// OffsetCommit.
pub(super) fn commit(
    groups: &mut Groups,
    consumer: &ConsumerGroups,
    offsets: &mut Offsets,
    from: RequestId,
    commit: &Commit,
    turn: &mut Turn<'_>,
) {
    if let Err(error) = may_commit(groups, consumer, commit, turn) {
        return turn.reply(from, Reply::Commit(Err(error)));
    }
    let mut records = Vec::new();
    let mut outcome = |topic: &CommitTopic, partition: &CommitPartition| {
        let metadata = partition.metadata.as_deref().unwrap_or_default();
        if metadata.encode_utf16().count() > turn.config.offset_metadata_max {
            return (partition.index, ErrorCode::OffsetMetadataTooLarge);
        }
        records.push(commit_record(commit, topic, partition, turn.now.wall));
        (partition.index, ErrorCode::None)
    };
    let outcomes = commit
        .topics
        .iter()
        .map(|topic| topic.partitions.iter().map(|partition| outcome(topic, partition)).collect())
        .collect();
    if records.is_empty() {
        return turn.reply_settled(from, Reply::Commit(Ok(outcomes)));
    }
    match turn.append(&records) {
        Ok(write) => {
            let group = &commit.member.group;
            let now = turn.now.wall;
            if !consumer.contains_key(group) {
                groups.entry(group.clone()).or_insert_with(|| ClassicGroup::new(group.clone(), now));
            }
            offsets.apply(records);
            turn.park(write, Parked::Answer(from, Reply::Commit(Ok(outcomes))));
        }
        Err(error) => turn.reply(from, Reply::Commit(Err(write_error(error)))),
    }
}

/// Whether the committer is what it says; a commit counts as a sign of life.
fn may_commit(
    groups: &Groups,
    consumer: &ConsumerGroups,
    commit: &Commit,
    turn: &mut Turn<'_>,
) -> Result<(), ErrorCode> {
    if let Some(group) = consumer.get(&commit.member.group) {
        let partitions = commit
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, partition.index)));
        return group.validate_commit(&commit.member, partitions, commit.knows_group_id_not_found);
    }
    match groups.get(&commit.member.group) {
        Some(group) => {
            group.validate_commit(&commit.member)?;
            if matches!(group.state(), State::Stable | State::PreparingRebalance) {
                group.renew_session(&commit.member.member_id, turn);
            }
            Ok(())
        }
        None if commit.member.generation < 0 => Ok(()),
        None if commit.knows_group_id_not_found => Err(ErrorCode::GroupIdNotFound),
        None => Err(ErrorCode::IllegalGeneration),
    }
}

fn commit_record(
    commit: &Commit,
    topic: &CommitTopic,
    partition: &CommitPartition,
    now: TimestampMs,
) -> GroupRecord {
    let key = OffsetKey {
        group: commit.member.group.clone(),
        topic: topic.name.clone(),
        partition: partition.index,
    };
    let value = CommittedOffset {
        offset: partition.offset,
        leader_epoch: partition.leader_epoch,
        metadata: partition.metadata.clone().unwrap_or_default(),
        committed_at: now,
        expires_at: commit.retention_ms.map(|retention_ms| TimestampMs(now.0.saturating_add(retention_ms))),
        topic_id: topic.topic_id,
    };
    GroupRecord::Offset(key, Some(value))
}

/// OffsetDelete.
pub(super) fn delete(
    groups: &Groups,
    consumer: &ConsumerGroups,
    offsets: &mut Offsets,
    from: RequestId,
    delete: &DeleteOffsets,
    turn: &mut Turn<'_>,
) {
    let group = match groups.get(&delete.group) {
        None if consumer.contains_key(&delete.group) => Ok(None),
        _ if delete.group.is_empty() => Err(ErrorCode::InvalidGroupId),
        None => Err(ErrorCode::GroupIdNotFound),
        Some(group) if group.state() != State::Empty && !group.is_of_consumers() => {
            Err(ErrorCode::NonEmptyGroup)
        }
        Some(group) => Ok(Some(group)),
    };
    let group = match group {
        Ok(group) => group,
        Err(error) => return turn.reply(from, Reply::DeleteOffsets(Err(error))),
    };
    let mut records = Vec::new();
    let mut outcomes = Vec::with_capacity(delete.topics.len());
    for (topic, partitions) in &delete.topics {
        let subscribed = match group {
            Some(group) => group.subscribes_to(topic),
            None => consumer.get(&delete.group).is_some_and(|group| group.subscribes_to(topic)),
        };
        let error = if subscribed { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
        outcomes.push(partitions.iter().map(|partition| (*partition, error)).collect());
        let present = |partition: &&PartitionIndex| offsets.get(&delete.group, topic, **partition).is_some();
        if !subscribed {
            let partitions = partitions.iter().filter(present);
            records.extend(partitions.map(|partition| tombstone(&delete.group, topic, *partition)));
        }
    }
    let reply = Reply::DeleteOffsets(Ok(outcomes));
    stage(offsets, from, records, reply, turn);
}

/// Topics are gone, and the offsets in them (`OffsetMetadataManager.onPartitionsDeleted`).
pub(super) fn delete_topics(
    offsets: &mut Offsets,
    from: RequestId,
    topics: &[Arc<str>],
    turn: &mut Turn<'_>,
) {
    let mut records = Vec::new();
    for (group, committed) in &offsets.groups {
        for topic in topics {
            let partitions = committed.get(topic).into_iter().flat_map(BTreeMap::keys);
            records.extend(partitions.map(|partition| tombstone(group, topic, *partition)));
        }
    }
    let error = append_apart(records, turn, |records, _| offsets.apply(records)).err();
    let error = error.map_or(ErrorCode::None, write_error);
    turn.reply_settled(from, Reply::DeleteTopics(error));
}

/// Appends tombstones and answers when they are durable.
fn stage(
    offsets: &mut Offsets,
    from: RequestId,
    records: Vec<GroupRecord>,
    reply: Reply,
    turn: &mut Turn<'_>,
) {
    if records.is_empty() {
        return turn.reply_settled(from, reply);
    }
    match turn.append(&records) {
        Ok(write) => {
            offsets.apply(records);
            turn.park(write, Parked::Answer(from, reply));
        }
        Err(error) => turn.reply(from, reply.into_failure(write_error(error))),
    }
}

/// Deletes offsets that nobody committed or used for the retention time, and empty groups without offsets.
pub(super) fn expire(
    groups: &mut Groups,
    consumer: &mut ConsumerGroups,
    offsets: &mut Offsets,
    turn: &mut Turn<'_>,
) {
    let mut records = expired_of_consumers(consumer, offsets, turn);
    let (now, retention_ms) = (turn.now.wall, turn.config.offsets_retention_ms);
    for (name, group) in groups.iter() {
        let committed = offsets.groups.get(name);
        let mut left = committed.map_or(0, |topics| topics.values().map(BTreeMap::len).sum());
        if let Some(counted_from) = group.expiry() {
            let topics = committed.into_iter().flatten().filter(|(topic, _)| !group.subscribes_to(topic));
            for (topic, partitions) in topics {
                for (partition, offset) in partitions {
                    let expired = match offset.expires_at {
                        Some(expires_at) => now >= expires_at,
                        None => now.0 - counted_from.unwrap_or(offset.committed_at).0 >= retention_ms,
                    };
                    if expired {
                        records.push(tombstone(name, topic, *partition));
                        left -= 1;
                    }
                }
            }
        }
        if left == 0 && group.state() == State::Empty {
            records.push(GroupRecord::Group(name.clone(), None));
        }
    }
    // What is not written now will be found again.
    _ = append_apart(records, turn, |records, turn| {
        for record in &records {
            if let GroupRecord::Group(name, None) = record
                && let Some(group) = groups.remove(name)
            {
                group.forget_timers(turn);
            }
            match record {
                GroupRecord::Consumer(ConsumerRecord::Epoch(name, None)) => _ = consumer.remove(name),
                GroupRecord::Consumer(record) => {
                    if let Some(group) = consumer.get_mut(record.group()) {
                        group.apply(record);
                    }
                }
                _ => {}
            }
        }
        offsets.apply(records);
    });
}

/// Appends records that need not stand or fall together, in as many batches as it takes; `apply` takes over what was staged.
fn append_apart<'a>(
    records: Vec<GroupRecord>,
    turn: &mut Turn<'a>,
    mut apply: impl FnMut(Vec<GroupRecord>, &mut Turn<'a>),
) -> Result<(), ErrorCode> {
    let mut batches = vec![records];
    while let Some(mut batch) = batches.pop() {
        if batch.len() > RECORDS_PER_BATCH_MAX {
            batches.push(batch.split_off(RECORDS_PER_BATCH_MAX));
        }
        if batch.is_empty() {
            continue;
        }
        match turn.append(&batch) {
            Ok(_) => apply(batch, turn),
            Err(ErrorCode::RecordListTooLarge) if batch.len() > 1 => {
                batches.push(batch.split_off(batch.len() / 2));
                batches.push(batch);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Records in one batch, so that it mostly stays below any limit.
const RECORDS_PER_BATCH_MAX: usize = 1_000;

/// As above, for groups of the consumer protocol: the retention time counts from each commit
/// (`ConsumerGroup.offsetExpirationCondition`).
fn expired_of_consumers(groups: &ConsumerGroups, offsets: &Offsets, turn: &Turn<'_>) -> Vec<GroupRecord> {
    let (now, retention_ms) = (turn.now.wall, turn.config.offsets_retention_ms);
    let mut records = Vec::new();
    for (name, group) in groups {
        let committed = offsets.groups.get(name);
        let mut left: usize = committed.map_or(0, |topics| topics.values().map(BTreeMap::len).sum());
        for (topic, partitions) in committed.into_iter().flatten() {
            if group.subscribes_to(topic) {
                continue;
            }
            let is_expired = |offset: &CommittedOffset| match offset.expires_at {
                Some(expires_at) => now >= expires_at,
                None => now.0 - offset.committed_at.0 >= retention_ms,
            };
            for (partition, _) in partitions.iter().filter(|(_, offset)| is_expired(offset)) {
                records.push(tombstone(name, topic, *partition));
                left -= 1;
            }
        }
        if left == 0 && group.is_empty() {
            records.extend(group.tombstones().into_iter().map(GroupRecord::Consumer));
        }
    }
    records
}
