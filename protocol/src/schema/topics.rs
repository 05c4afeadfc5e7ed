//! Shapes of the requests about topics.

use super::field::{Field, Type, array, boolean, int16, int32, int32s, string, strings, uuid};

pub(super) const METADATA: &[Field] = &[
    array("topics", &Type::Struct(&[uuid("topic_id").since(10), string("name").nullable_since(10)]))
        .nullable_since(1),
    boolean("allow_auto_topic_creation").since(4),
    boolean("include_cluster_authorized_operations").since(8).until(10),
    boolean("include_topic_authorized_operations").since(8),
];

pub(super) const CREATE_TOPICS: &[Field] = &[
    array(
        "topics",
        &Type::Struct(&[
            string("name"),
            int32("num_partitions"),
            int16("replication_factor"),
            array("assignments", &Type::Struct(&[int32("partition_index"), int32s("broker_ids")])),
            array("configs", &Type::Struct(&[string("name"), string("value").nullable()])),
        ]),
    ),
    int32("timeout_ms"),
    boolean("validate_only"),
];

pub(super) const DELETE_TOPICS: &[Field] = &[
    array("topics", &Type::Struct(&[string("name").nullable(), uuid("topic_id")])).since(6),
    strings("topic_names").until(5),
    int32("timeout_ms"),
];

pub(super) const CREATE_PARTITIONS: &[Field] = &[
    array(
        "topics",
        &Type::Struct(&[
            string("name"),
            int32("count"),
            array("assignments", &Type::Struct(&[int32s("broker_ids")])).nullable(),
        ]),
    ),
    int32("timeout_ms"),
    boolean("validate_only"),
];
