//! Kafka's bytes are ours: read, and where nothing is compressed written the same.

use slipring_protocol::batch::{
    BATCH_HEADER_SIZE, BatchBuilder, BatchHeader, BatchRules, Batches, Compression, ControlRecord,
    EndTxnMarker, LeaderChange, RecordSpec, Records, Voter, VoterEndpoint, crc_ok, end_txn_batch,
    record_area,
};
use slipring_protocol::ids::{
    BrokerId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs,
};
use slipring_protocol::metadata_records::MetadataRecord;
use uuid::Uuid;

use super::{check, columns, from_hex};

const NOW: i64 = 1_700_000_000_000;

fn kafka(name: &str) -> Vec<u8> {
    let row = columns(include_str!("golden/batches.tsv")).find(|row| row[0] == name);
    from_hex(row.unwrap_or_else(|| panic!("no golden batch {name}"))[1])
}

/// What `Golden.fill` appends.
fn fill(builder: &mut BatchBuilder) -> &mut BatchBuilder {
    builder.append(TimestampMs(NOW), Some(b"k0"), Some(b"v0"));
    builder.append_record(&RecordSpec {
        timestamp: TimestampMs(NOW + 40),
        value: Some(b"a longer value, a longer value, a longer value"),
        headers: &[(b"h", Some(b"x")), (b"", None)],
        ..RecordSpec::default()
    });
    builder.append(TimestampMs(NOW - 70_000), Some(b""), None)
}

#[test]
fn batches_are_written_as_kafka_writes_them() {
    let none = fill(&mut BatchBuilder::new()).build();
    let mut append_time = BatchBuilder::new();
    append_time.base_offset(Offset(100)).leader_epoch(LeaderEpoch(5)).log_append_time(TimestampMs(NOW + 7));
    let mut transactional = BatchBuilder::new();
    transactional.base_offset(Offset(1 << 40)).leader_epoch(LeaderEpoch(9)).transactional();
    transactional.producer(ProducerId(4_000_000_000), ProducerEpoch(3), Sequence(i32::MAX - 1));
    for (name, batch) in [
        ("none", none),
        ("append time", fill(&mut append_time).build()),
        ("transactional", fill(&mut transactional).build()),
    ] {
        assert_eq!(batch, kafka(name), "{name}");
    }
    assert_eq!(BatchHeader::parse(&kafka("transactional")).unwrap().last_sequence(), Sequence(0));
}

#[test]
fn every_codec_of_kafka_inflates_to_the_same_records() {
    let plain = kafka("none");
    let names = [("gzip", Compression::Gzip), ("snappy", Compression::Snappy)];
    for (name, codec) in names.into_iter().chain([("lz4", Compression::Lz4), ("zstd", Compression::Zstd)]) {
        let batch = kafka(name);
        assert!(crc_ok(&batch), "{name}");
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.compression(), Ok(codec));
        let area = record_area(&batch, 1 << 20).unwrap();
        assert_eq!(area, &plain[BATCH_HEADER_SIZE..], "{name}");
        assert_eq!(Records::new(&area, header.record_count).filter(Result::is_ok).count(), 3);
        let checked = check(batch.clone(), 12, &BatchRules::default(), TimestampMs(NOW)).unwrap();
        assert_eq!(checked.bytes(), &batch, "{name}");
    }
}

#[test]
fn control_batches_are_kafkas() {
    let at = |offset: i64, record: &ControlRecord| {
        let mut builder = BatchBuilder::new();
        builder.base_offset(Offset(offset)).leader_epoch(LeaderEpoch(3));
        builder.append_control(TimestampMs(NOW), record).build()
    };
    let marker = |commit| {
        let producer = (ProducerId(77), ProducerEpoch(2));
        end_txn_batch(
            producer,
            EndTxnMarker { commit, coordinator_epoch: 12 },
            LeaderEpoch(4),
            TimestampMs(NOW),
        )
    };
    let voter = Voter {
        id: BrokerId(1),
        directory: Uuid::from_u128(1 << 64 | 2),
        endpoints: vec![VoterEndpoint { name: "CONTROLLER".into(), host: "host".into(), port: 60_000 }],
        kraft_version: (0, 1),
    };
    let change = LeaderChange {
        leader: BrokerId(1),
        voters: vec![BrokerId(1), BrokerId(2)],
        granting_voters: vec![BrokerId(1)],
    };
    let header = ControlRecord::SnapshotHeader { last_contained_log_timestamp: TimestampMs(NOW - 1) };
    for (name, batch) in [
        ("commit", marker(true)),
        ("abort", marker(false)),
        ("leader change", at(10, &ControlRecord::LeaderChange(change))),
        ("snapshot header", at(0, &header)),
        ("snapshot footer", at(8, &ControlRecord::SnapshotFooter)),
        ("kraft version", at(1, &ControlRecord::KRaftVersion(1))),
        ("voters", at(2, &ControlRecord::Voters(vec![voter]))),
    ] {
        assert_eq!(batch, kafka(name), "{name}");
        assert!(ControlRecord::first_of(&batch).is_ok(), "{name}");
    }
}

#[test]
fn a_log_of_kafkas_batches_is_walked_whole() {
    let all: Vec<u8> = columns(include_str!("golden/batches.tsv")).flat_map(|row| from_hex(row[1])).collect();
    let mut batches = Batches::new(&all);
    assert_eq!(
        batches.by_ref().filter(|batch| batch.as_ref().is_ok_and(|batch| crc_ok(batch.bytes))).count(),
        14
    );
    assert_eq!(batches.rest(), 0);
}

/// Records of the version we write come back byte for byte; older ones read as the fields they have.
#[test]
fn metadata_records_are_kafkas() {
    let mut same = 0;
    for row in columns(include_str!("golden/metadata_records.tsv")) {
        let bytes = from_hex(row[1]);
        let record = MetadataRecord::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", row[0]));
        let (name, version) = row[0].split_once(' ').unwrap();
        let version: i16 = version.split(' ').next().unwrap().parse().unwrap();
        let variant = format!("{record:?}");
        let expected = if name == "AccessControlEntry" { "Opaque" } else { name };
        assert!(variant.starts_with(expected), "{name}: {variant}");
        if record.version() == version {
            assert_eq!(record.to_bytes(), bytes, "{}", row[0]);
            same += 1;
        } else {
            assert!(record.version() > version, "{}", row[0]);
            assert_eq!(MetadataRecord::decode(&record.to_bytes()), Ok(record), "{}", row[0]);
        }
    }
    assert_eq!(same, 26);
}
