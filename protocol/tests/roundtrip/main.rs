//! Our Produce and Fetch codecs against the published ones: the same values give the same bytes in every version, and read
//! back as they were.
#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Encodable};
use proptest::prelude::*;
use slipring_protocol::fetch::*;
use slipring_protocol::produce::*;

mod ours;
mod theirs;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn produce_requests(version in 3i16..=13, mut request in ours::produce_request()) {
        ours::trim_produce_request(version, &mut request);
        let mut bytes = Vec::new();
        request.encode(version, &mut bytes).unwrap();
        same_bytes(version, &bytes, &theirs::produce_request(&request));
        prop_assert_eq!(ProduceRequest::decode(version, Bytes::from(bytes)).unwrap(), request);
    }

    #[test]
    fn produce_responses(version in 3i16..=13, mut response in ours::produce_response()) {
        ours::trim_produce_response(version, &mut response);
        let mut bytes = Vec::new();
        response.encode(version, &mut bytes).unwrap();
        same_bytes(version, &bytes, &theirs::produce_response(&response));
        prop_assert_eq!(ProduceResponse::decode(version, Bytes::from(bytes)).unwrap(), response);
    }

    #[test]
    fn fetch_requests(version in 4i16..=18, mut request in ours::fetch_request()) {
        ours::trim_fetch_request(version, &mut request);
        let mut bytes = Vec::new();
        request.encode(version, &mut bytes).unwrap();
        same_bytes(version, &bytes, &theirs::fetch_request(version, &request));
        prop_assert_eq!(FetchRequest::decode(version, Bytes::from(bytes)).unwrap(), request);
    }

    #[test]
    fn fetch_responses(version in 4i16..=18, framed: bool, cut in 0usize..20, mut response in ours::fetch_response()) {
        ours::trim_fetch_response(version, &mut response);
        let mut bytes = encode_fetch_response(version, framed.then_some(77), cut, &response);
        if framed {
            prop_assert_eq!(bytes.len() - 4, u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize);
            prop_assert_eq!(&bytes[4..8], 77i32.to_be_bytes());
            bytes.drain(..if version >= 12 { 9 } else { 8 });
        }
        same_bytes(version, &bytes, &theirs::fetch_response(&response));
        prop_assert_eq!(FetchResponse::decode(version, Bytes::from(bytes)).unwrap(), response);
    }
}

/// The published codec writes the same bytes, and reads them to the end.
fn same_bytes<M: Encodable + Decodable + PartialEq + std::fmt::Debug>(version: i16, ours: &[u8], theirs: &M) {
    let mut bytes = Vec::new();
    theirs.encode(&mut bytes, version).unwrap();
    assert_eq!(ours, bytes, "version {version}");
    let mut rest = Bytes::copy_from_slice(ours);
    assert_eq!(&M::decode(&mut rest, version).unwrap(), theirs);
    assert!(rest.is_empty());
}

/// Writes a response piecewise, each partition's records in two slices.
fn encode_fetch_response(version: i16, framed: Option<i32>, cut: usize, response: &FetchResponse) -> Vec<u8> {
    let count = response.topics.len();
    let mut encoder = match framed {
        Some(correlation_id) => FetchResponseEncoder::framed(version, correlation_id, response.head, count),
        None => FetchResponseEncoder::new(version, response.head, count),
    }
    .unwrap();
    for topic in &response.topics {
        encoder.begin_topic(&topic.name, topic.topic_id, topic.partitions.len());
        for FetchPartitionResponse { head, records } in &topic.partitions {
            let records = records.as_ref().unwrap();
            encoder.partition(head, records.len());
            let (front, back) = records.split_at(cut.min(records.len()));
            encoder.records(front, front.len());
            encoder.records(back, back.len());
        }
    }
    let whole = encoder.finish(&response.node_endpoints);
    let bytes: Vec<u8> = whole
        .pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.as_slice(),
            Piece::Records(records) => records,
        })
        .copied()
        .collect();
    assert_eq!(bytes.len(), whole.len);
    bytes
}
