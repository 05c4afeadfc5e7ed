//! What operators ask: describe, list and delete groups.

use std::sync::Arc;

use slipring_protocol::consumer_protocol::PROTOCOL_TYPE;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::GroupRecord;

use super::classic::{ClassicGroup, State};
use super::consumer::{ConsumerGroups, DescribedConsumerGroup, Refusal};
use super::message::{List, ListedGroup, MaybeDescribed};
use super::offsets::Offsets;
use super::{Groups, Parked, Reply, RequestId, Turn, write_error};

/// DescribeGroups.
pub(super) fn describe(groups: &Groups, names: Vec<Arc<str>>) -> Vec<MaybeDescribed> {
    names
        .into_iter()
        .map(|name| {
            let described = groups.get(&name).map(ClassicGroup::describe);
            (name, described)
        })
        .collect()
}

/// ConsumerGroupDescribe.
pub(super) fn describe_consumer(
    classic: &Groups,
    groups: &ConsumerGroups,
    name: &Arc<str>,
    turn: &Turn<'_>,
) -> Result<DescribedConsumerGroup, Refusal> {
    if let Some(group) = groups.get(name) {
        return Ok(group.describe(turn.config, &**turn.topics));
    }
    let why = if classic.contains_key(name) { "is not a consumer group" } else { "not found" };
    Err(Refusal { error: ErrorCode::GroupIdNotFound, message: format!("Group {name} {why}.") })
}

/// ListGroups.
pub(super) fn list(groups: &Groups, consumer: &ConsumerGroups, filters: &List) -> Vec<ListedGroup> {
    let passes = |filter: &[String], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
    };
    let classic = groups.iter().map(|(name, group)| ListedGroup {
        group: name.clone(),
        protocol_type: group.protocol_type().cloned().unwrap_or_default(),
        state: group.state().name(),
        group_type: "classic",
    });
    let consumer = consumer.iter().map(|(name, group)| ListedGroup {
        group: name.clone(),
        protocol_type: PROTOCOL_TYPE.into(),
        state: group.state(),
        group_type: "consumer",
    });
    let wanted = |group: &ListedGroup| {
        passes(&filters.types, group.group_type) && passes(&filters.states, group.state)
    };
    classic.chain(consumer).filter(wanted).collect()
}

/// DeleteGroups: all that can be, with their offsets, in one batch.
pub(super) fn delete_groups(
    groups: &mut Groups,
    consumer: &mut ConsumerGroups,
    offsets: &mut Offsets,
    from: RequestId,
    names: Vec<Arc<str>>,
    turn: &mut Turn<'_>,
) {
    let mut records = Vec::new();
    let mut gone: Vec<Arc<str>> = Vec::new();
    let mut outcomes = Vec::with_capacity(names.len());
    for name in names {
        let is_empty = match (groups.get(&name), consumer.get(&name)) {
            (Some(group), _) => Some(group.state() == State::Empty),
            (None, Some(group)) => Some(group.is_empty()),
            (None, None) => None,
        };
        let error = match is_empty {
            None => ErrorCode::GroupIdNotFound,
            Some(false) => ErrorCode::NonEmptyGroup,
            Some(true) => ErrorCode::None,
        };
        if error == ErrorCode::None && !gone.contains(&name) {
            records.extend(offsets.tombstones(&name));
            match consumer.get(&name) {
                Some(group) => records.extend(group.tombstones().into_iter().map(GroupRecord::Consumer)),
                None => records.push(GroupRecord::Group(name.clone(), None)),
            }
            gone.push(name.clone());
        }
        outcomes.push((name, error));
    }
    if records.is_empty() {
        return turn.reply_settled(from, Reply::DeleteGroups(Ok(outcomes)));
    }
    match turn.append(&records) {
        Ok(write) => {
            offsets.apply(records);
            gone.iter().for_each(|name| _ = consumer.remove(name));
            for group in gone.iter().filter_map(|name| groups.remove(name)) {
                group.forget_timers(turn);
            }
            turn.park(write, Parked::Answer(from, Reply::DeleteGroups(Ok(outcomes))));
        }
        Err(error) => turn.reply(from, Reply::DeleteGroups(Err(write_error(error)))),
    }
}
