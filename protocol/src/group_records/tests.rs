//! Bytes that Kafka 4.3's own `GroupCoordinatorRecordSerde` wrote, read and written here.

use uuid::Uuid;

use super::*;
use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

const OFFSET_KEY: &str = "00010001670005746f70696300000007";
const GROUP_KEY: &str = "0002000167";

fn offset_key() -> OffsetKey {
    OffsetKey { group: "g".into(), topic: "topic".into(), partition: PartitionIndex(7) }
}

fn offset() -> CommittedOffset {
    CommittedOffset {
        offset: Offset(42),
        leader_epoch: LeaderEpoch(3),
        metadata: "note".into(),
        committed_at: TimestampMs(1000),
        expires_at: None,
        topic_id: TopicId(Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677)),
    }
}

fn group() -> GroupMetadata {
    GroupMetadata {
        protocol_type: "consumer".into(),
        generation: 5,
        protocol: Some("range".into()),
        leader: Some("m-1".into()),
        state_since: TimestampMs(1234),
        members: vec![MemberMetadata {
            member_id: "m-1".into(),
            instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        }],
    }
}

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn decode(key: &str, value: Option<&str>) -> GroupRecord {
    GroupRecord::decode(&bytes(key), value.map(bytes).as_ref()).unwrap()
}

/// Kafka's bytes and ours are the same, both ways.
fn check(record: GroupRecord, key: &str, value: Option<&str>) {
    let (mut our_key, mut our_value) = (Vec::new(), Vec::new());
    record.encode_key(&mut our_key);
    let has_value = record.encode_value(&mut our_value);
    assert_eq!(Bytes::from(our_key), bytes(key));
    assert_eq!(has_value.then(|| Bytes::from(our_value)), value.map(bytes));
    assert_eq!(decode(key, value), record);
}

#[test]
fn offsets_have_kafkas_bytes() {
    check(
        GroupRecord::Offset(offset_key(), Some(offset())),
        OFFSET_KEY,
        Some(
            "0004000000000000002a00000003056e6f746500000000000003e80100100123456789ab \
             cdef0011223344556677",
        ),
    );
    let unknown = CommittedOffset {
        leader_epoch: LeaderEpoch::NONE,
        metadata: "".into(),
        topic_id: TopicId::NONE,
        ..offset()
    };
    check(
        GroupRecord::Offset(offset_key(), Some(unknown)),
        OFFSET_KEY,
        Some("0004000000000000002affffffff0100000000000003e800"),
    );
    check(GroupRecord::Offset(offset_key(), None), OFFSET_KEY, None);
}

#[test]
fn an_offset_with_a_time_of_expiry_is_of_version_1() {
    let expiring =
        CommittedOffset { expires_at: Some(TimestampMs(2000)), topic_id: TopicId::NONE, ..offset() };
    let hex = "0001000000000000002a00046e6f746500000000000003e800000000000007d0";
    let (mut value, read) =
        (Vec::new(), CommittedOffset { leader_epoch: LeaderEpoch::NONE, ..expiring.clone() });
    assert!(GroupRecord::Offset(offset_key(), Some(expiring)).encode_value(&mut value));
    assert_eq!(Bytes::from(value), bytes(hex));
    assert_eq!(decode(OFFSET_KEY, Some(hex)), GroupRecord::Offset(offset_key(), Some(read)));
}

#[test]
fn groups_have_kafkas_bytes() {
    check(
        GroupRecord::Group("g".into(), Some(group())),
        GROUP_KEY,
        Some(
            "00030008636f6e73756d657200000005000572616e676500036d2d3100000000000004d2 \
             0000000100036d2d31000169000163000a2f3132372e302e302e31000493e00000afc800 \
             00000201020000000103",
        ),
    );
    let empty = GroupMetadata {
        protocol_type: "".into(),
        generation: 0,
        protocol: None,
        leader: None,
        state_since: TimestampMs(1234),
        members: Vec::new(),
    };
    check(
        GroupRecord::Group("g".into(), Some(empty)),
        GROUP_KEY,
        Some("0003000000000000ffffffff00000000000004d200000000"),
    );
    check(GroupRecord::Group("g".into(), None), GROUP_KEY, None);
}

#[test]
fn groups_of_all_versions_are_read() {
    let since_unknown = GroupMetadata { state_since: TimestampMs(-1), ..group() };
    let mut no_instance = since_unknown.clone();
    no_instance.members[0].instance_id = None;
    let mut oldest = no_instance.clone();
    oldest.members[0].rebalance_timeout_ms = -1;
    let since_known = GroupMetadata { state_since: TimestampMs(1234), ..no_instance.clone() };
    let versions = [
        (
            "00000008636f6e73756d657200000005000572616e676500036d2d310000000100036d2d \
             31000163000a2f3132372e302e302e310000afc80000000201020000000103",
            oldest,
        ),
        (
            "00010008636f6e73756d657200000005000572616e676500036d2d310000000100036d2d \
             31000163000a2f3132372e302e302e31000493e00000afc80000000201020000000103",
            no_instance,
        ),
        (
            "00020008636f6e73756d657200000005000572616e676500036d2d3100000000000004d2 \
             0000000100036d2d31000163000a2f3132372e302e302e31000493e00000afc800000002 \
             01020000000103",
            since_known,
        ),
        (
            "000409636f6e73756d6572000000050672616e6765046d2d3100000000000004d202046d \
             2d31026902630b2f3132372e302e302e31000493e00000afc803010202030000",
            group(),
        ),
    ];
    for (hex, expected) in versions {
        assert_eq!(decode(GROUP_KEY, Some(hex)), GroupRecord::Group("g".into(), Some(expected)));
    }
}

#[test]
fn other_types_are_kept_as_they_are() {
    let record = decode("000900 0167", Some("0000 00000001 00"));
    let (mut key, mut value) = (Vec::new(), Vec::new());
    record.encode_key(&mut key);
    assert!(record.encode_value(&mut value));
    assert_eq!((Bytes::from(key), Bytes::from(value)), (bytes("0009000167"), bytes("00000000000100")));
}

#[test]
fn what_is_no_record_is_refused() {
    let key = bytes(OFFSET_KEY);
    let newer = GroupRecord::decode(&key, Some(&bytes("0005")));
    assert_eq!(newer, Err(GroupRecordError::Version { record_type: 1, version: 5 }));
    assert_eq!(GroupRecord::decode(&bytes("ffff"), None), Err(GroupRecordError::Type(-1)));
    assert_eq!(
        GroupRecord::decode(&bytes("000200016700"), None),
        Err(GroupRecordError::Trailing { left: 1 })
    );
    assert!(matches!(GroupRecord::decode(&key, Some(&bytes("0004"))), Err(GroupRecordError::Field(_))));
    assert!(matches!(GroupRecord::decode(&Bytes::new(), None), Err(GroupRecordError::Field(_))));
}

#[test]
fn any_bytes_are_read_or_refused() {
    for seed in 0..20_000u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut bytes: Vec<u8> =
            bytes(&format!("{OFFSET_KEY}0004000000000000002a00000003056e6f7465")).to_vec();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            let at = state as usize % bytes.len();
            bytes[at] = (state >> 32) as u8;
        }
        fuzz_group_record(&bytes);
    }
}

fn consumer(record: ConsumerRecord, key: &str, value: Option<&str>) {
    check(GroupRecord::Consumer(record), key, value);
}

fn key() -> MemberKey {
    MemberKey { group: "g".into(), member_id: "m".into() }
}

fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677))
}

#[test]
fn epochs_of_consumer_groups_have_kafkas_bytes() {
    let epoch = |metadata_hash| Some(GroupEpoch { epoch: 5, metadata_hash });
    let hash = 0x1122_3344_5566_7788;
    consumer(
        ConsumerRecord::Epoch("g".into(), epoch(hash)),
        "0003000167",
        Some("0000000000050100081122334455667788"),
    );
    consumer(ConsumerRecord::Epoch("g".into(), epoch(0)), "0003000167", Some("00000000000500"));
    consumer(ConsumerRecord::Epoch("g".into(), None), "0003000167", None);
    consumer(ConsumerRecord::PartitionMetadata("g".into(), None), "0004000167", None);
    let target = |at| Some(TargetEpoch { epoch: 5, computed_at: TimestampMs(at) });
    consumer(
        ConsumerRecord::TargetEpoch("g".into(), target(1234)),
        "0006000167",
        Some("00000000000501000800000000000004d2"),
    );
    consumer(ConsumerRecord::TargetEpoch("g".into(), target(0)), "0006000167", Some("00000000000500"));
}

#[test]
fn assignments_of_consumer_groups_have_kafkas_bytes() {
    let target = [(topic_id(), [PartitionIndex(0), PartitionIndex(2)].into())].into();
    consumer(
        ConsumerRecord::Target(key(), Some(target)),
        "000700016700016d",
        Some("0000020123456789abcdef00112233445566770300000000000000020000"),
    );
    let current = CurrentAssignment {
        epoch: 5,
        previous_epoch: 4,
        state: 1,
        assigned: [(topic_id(), [(PartitionIndex(0), 5), (PartitionIndex(1), 4)].into())].into(),
        pending_revocation: [(topic_id(), [(PartitionIndex(2), 3)].into())].into(),
    };
    consumer(
        ConsumerRecord::Current(key(), Some(current)),
        "000800016700016d",
        Some(
            "0000000000050000000401020123456789abcdef00112233445566770300000000000000 \
             01010009030000000500000004020123456789abcdef0011223344556677020000000201 \
             0005020000000300",
        ),
    );
    let new = CurrentAssignment { previous_epoch: -1, ..CurrentAssignment::default() };
    consumer(
        ConsumerRecord::Current(key(), Some(new)),
        "000800016700016d",
        Some("000000000000ffffffff00010100"),
    );
}

#[test]
fn members_of_consumer_groups_have_kafkas_bytes() {
    let full = ConsumerMemberMetadata {
        instance_id: Some("i".into()),
        rack_id: Some("r".into()),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        topics: ["a".into(), "b".into()].into(),
        regex: Some("f.*".into()),
        rebalance_timeout_ms: 300_000,
        assignor: Some("range".into()),
        classic: None,
    };
    consumer(
        ConsumerRecord::Member(key(), Some(full)),
        "000500016700016d",
        Some(
            "00000269027202630b2f3132372e302e302e31030261026204662e2a000493e00672616e \
             676501000100",
        ),
    );
    let classic = ConsumerMemberMetadata {
        instance_id: None,
        rack_id: None,
        client_id: "c".into(),
        client_host: "h".into(),
        topics: [].into(),
        regex: Some("".into()),
        rebalance_timeout_ms: 300_000,
        assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: 45_000,
            protocols: vec![("range".into(), Bytes::from_static(&[1, 2]))],
        }),
    };
    consumer(
        ConsumerRecord::Member(key(), Some(classic)),
        "000500016700016d",
        Some("00000000026302680101000493e000010011010000afc8020672616e67650301020000"),
    );
}

#[test]
fn resolved_expressions_have_kafkas_bytes() {
    let resolved = ResolvedRegex {
        topics: ["fa".into(), "fo".into()].into(),
        version: 7,
        resolved_at: TimestampMs(1234),
    };
    consumer(
        ConsumerRecord::Regex("g".into(), "f.*".into(), Some(resolved)),
        "00100001670003662e2a",
        Some("00000303666103666f000000000000000700000000000004d200"),
    );
}
