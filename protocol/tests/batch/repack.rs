//! A batch in another codec than its topic's is written anew, and reads as it was.

use slipring_protocol::batch::{
    BatchBuilder, BatchFault, BatchHeader, BatchRules, Compression, RecordSpec, Records, StoredCodec,
    TimestampType, crc_ok, record_area,
};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::check;

type Read = (i64, i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

/// Timestamp, offset, key, value and headers of every record.
fn read(batch: &[u8]) -> Vec<Read> {
    let header = BatchHeader::parse(batch).expect("a batch");
    let area = record_area(batch, 64 << 20).expect("records");
    Records::new(&area, header.record_count)
        .map(Result::unwrap)
        .map(|record| {
            (
                header.base_timestamp.0 + record.timestamp_delta,
                record.offset_delta,
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                record.headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
            )
        })
        .collect()
}

fn batch(codec: Compression) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    builder.compression(codec).transactional().base_timestamp(TimestampMs(50));
    builder.producer(ProducerId(9), ProducerEpoch(1), Sequence(7));
    let large = vec![b'x'; 70_000];
    let headers = [(&b"name"[..], Some(&b"value"[..])), (b"", None)];
    for (timestamp, key, value) in
        [(1_000, None, Some(&b"v"[..])), (900, Some(&b"k"[..]), None), (1_100, Some(b""), Some(&large))]
    {
        builder.append_record(&RecordSpec {
            timestamp: TimestampMs(timestamp),
            key,
            value,
            headers: &headers,
            ..RecordSpec::default()
        });
    }
    builder
}

fn rules(codec: Compression, level: Option<i32>) -> BatchRules {
    BatchRules { stored: Some(StoredCodec { codec, level }), ..BatchRules::default() }
}

#[test]
fn every_codec_becomes_every_other() {
    for from in Compression::ALL {
        let source = batch(from).build();
        for to in Compression::ALL {
            let checked = check(source.clone(), 12, &rules(to, None), TimestampMs(2_000)).unwrap();
            let (header, bytes) = (checked.header(), checked.bytes());
            if from == to {
                assert_eq!(bytes, &source);
                continue;
            }
            assert!(crc_ok(bytes));
            assert_eq!(BatchHeader::parse(bytes).unwrap(), *header);
            assert_eq!(header.size(), bytes.len());
            assert_eq!(header.attributes, to.bits() | 1 << 4, "codec and transaction");
            assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(9), ProducerEpoch(1)));
            assert_eq!((header.base_sequence, header.last_sequence()), (Sequence(7), Sequence(9)));
            assert_eq!(
                (header.base_timestamp, header.max_timestamp),
                (TimestampMs(1_000), TimestampMs(1_100))
            );
            assert_eq!((header.record_count, header.last_offset_delta), (3, 2));
            assert_eq!(read(bytes), read(&source), "{from:?} to {to:?}");
            assert_eq!(checked.log_append_time(), TimestampMs(-1));
        }
    }
}

#[test]
fn append_time_is_the_brokers() {
    let rules =
        BatchRules { timestamp_type: TimestampType::LogAppendTime, ..rules(Compression::Zstd, Some(1)) };
    let source = batch(Compression::Gzip).build();
    let checked = check(source.clone(), 12, &rules, TimestampMs(7_777)).unwrap();
    assert_eq!(checked.log_append_time(), TimestampMs(7_777));
    assert_eq!(checked.header().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(read(checked.bytes()), read(&source), "the producer's times stay in the records, as in Kafka");
}

#[test]
fn offsets_become_dense() {
    let mut builder = BatchBuilder::new();
    for delta in [4, 4, 2] {
        let offset_delta = Some(delta);
        builder.append_record(&RecordSpec { offset_delta, ..RecordSpec::default() });
    }
    builder.last_offset_delta(2);
    for from in [Compression::None, Compression::Snappy] {
        builder.compression(from);
        let checked = check(builder.build(), 12, &rules(Compression::Lz4, None), TimestampMs(0)).unwrap();
        let offsets: Vec<i32> = read(checked.bytes()).iter().map(|record| record.1).collect();
        assert_eq!(offsets, [0, 1, 2]);
    }
}

#[test]
fn what_grows_beyond_the_limit_is_refused() {
    let source = batch(Compression::Zstd).build();
    let rules = BatchRules { message_bytes_max: 1_000, ..rules(Compression::None, None) };
    assert!(source.len() < 1_000);
    let refused = check(source, 12, &rules, TimestampMs(0)).unwrap_err();
    assert_eq!(refused.error, ErrorCode::MessageTooLarge);
    assert!(matches!(refused.fault, BatchFault::TooLarge { max: 1_000, .. }));
}

#[test]
fn refusals_are_the_same() {
    let mut future = BatchBuilder::new();
    future.append(TimestampMs(1 << 50), None, None);
    let refused = check(future.build(), 12, &rules(Compression::Gzip, None), TimestampMs(0)).unwrap_err();
    assert_eq!(refused.error, ErrorCode::InvalidTimestamp);
    assert_eq!(refused.record_errors.len(), 1);
    let rules = BatchRules { compacted: true, ..rules(Compression::Gzip, None) };
    let refused = check(batch(Compression::None).build(), 12, &rules, TimestampMs(0)).unwrap_err();
    assert_eq!((refused.error, refused.record_errors.len()), (ErrorCode::InvalidRecord, 1));
}
