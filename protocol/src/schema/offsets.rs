//! Shapes of the requests about committed offsets.

use super::field::{Field, Type, array, boolean, int32, int32s, int64, string, uuid};

pub(super) const OFFSET_COMMIT: &[Field] = &[
    string("group_id"),
    int32("generation_id_or_member_epoch"),
    string("member_id"),
    string("group_instance_id").since(7).nullable(),
    int64("retention_time_ms").until(4),
    array(
        "topics",
        &Type::Struct(&[
            string("name").until(9),
            uuid("topic_id").since(10),
            array(
                "partitions",
                &Type::Struct(&[
                    int32("partition_index"),
                    int64("committed_offset"),
                    int32("committed_leader_epoch").since(6),
                    string("committed_metadata").nullable(),
                ]),
            ),
        ]),
    ),
];

pub(super) const OFFSET_FETCH: &[Field] = &[
    string("group_id").until(7),
    array("topics", &Type::Struct(&[string("name"), int32s("partition_indexes")])).until(7).nullable_since(2),
    array(
        "groups",
        &Type::Struct(&[
            string("group_id"),
            string("member_id").since(9).nullable(),
            int32("member_epoch").since(9),
            array(
                "topics",
                &Type::Struct(&[
                    string("name").until(9),
                    uuid("topic_id").since(10),
                    int32s("partition_indexes"),
                ]),
            )
            .nullable(),
        ]),
    )
    .since(8),
    boolean("require_stable").since(7),
];

pub(super) const OFFSET_DELETE: &[Field] = &[
    string("group_id"),
    array(
        "topics",
        &Type::Struct(&[string("name"), array("partitions", &Type::Struct(&[int32("partition_index")]))]),
    ),
];
