//! Shapes of the requests about the cluster, its configuration and producer ids.

use super::field::{Field, Type, array, boolean, int8, int16, int32, int64, string, strings};

pub(super) const API_VERSIONS: &[Field] =
    &[string("client_software_name").since(3), string("client_software_version").since(3)];

pub(super) const INIT_PRODUCER_ID: &[Field] = &[
    string("transactional_id").nullable(),
    int32("transaction_timeout_ms"),
    int64("producer_id").since(3),
    int16("producer_epoch").since(3),
];

pub(super) const DESCRIBE_CONFIGS: &[Field] = &[
    array(
        "resources",
        &Type::Struct(&[
            int8("resource_type"),
            string("resource_name"),
            strings("configuration_keys").nullable(),
        ]),
    ),
    boolean("include_synonyms"),
    boolean("include_documentation").since(3),
];

pub(super) const DESCRIBE_CLUSTER: &[Field] = &[
    boolean("include_cluster_authorized_operations"),
    int8("endpoint_type").since(1),
    boolean("include_fenced_brokers").since(2),
];
