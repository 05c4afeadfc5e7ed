//! Frames, headers and versions that are wrong: whether the connection is closed, and that others are served after.

use std::time::Duration;

use serde_json::json;

use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    // Nothing here is answered late: what has not come in three seconds does not come.
    session.set_patience(Duration::from_secs(3));
    for (api, key, below, above) in SERVED {
        if let Some(below) = below {
            session.raw("below the minimum", api, key, below, &[0; 8]);
        }
        session.raw("above the maximum", api, key, above, &[0; 8]);
    }
    for key in [-1, 93, 999, i16::MAX] {
        session.raw(format!("unknown key {key}"), "Metadata", key, 0, &[0; 8]);
    }
    for (name, bytes) in FRAMES {
        let outcome = session.connection.send_bytes(bytes);
        session.keep(name.to_string(), &outcome);
    }
    bodies(session);
    session.set_patience(Duration::from_secs(20));
    session.step("served after all that", "Metadata", 12, &json!({ "topics": [] }));
}

fn bodies(session: &mut Session) {
    session.raw("empty body", "Metadata", 3, 9, b"");
    session.raw("count beyond the body", "Metadata", 3, 1, b"\x7f\xff\xff\xff");
    session.raw("negative count", "Metadata", 3, 1, b"\x80\x00\x00\x00");
    session.raw("null name", "Metadata", 3, 1, b"\0\0\0\x01\xff\xff");
    session.raw("name beyond the body", "Metadata", 3, 1, b"\0\0\0\x01\x00\x10ab");
    session.raw("bytes after the end", "Metadata", 3, 1, b"\0\0\0\0more");
    session.raw("varint too long", "Metadata", 3, 9, b"\xff\xff\xff\xff\xff\xff\xff");
    session.raw("huge varint count", "Metadata", 3, 9, b"\xff\xff\xff\xff\x0f");
    // An empty list of topics, three flags, then one tag that is unknown.
    session.raw("unknown tag", "Metadata", 3, 9, b"\x01\0\0\0\x01\x63\x02ab");
    session.raw("tag beyond the body", "Metadata", 3, 9, b"\x01\0\0\0\x01\x63\x20ab");
    session.raw("tags out of order", "Metadata", 3, 9, b"\x01\0\0\0\x02\x63\0\x62\0");
    session.raw("flag of 2", "Metadata", 3, 9, b"\x01\x02\0\0\0");
    session.raw("name that is no text", "Metadata", 3, 1, b"\0\0\0\x01\x00\x02\xff\xfe");
}

/// Name, key, the first unsupported version below the range and above it. Produce 0 to 2 are advertised, but refused.
const SERVED: [(&str, i16, Option<i16>, i16); 11] = [
    ("Produce", 0, Some(2), 14),
    ("Fetch", 1, Some(3), 19),
    ("ListOffsets", 2, Some(0), 12),
    ("Metadata", 3, None, 14),
    ("CreateTopics", 19, Some(1), 8),
    ("DeleteTopics", 20, Some(0), 7),
    ("InitProducerId", 22, None, 7),
    ("OffsetForLeaderEpoch", 23, Some(1), 5),
    ("DescribeConfigs", 32, Some(0), 5),
    ("CreatePartitions", 37, None, 4),
    ("DescribeCluster", 60, None, 3),
];

const FRAMES: [(&str, &[u8]); 9] = [
    ("frame of no bytes", b"\0\0\0\0"),
    ("negative length", b"\xff\xff\xff\xff"),
    ("most negative length", b"\x80\0\0\0"),
    ("length above the limit", b"\x06\x40\0\x01"),
    ("huge length", b"\x7f\xff\xff\xff"),
    ("header cut short", b"\0\0\0\x03\0\x12\0"),
    ("key and version alone", b"\0\0\0\x04\0\x12\0\0"),
    ("client id beyond the frame", b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\0\x09"),
    ("text of another protocol", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
];
