//! Responses as Kafka 4.3's own message classes write them. Requests are checked against their shapes in `tests/bounds.rs`.

use uuid::Uuid;

use super::*;
use crate::error_code::ErrorCode;
use crate::ids::{LeaderEpoch, Offset, PartitionIndex};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn topic(version: i16) -> (WireStr, TopicId) {
    if version >= TOPIC_IDS_FROM {
        (WireStr::default(), TopicId(Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677)))
    } else {
        (WireStr::from_static_str("t"), TopicId::NONE)
    }
}

#[test]
fn commit_responses_have_kafkas_bytes() {
    let expected = [
        (2, "000000010001740000000100000001000c"),
        (3, "00000005000000010001740000000100000001000c"),
        (8, "000000050202740200000001000c000000"),
        (10, "00000005020123456789abcdef00112233445566770200000001000c000000"),
    ];
    for (version, expected) in expected {
        let (name, topic_id) = topic(version);
        let partitions = vec![(PartitionIndex(1), ErrorCode::OffsetMetadataTooLarge)];
        let topics = vec![OffsetCommitTopicResponse { name, topic_id, partitions }];
        let throttle_ms = if version >= 3 { 5 } else { 0 };
        let response = OffsetCommitResponse { throttle_ms, topics };
        let mut out = Vec::new();
        response.encode(version, &mut out).unwrap();
        assert_eq!(hex(&out), expected, "version {version}");
        assert_eq!(OffsetCommitResponse::decode(version, out.into()), Ok(response));
    }
}

#[test]
fn fetch_responses_have_kafkas_bytes() {
    let expected = [
        (1, "000000010001740000000100000001000000000000002a00016d0003"),
        (2, "000000010001740000000100000001000000000000002a00016d00030010"),
        (3, "00000005000000010001740000000100000001000000000000002a00016d00030010"),
        (5, "00000005000000010001740000000100000001000000000000002a0000000700016d00030010"),
        (6, "000000050202740200000001000000000000002a00000007026d00030000001000"),
        (8, "000000050202670202740200000001000000000000002a00000007026d0003000000100000"),
        (
            10,
            "00000005020267020123456789abcdef00112233445566770200000001000000000000002a00000007026d0003000000100000",
        ),
    ];
    for (version, expected) in expected {
        let (name, topic_id) = topic(version);
        let partitions = vec![OffsetFetchPartition {
            index: PartitionIndex(1),
            offset: Offset(42),
            leader_epoch: if version >= 5 { LeaderEpoch(7) } else { LeaderEpoch::NONE },
            metadata: Some(WireStr::from_static_str("m")),
            error: ErrorCode::UnknownTopicOrPartition,
        }];
        let group_id = WireStr::from_static_str(if version >= 8 { "g" } else { "" });
        let error = if version >= 2 { ErrorCode::NotCoordinator } else { ErrorCode::None };
        let topics = vec![OffsetFetchTopicResponse { name, topic_id, partitions }];
        let throttle_ms = if version >= 3 { 5 } else { 0 };
        let response = OffsetFetchResponse {
            throttle_ms,
            groups: vec![OffsetFetchGroupResponse { group_id, error, topics }],
        };
        let mut out = Vec::new();
        response.encode(version, &mut out).unwrap();
        assert_eq!(hex(&out), expected, "version {version}");
        assert_eq!(OffsetFetchResponse::decode(version, out.into()), Ok(response));
    }
}
