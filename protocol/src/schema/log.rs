//! Shapes of the requests about partitions' logs. Produce and Fetch are decoded by codecs of our own, which check what they
//! read; their shapes stand here for tools and tests.

use super::field::{Field, Type, array, int8, int16, int32, int32s, int64, records, string, structure, uuid};

pub(super) const PRODUCE: &[Field] = &[
    string("transactional_id").nullable(),
    int16("acks"),
    int32("timeout_ms"),
    array(
        "topic_data",
        &Type::Struct(&[
            string("name").until(12),
            uuid("topic_id").since(13),
            array("partition_data", &Type::Struct(&[int32("index"), records("records").nullable()])),
        ]),
    ),
];

pub(super) const FETCH: &[Field] = &[
    string("cluster_id").since(12).nullable().tagged(0),
    int32("replica_id").until(14),
    structure("replica_state", &[int32("replica_id"), int64("replica_epoch")]).since(15).tagged(1),
    int32("max_wait_ms"),
    int32("min_bytes"),
    int32("max_bytes"),
    int8("isolation_level"),
    int32("session_id").since(7),
    int32("session_epoch").since(7),
    array(
        "topics",
        &Type::Struct(&[
            string("topic").until(12),
            uuid("topic_id").since(13),
            array("partitions", &Type::Struct(FETCH_PARTITION)),
        ]),
    ),
    array(
        "forgotten_topics_data",
        &Type::Struct(&[string("topic").until(12), uuid("topic_id").since(13), int32s("partitions")]),
    )
    .since(7),
    string("rack_id").since(11),
];

const FETCH_PARTITION: &[Field] = &[
    int32("partition"),
    int32("current_leader_epoch").since(9),
    int64("fetch_offset"),
    int32("last_fetched_epoch").since(12),
    int64("log_start_offset").since(5),
    int32("partition_max_bytes"),
    uuid("replica_directory_id").since(17).tagged(0),
    int64("high_watermark").since(18).tagged(1),
];

pub(super) const LIST_OFFSETS: &[Field] = &[
    int32("replica_id"),
    int8("isolation_level").since(2),
    array(
        "topics",
        &Type::Struct(&[
            string("name"),
            array(
                "partitions",
                &Type::Struct(&[
                    int32("partition_index"),
                    int32("current_leader_epoch").since(4),
                    int64("timestamp"),
                ]),
            ),
        ]),
    ),
    int32("timeout_ms").since(10),
];

pub(super) const DELETE_RECORDS: &[Field] = &[
    array(
        "topics",
        &Type::Struct(&[
            string("name"),
            array("partitions", &Type::Struct(&[int32("partition_index"), int64("offset")])),
        ]),
    ),
    int32("timeout_ms"),
];

pub(super) const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    int32("replica_id").since(3),
    array(
        "topics",
        &Type::Struct(&[
            string("topic"),
            array(
                "partitions",
                &Type::Struct(&[int32("partition"), int32("current_leader_epoch"), int32("leader_epoch")]),
            ),
        ]),
    ),
];
