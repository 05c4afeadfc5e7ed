//! Shapes of the requests about configs, reassignment, elections, directories, quotas and the quorum.

use super::field::{Field, Type, array, boolean, int8, int16, int32, int32s, int64, string, structure};

pub(super) const ALTER_CONFIGS: &[Field] = &[
    array(
        "resources",
        &Type::Struct(&[
            int8("resource_type"),
            string("resource_name"),
            array("configs", &Type::Struct(&[string("name"), string("value").nullable()])),
        ]),
    ),
    boolean("validate_only"),
];

pub(super) const ALTER_REPLICA_LOG_DIRS: &[Field] = &[array(
    "dirs",
    &Type::Struct(&[string("path"), array("topics", &Type::Struct(&[string("name"), int32s("partitions")]))]),
)];

pub(super) const DESCRIBE_LOG_DIRS: &[Field] =
    &[array("topics", &Type::Struct(&[string("topic"), int32s("partitions")])).nullable()];

pub(super) const ELECT_LEADERS: &[Field] = &[
    int8("election_type").since(1),
    array("topic_partitions", &Type::Struct(&[string("topic"), int32s("partitions")])).nullable(),
    int32("timeout_ms"),
];

pub(super) const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    array(
        "resources",
        &Type::Struct(&[
            int8("resource_type"),
            string("resource_name"),
            array(
                "configs",
                &Type::Struct(&[string("name"), int8("config_operation"), string("value").nullable()]),
            ),
        ]),
    ),
    boolean("validate_only"),
];

pub(super) const ALTER_PARTITION_REASSIGNMENTS: &[Field] = &[
    int32("timeout_ms"),
    boolean("allow_replication_factor_change").since(1),
    array(
        "topics",
        &Type::Struct(&[
            string("name"),
            array("partitions", &Type::Struct(&[int32("partition_index"), int32s("replicas").nullable()])),
        ]),
    ),
];

pub(super) const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[
    int32("timeout_ms"),
    array("topics", &Type::Struct(&[string("name"), int32s("partition_indexes")])).nullable(),
];

pub(super) const DESCRIBE_CLIENT_QUOTAS: &[Field] = &[
    array(
        "components",
        &Type::Struct(&[string("entity_type"), int8("match_type"), string("match").nullable()]),
    ),
    boolean("strict"),
];

pub(super) const ALTER_CLIENT_QUOTAS: &[Field] = &[
    array(
        "entries",
        &Type::Struct(&[
            array("entity", &Type::Struct(&[string("entity_type"), string("entity_name").nullable()])),
            array("ops", &Type::Struct(&[string("key"), int64("value"), boolean("remove")])),
        ]),
    ),
    boolean("validate_only"),
];

pub(super) const DESCRIBE_QUORUM: &[Field] = &[array(
    "topics",
    &Type::Struct(&[string("topic_name"), array("partitions", &Type::Struct(&[int32("partition_index")]))]),
)];

pub(super) const UPDATE_FEATURES: &[Field] = &[
    int32("timeout_ms"),
    array(
        "feature_updates",
        &Type::Struct(&[
            string("feature"),
            int16("max_version_level"),
            boolean("allow_downgrade").until(0),
            int8("upgrade_type").since(1),
        ]),
    ),
    boolean("validate_only").since(1),
];

pub(super) const DESCRIBE_PRODUCERS: &[Field] =
    &[array("topics", &Type::Struct(&[string("name"), int32s("partition_indexes")]))];

pub(super) const UNREGISTER_BROKER: &[Field] = &[int32("broker_id")];

pub(super) const LIST_CONFIG_RESOURCES: &[Field] = &[array("resource_types", &Type::Fixed(1)).since(1)];

pub(super) const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    array("topics", &Type::Struct(&[string("name")])),
    int32("response_partition_limit"),
    structure("cursor", &[string("topic_name"), int32("partition_index")]).nullable(),
];
