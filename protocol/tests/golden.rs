//! Frames as librdkafka 2.0 and Kafka's Java clients 4.3.0 sent them, and as Apache Kafka 4.3.0 answered (without the length in
//! front), taken down by a proxy between them. They read as they should, and we write the same bytes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::protocol::Decodable;
use slipring_protocol::api::{APIS, ApiKey, Scope};
use slipring_protocol::batch::Batches;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{FetchRequest, FetchResponse, FetchResponseEncoder, Piece};
use slipring_protocol::fuzzing::recode;
use slipring_protocol::header::{
    RequestHeader, encode_request_header, encode_response_header, parse_response,
};
use slipring_protocol::ids::Offset;
use slipring_protocol::produce::{ProduceRequest, ProduceResponse};

#[test]
fn requests_come_back_byte_for_byte() {
    let mut seen = 0;
    for name in names().iter().filter(|name| name.contains("_request_")) {
        let frame = golden(name);
        let (header, body) = RequestHeader::parse(&frame).unwrap();
        let mut again = Vec::new();
        let client_id = header.client_id.as_deref();
        encode_request_header(header.api.key, header.version, header.correlation_id, client_id, &mut again);
        again.extend(recode(header.api.key, header.version, body).unwrap());
        assert_eq!(again, frame, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 16);
}

#[test]
fn the_table_is_kafkas() {
    let (_, mut body) = parse_response(ApiKey::ApiVersions, 4, &golden("api_versions_v4_response")).unwrap();
    let response = ApiVersionsResponse::decode(&mut body, 4).unwrap();
    assert!(body.is_empty());
    let theirs: Vec<_> =
        response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    let telemetry = [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry];
    let ours = APIS.iter().filter(|api| api.scope == Scope::Broker && !telemetry.contains(&api.key));
    assert_eq!(ours.map(|api| (api.key.code(), api.min, api.max)).collect::<Vec<_>>(), theirs);
}

#[test]
fn produce_requests_read_as_they_were_sent() {
    for (name, version, client, records) in [
        ("produce_v7_request_librdkafka", 7, "rdkafka", 2),
        ("produce_v13_request_java", 13, "console-producer", 1),
    ] {
        let (header, body) = RequestHeader::parse(&golden(name)).unwrap();
        assert_eq!((header.api.key, header.version), (ApiKey::Produce, version));
        assert_eq!(header.client_id.as_deref(), Some(client));
        let request = ProduceRequest::decode(version, body).unwrap();
        assert_eq!((request.acks, request.topics.len()), (-1, 1));
        let topic = &request.topics[0];
        assert_eq!(
            (&*topic.name, topic.topic_id.is_none()),
            if version == 7 { ("golden", true) } else { ("", false) }
        );
        let sent = topic.partitions[0].records.as_ref().unwrap();
        let batch = Batches::new(sent).next().unwrap().unwrap();
        assert_eq!(batch.header.record_count, records);
    }
}

#[test]
fn produce_responses_come_back_byte_for_byte() {
    for (name, version, base_offset) in [("produce_v7_response", 7, 0), ("produce_v13_response", 13, 2)] {
        let frame = golden(name);
        let (correlation_id, body) = parse_response(ApiKey::Produce, version, &frame).unwrap();
        let response = ProduceResponse::decode(version, body).unwrap();
        let partition = &response.topics[0].partitions[0];
        assert_eq!((partition.error, partition.base_offset), (ErrorCode::None, Offset(base_offset)));
        let mut again = Vec::new();
        encode_response_header(ApiKey::Produce, version, correlation_id, &mut again);
        response.encode(version, &mut again).unwrap();
        assert_eq!(again, frame);
    }
}

#[test]
fn fetch_requests_read_as_they_were_sent() {
    let fetch = |name: &str| {
        let (header, body) = RequestHeader::parse(&golden(name)).unwrap();
        FetchRequest::decode(header.version, body).unwrap()
    };
    let request = fetch("fetch_v11_request_librdkafka");
    assert_eq!((request.isolation_level, request.session_id, request.session_epoch), (1, 0, -1));
    assert_eq!(&*request.topics[0].name, "golden");
    let request = fetch("fetch_v18_request_java");
    assert_eq!((request.isolation_level, request.session_id, request.session_epoch), (0, 0, 0));
    assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes), (500, 1, 52_428_800));
    let partition = request.topics[0].partitions[0];
    assert_eq!((partition.fetch_offset, partition.max_bytes), (Offset(0), 1 << 20));
    let request = fetch("fetch_v18_request_java_session");
    assert_eq!((request.session_epoch, request.topics[0].partitions[0].fetch_offset), (1, Offset(3)));
    let request = fetch("fetch_v18_request_java_close");
    assert_eq!((request.session_epoch, request.topics.len()), (-1, 0));
}

#[test]
fn fetch_responses_come_back_byte_for_byte() {
    for (name, version, batches) in
        [("fetch_v11_response", 11, 1), ("fetch_v18_response", 18, 2), ("fetch_v18_response_session", 18, 0)]
    {
        let frame = golden(name);
        let (correlation_id, body) = parse_response(ApiKey::Fetch, version, &frame).unwrap();
        let response = FetchResponse::decode(version, body).unwrap();
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let found = partitions.map(|partition| Batches::new(partition.records.as_ref().unwrap()).count());
        assert_eq!(found.sum::<usize>(), batches);

        let count = response.topics.len();
        let mut encoder =
            FetchResponseEncoder::framed(version, correlation_id, response.head, count).unwrap();
        for topic in &response.topics {
            encoder.begin_topic(&topic.name, topic.topic_id, topic.partitions.len());
            for partition in &topic.partitions {
                let records = partition.records.clone().unwrap();
                encoder.partition(&partition.head, records.len());
                encoder.records(records.clone(), records.len());
            }
        }
        let pieces = encoder.finish(&response.node_endpoints).pieces.into_iter();
        let bytes = pieces.flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Records(records) => records.to_vec(),
        });
        let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
        assert_eq!(bytes.collect::<Vec<u8>>(), [&length[..], &frame].concat());
    }
}

fn names() -> Vec<String> {
    let files = fs::read_dir(directory()).unwrap().map(|file| file.unwrap().path());
    files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

fn golden(name: &str) -> Bytes {
    let text = fs::read_to_string(directory().join(name).with_extension("hex")).unwrap();
    let digits: Vec<char> = text.chars().filter(|char| !char.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}
