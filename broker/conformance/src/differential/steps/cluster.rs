//! DescribeCluster.

use serde_json::json;

use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    for version in 0..=2 {
        session.step("plain", "DescribeCluster", version, &json!({}));
        let body = json!({ "include_cluster_authorized_operations": true });
        session.step("authorized operations", "DescribeCluster", version, &body);
    }
    for version in 1..=2 {
        for kind in [2, 3, 0] {
            let body = json!({ "endpoint_type": kind });
            session.step(format!("endpoint type {kind}"), "DescribeCluster", version, &body);
        }
    }
    session.step("fenced brokers", "DescribeCluster", 2, &json!({ "include_fenced_brokers": true }));
}
