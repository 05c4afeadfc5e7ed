//! ApiVersions at every version, and at versions that nobody knows.

use serde_json::json;

use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    for version in 0..=2 {
        session.step("plain", "ApiVersions", version, &json!({}));
    }
    for version in 3..=4 {
        let software = json!({ "client_software_name": "conformance", "client_software_version": "1.0" });
        session.step("with software", "ApiVersions", version, &software);
        let bad = json!({ "client_software_name": "-bad name!", "client_software_version": "" });
        session.step("bad software name", "ApiVersions", version, &bad);
    }
    // Above the maximum the body is not even looked at.
    for version in [5, 99, i16::MAX] {
        session.raw("too new", "ApiVersions", 18, version, b"anything");
    }
    session.raw("below the minimum", "ApiVersions", 18, -1, b"");
    session.step("again on the same connection", "ApiVersions", 0, &json!({}));
    session.raw("cut short", "ApiVersions", 18, 3, b"\x0bconf");
    session.raw("bytes after the end", "ApiVersions", 18, 0, b"more");
}
