//! What operators ask: describe, list and delete groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::GroupRecord;

use super::classic::{ClassicGroup, State};
use super::message::{List, ListedGroup, MaybeDescribed};
use super::offsets::Offsets;
use super::{Parked, Reply, RequestId, Turn, write_error};

type Groups = BTreeMap<Arc<str>, ClassicGroup>;

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

/// ListGroups.
pub(super) fn list(groups: &Groups, filters: &List) -> Vec<ListedGroup> {
    let passes = |filter: &[String], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
    };
    if !passes(&filters.types, GROUP_TYPE) {
        return Vec::new();
    }
    groups
        .iter()
        .filter(|(_, group)| passes(&filters.states, group.state().name()))
        .map(|(name, group)| ListedGroup {
            group: name.clone(),
            protocol_type: group.protocol_type().cloned().unwrap_or_default(),
            state: group.state().name(),
            group_type: GROUP_TYPE,
        })
        .collect()
}

/// DeleteGroups: all that can be, with their offsets, in one batch.
pub(super) fn delete_groups(
    groups: &mut Groups,
    offsets: &mut Offsets,
    from: RequestId,
    names: Vec<Arc<str>>,
    turn: &mut Turn<'_>,
) {
    let mut records = Vec::new();
    let mut gone: Vec<Arc<str>> = Vec::new();
    let mut outcomes = Vec::with_capacity(names.len());
    for name in names {
        let error = match groups.get(&name) {
            None => ErrorCode::GroupIdNotFound,
            Some(group) if group.state() != State::Empty => ErrorCode::NonEmptyGroup,
            Some(_) => ErrorCode::None,
        };
        if error == ErrorCode::None && !gone.contains(&name) {
            records.extend(offsets.tombstones(&name));
            records.push(GroupRecord::Group(name.clone(), None));
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
            for group in gone.iter().filter_map(|name| groups.remove(name)) {
                group.forget_timers(turn);
            }
            turn.park(write, Parked::Answer(from, Reply::DeleteGroups(Ok(outcomes))));
        }
        Err(error) => turn.reply(from, Reply::DeleteGroups(Err(write_error(error)))),
    }
}

const GROUP_TYPE: &str = "classic";
