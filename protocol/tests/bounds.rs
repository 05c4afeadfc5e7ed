//! The walk over request bodies, for every key and version that is served: it passes what the published codec writes, and
//! stops whatever that codec must not see.
#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use kafka_protocol::messages::{DescribeConfigsRequest, ListOffsetsRequest, MetadataRequest};
use slipring_protocol::api::ApiKey;
use slipring_protocol::bounds::{check, decode, walk};
use slipring_protocol::fetch::FetchRequest;
use slipring_protocol::fuzzing::{is_ours, recode};
use slipring_protocol::produce::ProduceRequest;
use slipring_protocol::wire::WireError;

use support::{Kind, Random, body, encode_length, served};

mod support;

const ROUNDS: usize = 60;

#[test]
fn shapes_agree_with_the_codecs() {
    let mut random = Random(1);
    for (request, version) in served() {
        // Our own codecs drop unknown tags, so what they write differs then.
        let ours = is_ours(request.key);
        for round in 0..ROUNDS {
            let mut bytes = body(&mut random, request, version, !ours && round % 2 == 1).bytes;
            let found = walk(request.key, version, &bytes).unwrap();
            assert_eq!((found.trailing_bytes, found.malformed), (0, false));
            let again = recode(request.key, version, Bytes::from(bytes.clone())).unwrap();
            assert_eq!(again, bytes, "{:?} {version}", request.key);
            // Kafka ignores what follows a body.
            bytes.extend_from_slice(b"more");
            assert_eq!(walk(request.key, version, &bytes).unwrap().trailing_bytes, 4);
            assert!(recode(request.key, version, Bytes::from(bytes)).is_ok());
        }
    }
}

#[test]
fn unknown_tags_are_passed_over() {
    let mut random = Random(2);
    for (request, version) in served() {
        for _ in 0..ROUNDS {
            let bytes = body(&mut random, request, version, true).bytes;
            check(request.key, version, &bytes).unwrap();
            recode(request.key, version, Bytes::from(bytes)).unwrap();
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let mut random = Random(3);
    for (request, version) in served() {
        for _ in 0..ROUNDS / 4 {
            let bytes = Bytes::from(body(&mut random, request, version, true).bytes);
            for end in 0..bytes.len() {
                assert!(
                    check(request.key, version, &bytes[..end]).is_err(),
                    "{:?} {version} {end}",
                    request.key
                );
                assert!(recode(request.key, version, bytes.slice(..end)).is_err());
            }
        }
    }
}

#[test]
fn hostile_lengths_are_refused() {
    let mut random = Random(4);
    for (request, version) in served() {
        let flexible = request.key.info().is_flexible(version);
        for _ in 0..ROUNDS {
            let body = body(&mut random, request, version, false);
            let beyond = body.bytes.len() as i32 + 1;
            for length in &body.lengths {
                let mut hostile = match length.kind {
                    Kind::String => vec![i32::from(i16::MAX), beyond],
                    Kind::Long => vec![i32::MAX, i32::MAX - 1, beyond],
                };
                if !length.nullable {
                    hostile.extend([-1, -2, i32::from(i16::MIN)]);
                }
                for claimed in hostile {
                    let mut bytes = body.bytes.clone();
                    let claim = encode_length(claimed, flexible, length.kind);
                    bytes.splice(length.at..length.at + length.bytes, claim);
                    assert!(
                        check(request.key, version, &bytes).is_err(),
                        "{:?} {version}: {claimed}",
                        request.key
                    );
                    assert!(recode(request.key, version, Bytes::from(bytes)).is_err());
                }
            }
        }
    }
}

#[test]
fn six_bytes_that_abort_the_published_codec() {
    let body = [0x7f, 0xff, 0xff, 0xff, 0, 0];
    let error = WireError::CountTooLarge { count: 0x7fff_ffff, left: 2 };
    assert_eq!(decode::<MetadataRequest>(1, Bytes::copy_from_slice(&body)).unwrap_err(), error);
    let compact = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    // Minus two, which is null: all topics.
    let request: MetadataRequest = decode(9, Bytes::from([&compact[..], &[0, 0, 0]].concat())).unwrap();
    assert_eq!(request.topics, None);
    assert_eq!(check(ApiKey::Metadata, 9, &[0xff; 6]), Err(WireError::VarintTooLong));
    assert_eq!(check(ApiKey::Metadata, 0, &[0xff; 4]), Err(WireError::Null));
    assert_eq!(check(ApiKey::Metadata, 1, &[0xff; 4]), Ok(()));
}

#[test]
fn negative_lengths_are_null_where_null_may_stand() {
    let all_topics: MetadataRequest = decode(1, Bytes::from_static(b"\xff\xff\xff\xfe")).unwrap();
    assert_eq!(all_topics.topics, None);
    let mut random = Random(6);
    for (request, version) in served() {
        let flexible = request.key.info().is_flexible(version);
        for _ in 0..ROUNDS {
            let body = body(&mut random, request, version, false);
            for length in body.lengths.iter().filter(|length| length.nullable) {
                let with = |claimed| {
                    let mut bytes = body.bytes.clone();
                    let value = length.at..length.at + length.bytes + length.content;
                    bytes.splice(value, encode_length(claimed, flexible, length.kind));
                    recode(request.key, version, Bytes::from(bytes)).unwrap()
                };
                let lowest = if length.kind == Kind::String { i32::from(i16::MIN) } else { i32::MIN + 1 };
                assert_eq!(with(-1), with(-2), "{:?} {version}", request.key);
                assert_eq!(with(-1), with(lowest), "{:?} {version}", request.key);
            }
        }
    }
}

#[test]
fn a_negative_number_of_tags_is_none() {
    let request: MetadataRequest = decode(9, Bytes::from_static(b"\0\x01\0\0\xff\xff\xff\xff\x0f")).unwrap();
    assert!(request.topics.is_none() && request.allow_auto_topic_creation);
}

#[test]
fn many_small_elements_are_refused_before_they_are_read() {
    let count = 20_000_000u32;
    let mut bytes = count.to_be_bytes().to_vec();
    bytes.resize(4 + 2 * count as usize, 0);
    let wire = bytes.len();
    assert_eq!(check(ApiKey::Metadata, 1, &bytes), Err(WireError::TooManyElements { wire }));
    let topics =
        [&[0xff, 0xff, 0, 1, 0, 0, 0, 0][..], &count.to_be_bytes(), &vec![0; 6 * count as usize]].concat();
    let error = ProduceRequest::decode(3, Bytes::from(topics)).unwrap_err();
    assert!(matches!(error, WireError::TooManyElements { .. }), "{error}");
}

#[test]
fn a_hundred_thousand_topics_are_served() {
    let mut bytes = 100_000u32.to_be_bytes().to_vec();
    for topic in 0..100_000 {
        bytes.extend_from_slice(&6u16.to_be_bytes());
        bytes.extend_from_slice(format!("t{topic:05}").as_bytes());
    }
    let request: MetadataRequest = decode(1, Bytes::from(bytes)).unwrap();
    assert_eq!(request.topics.unwrap().len(), 100_000);
}

#[test]
fn text_that_is_not_utf8_is_replaced() {
    let body = b"\0\0\0\x02\0\x04ab\xff\xfe\0\x02ok";
    let request: MetadataRequest = decode(1, Bytes::from_static(body)).unwrap();
    let topics = request.topics.unwrap();
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_ref().unwrap().as_str()).collect();
    assert_eq!(names, ["ab\u{fffd}\u{fffd}", "ok"]);

    // One resource, a broken name, two keys of which one is broken; the tags after it stay where they belong.
    let body = b"\x02\x02\x03a\xc3\x03\x02\x80\x02x\0\x01\x01\0";
    assert!(walk(ApiKey::DescribeConfigs, 4, body).unwrap().malformed);
    let request: DescribeConfigsRequest = decode(4, Bytes::from_static(body)).unwrap();
    assert_eq!(&*request.resources[0].resource_name, "a\u{fffd}");
    assert!(request.include_documentation);

    let produce = b"\xff\xff\0\x01\0\0\0\0\0\0\0\x01\0\x02t\xff\0\0\0\0";
    let request = ProduceRequest::decode(3, Bytes::from_static(produce)).unwrap();
    assert_eq!(&*request.topics[0].name, "t\u{fffd}");
}

#[test]
fn replacing_text_keeps_to_the_longest_string() {
    let mut body = b"\0\0\0\x01\x7f\xff".to_vec();
    body.extend_from_slice(&[0xff; 0x7fff]);
    let error = decode::<MetadataRequest>(1, Bytes::from(body)).unwrap_err();
    assert_eq!(error, WireError::StringTooLong(3 * 0x7fff));
}

#[test]
fn tags_of_a_later_version_are_refused() {
    // No topics, nothing forgotten, no rack; then tag 1, which is the replica state from version 15.
    let mut body = vec![0; 25];
    body.extend_from_slice(b"\x01\x01\x01\x01\x01\x0d\0\0\0\x07\0\0\0\0\0\0\0\x08\0");
    let error = WireError::TagNotValid { tag: 1, version: 14 };
    assert_eq!(FetchRequest::decode(14, Bytes::from(body.clone())).unwrap_err(), error);
    assert_eq!(check(ApiKey::Fetch, 14, &body), Err(error));
    let request = FetchRequest::decode(15, Bytes::from(body.split_off(4))).unwrap();
    assert_eq!((request.replica_id.0, request.replica_epoch), (7, 8));
}

#[test]
fn list_offsets_11_is_read_as_10() {
    let body = b"\xff\xff\xff\xff\0\x02\x02t\x02\0\0\0\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa\0\0\0\0\0\x64\0";
    let request: ListOffsetsRequest = decode(11, Bytes::from_static(body)).unwrap();
    assert_eq!(request.topics[0].partitions[0].timestamp, -6);
    assert_eq!(request.timeout_ms, 100);
}

#[test]
fn versions_out_of_range_are_refused() {
    for (key, version) in
        [(ApiKey::Produce, 2), (ApiKey::Metadata, 14), (ApiKey::Metadata, -1), (ApiKey::Vote, 0)]
    {
        let error = WireError::UnsupportedVersion { key: key.code(), version };
        assert_eq!(check(key, version, &[0; 64]), Err(error));
    }
}
