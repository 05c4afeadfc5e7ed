//! Our verdict on produced record sets against Kafka's own, case by case.

use slipring_protocol::batch::{BatchFault, BatchRules, TimestampType, crc_ok};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::TimestampMs;

use super::{check, columns, from_hex};

#[test]
fn verdicts_are_kafkas() {
    let (mut cases, mut accepted) = (0, 0);
    for row in columns(include_str!("golden/verdicts.tsv")) {
        let [name, version, max, kind, before, after, policy, now, bytes, kafka] = row[..] else {
            panic!("{} columns", row.len());
        };
        let rules = BatchRules {
            message_bytes_max: max.parse().unwrap(),
            timestamp_type: timestamp_type(kind),
            timestamp_before_max_ms: before.parse().unwrap(),
            timestamp_after_max_ms: after.parse().unwrap(),
            compacted: policy == "compact",
            stored: None,
        };
        let now = TimestampMs(now.parse().unwrap());
        let kafka: Vec<&str> = kafka.split(' ').collect();
        cases += 1;
        match check(from_hex(bytes), version.parse().unwrap(), &rules, now) {
            Ok(batch) => {
                accepted += 1;
                assert!(crc_ok(batch.bytes()), "{name}");
                let header = batch.header();
                assert_eq!(kafka[0], "ok", "{name}");
                assert_eq!(kafka[1], header.max_timestamp.to_string(), "{name}");
                assert_eq!(timestamp_type(kafka[2]), header.timestamp_type(), "{name}");
            }
            // What no consumer could read; see `BatchFault::RecordLength`.
            Err(invalid) if matches!(invalid.fault, BatchFault::RecordLength { .. }) => {
                assert_eq!((kafka[0], invalid.error), ("ok", ErrorCode::InvalidRecord), "{name}");
            }
            Err(invalid) => {
                assert_eq!(kafka[0], "refused", "{name}: {invalid:?}");
                // An exception that Kafka does not map; see `BatchFault::error_code`.
                let code = if kafka[1] == "-1" { "87" } else { kafka[1] };
                assert_eq!(code, invalid.error.code().to_string(), "{name}: {invalid:?}");
                let indices: Vec<String> =
                    invalid.record_errors.iter().map(|(index, _)| index.to_string()).collect();
                assert_eq!(kafka[2], indices.join(","), "{name}: {invalid:?}");
                assert_eq!(invalid.message.is_some(), !indices.is_empty(), "{name}");
            }
        }
    }
    assert!(cases > 300 && accepted > 100, "{accepted} of {cases} accepted");
}

fn timestamp_type(name: &str) -> TimestampType {
    match name {
        "append" => TimestampType::LogAppendTime,
        "create" => TimestampType::CreateTime,
        other => panic!("timestamp type {other}"),
    }
}
