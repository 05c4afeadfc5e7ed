//! Shapes of the requests about groups and their members.

use super::field::{Field, Type, array, boolean, bytes, int8, int32, int32s, string, strings, uuid};

pub(super) const FIND_COORDINATOR: &[Field] =
    &[string("key").until(3), int8("key_type").since(1), strings("coordinator_keys").since(4)];

pub(super) const JOIN_GROUP: &[Field] = &[
    string("group_id"),
    int32("session_timeout_ms"),
    int32("rebalance_timeout_ms").since(1),
    string("member_id"),
    string("group_instance_id").since(5).nullable(),
    string("protocol_type"),
    array("protocols", &Type::Struct(&[string("name"), bytes("metadata")])),
    string("reason").since(8).nullable(),
];

pub(super) const SYNC_GROUP: &[Field] = &[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable(),
    string("protocol_type").since(5).nullable(),
    string("protocol_name").since(5).nullable(),
    array("assignments", &Type::Struct(&[string("member_id"), bytes("assignment")])),
];

pub(super) const HEARTBEAT: &[Field] = &[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable(),
];

pub(super) const LEAVE_GROUP: &[Field] = &[
    string("group_id"),
    string("member_id").until(2),
    array(
        "members",
        &Type::Struct(&[
            string("member_id"),
            string("group_instance_id").nullable(),
            string("reason").since(5).nullable(),
        ]),
    )
    .since(3),
];

pub(super) const DESCRIBE_GROUPS: &[Field] =
    &[strings("groups"), boolean("include_authorized_operations").since(3)];

pub(super) const LIST_GROUPS: &[Field] =
    &[strings("states_filter").since(4), strings("types_filter").since(5)];

pub(super) const DELETE_GROUPS: &[Field] = &[strings("groups_names")];

pub(super) const CONSUMER_GROUP_HEARTBEAT: &[Field] = &[
    string("group_id"),
    string("member_id"),
    int32("member_epoch"),
    string("instance_id").nullable(),
    string("rack_id").nullable(),
    int32("rebalance_timeout_ms"),
    strings("subscribed_topic_names").nullable(),
    string("subscribed_topic_regex").since(1).nullable(),
    string("server_assignor").nullable(),
    array("topic_partitions", &Type::Struct(&[uuid("topic_id"), int32s("partitions")])).nullable(),
];

pub(super) const CONSUMER_GROUP_DESCRIBE: &[Field] =
    &[strings("group_ids"), boolean("include_authorized_operations")];
