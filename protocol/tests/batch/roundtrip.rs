//! What the builder writes is what the readers read, whatever the codec, and what validation takes.

use proptest::prelude::*;
use slipring_protocol::batch::{
    BatchBuilder, BatchRules, Batches, Compression, RecordSpec, Records, TimestampType, crc_ok,
    first_record_at_or_after, record_area, record_of_max_timestamp,
};
use slipring_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::check;

#[derive(Clone, Debug)]
struct Spec {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (any::<u8>(), 0..max).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    (
        -2i64..1_000_000,
        prop::option::of(bytes(60)),
        prop::option::of(bytes(70_000)),
        prop::collection::vec((bytes(20), prop::option::of(bytes(200))), 0..3),
    )
        .prop_map(|(timestamp, key, value, headers)| Spec { timestamp, key, value, headers })
}

fn build(codec: Compression, specs: &[Spec], base: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.compression(codec).base_offset(Offset(base)).leader_epoch(LeaderEpoch(4));
    builder.producer(ProducerId(8), ProducerEpoch(2), Sequence(5));
    for spec in specs {
        let headers: Vec<_> =
            spec.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
        builder.append_record(&RecordSpec {
            offset_delta: None,
            timestamp: TimestampMs(spec.timestamp),
            key: spec.key.as_deref(),
            value: spec.value.as_deref(),
            headers: &headers,
        });
    }
    builder.build()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_read_back(
        specs in prop::collection::vec(spec(), 1..12),
        codec in prop::sample::select(Compression::ALL.to_vec()),
        base in 0i64..1 << 50,
    ) {
        let batch = build(codec, &specs, base);
        prop_assert!(crc_ok(&batch));
        let two = [&batch[..], &batch[..]].concat();
        prop_assert_eq!(Batches::new(&two).filter(Result::is_ok).count(), 2);
        let header = Batches::new(&batch).next().unwrap().unwrap().header;
        prop_assert_eq!(header.last_offset(), Offset(base + specs.len() as i64 - 1));
        let max = specs.iter().map(|spec| spec.timestamp).max().unwrap().max(-1);
        prop_assert_eq!(header.max_timestamp, TimestampMs(max));

        let area = record_area(&batch, 64 << 20).unwrap();
        let read: Vec<_> = Records::new(&area, header.record_count).map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), specs.len());
        for ((record, spec), delta) in read.iter().zip(&specs).zip(0..) {
            prop_assert_eq!(record.offset_delta, delta);
            prop_assert_eq!(header.base_timestamp.0 + record.timestamp_delta, spec.timestamp);
            prop_assert_eq!(record.key, spec.key.as_deref());
            prop_assert_eq!(record.value, spec.value.as_deref());
            let headers: Vec<_> =
                spec.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
            prop_assert_eq!(record.headers.collect::<Vec<_>>(), headers);
        }
    }

    #[test]
    fn lookups_find_what_a_scan_finds(
        specs in prop::collection::vec(spec(), 1..12),
        codec in prop::sample::select(Compression::ALL.to_vec()),
        target in 0i64..1_000_000,
        from in 0usize..12,
    ) {
        let batch = build(codec, &specs, 1_000);
        let found = first_record_at_or_after(&batch, TimestampMs(target), Offset(1_000 + from as i64)).unwrap();
        let scan = specs.iter().enumerate().find(|(index, spec)| *index >= from && spec.timestamp >= target);
        prop_assert_eq!(
            found.map(|found| (found.offset.0 - 1_000, found.timestamp.0)),
            scan.map(|(index, spec)| (index as i64, spec.timestamp))
        );
        let max = specs.iter().map(|spec| spec.timestamp).max().unwrap().max(-1);
        let scan = specs.iter().position(|spec| spec.timestamp == max);
        let found = record_of_max_timestamp(&batch).unwrap();
        prop_assert_eq!(found.map(|found| found.offset.0 - 1_000), scan.map(|index| index as i64));
    }

    #[test]
    fn validation_takes_them_and_corrects_timestamps(
        specs in prop::collection::vec(spec(), 1..8),
        codec in prop::sample::select(Compression::ALL.to_vec()),
        append_time in any::<bool>(),
    ) {
        let batch = build(codec, &specs, 0);
        let timestamp_type =
            if append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let rules = BatchRules { message_bytes_max: batch.len(), timestamp_type, ..BatchRules::default() };
        let checked = check(batch.clone(), 12, &rules, TimestampMs(7_777)).unwrap();
        prop_assert!(crc_ok(checked.bytes()));
        prop_assert_eq!(checked.header().timestamp_type(), timestamp_type);
        prop_assert_eq!(&checked.bytes()[61..], &batch[61..]);
        if append_time {
            prop_assert_eq!(checked.log_append_time(), TimestampMs(7_777));
        } else {
            prop_assert_eq!(checked.bytes(), &batch);
            prop_assert_eq!(checked.log_append_time(), TimestampMs(-1));
        }
    }
}
