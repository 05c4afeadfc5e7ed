//! Reads a data directory that Kafka 4.3 wrote, and writes it again from its batches alone: every index and snapshot must
//! come out byte for byte. See `fixtures/kafka-4.3/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use slipring_protocol::batch::{BATCH_HEADER_SIZE, Batch, Batches, Records, crc_ok};
use slipring_protocol::ids::{BrokerId, Offset, TimestampMs, TopicId};
use slipring_storage::checkpoint::{self, OffsetMap};
use slipring_storage::directory::{DataDirectory, Expectation, RootCheckpoint};
use slipring_storage::disk::{Disk, UringDisk, block_on};
use slipring_storage::epoch_cache::EpochCache;
use slipring_storage::layout::{FileState, SegmentFile, parse_segment_file};
use slipring_storage::producer_state::snapshot::{self, SnapshotEntry, stray_snapshots};
use slipring_storage::producer_state::{Marker, ProducerState};
use slipring_storage::segment::index::{IndexView, OffsetIndex};
use slipring_storage::segment::time_index::{TimeIndex, TimeIndexView, TimestampOffset};
use slipring_storage::segment::txn_index::{TxnIndex, TxnIndexView};

/// `index.interval.bytes` of the fixture's topics.
const INDEX_INTERVAL_BYTES: usize = 100;
/// More than the fixture's `segment.index.bytes`: a restart began its interval anew and so left room for later entries.
const INDEX_BYTES_MAX: usize = 1200;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka-4.3")
}

fn read(partition: &str, name: &str) -> Vec<u8> {
    fs::read(fixture().join("data").join(partition).join(name)).expect("part of the fixture")
}

/// Base offsets of a partition's files of one kind, rising.
fn bases(partition: &str, kind: SegmentFile) -> Vec<Offset> {
    let entries = fs::read_dir(fixture().join("data").join(partition)).expect("part of the fixture");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII"));
    let parsed = names.filter_map(|name| parse_segment_file(&name));
    let mut bases: Vec<Offset> = parsed
        .filter(|file| file.kind == kind && file.state == FileState::Live)
        .map(|file| file.base)
        .collect();
    bases.sort_unstable();
    bases
}

/// One file in the words of Kafka's dump tool.
fn describe(base: Offset, kind: SegmentFile, bytes: Vec<u8>) -> String {
    let mut out = String::new();
    match kind {
        SegmentFile::Log => unreachable!("not among the dumps"),
        SegmentFile::OffsetIndex => {
            let view = IndexView::new(base, Bytes::from(bytes)).expect("sane");
            view.check_order().expect("in order");
            for entry in view.entries() {
                writeln!(out, "offset: {} position: {}", entry.offset, entry.position).expect("text");
            }
        }
        SegmentFile::TimeIndex => {
            let view = TimeIndexView::new(base, Bytes::from(bytes)).expect("sane");
            view.check_order().expect("in order");
            for entry in view.entries() {
                writeln!(out, "timestamp: {} offset: {}", entry.timestamp, entry.offset).expect("text");
            }
        }
        SegmentFile::TxnIndex => {
            let view = TxnIndexView::new(base, Bytes::from(bytes)).expect("sane");
            for txn in view.entries() {
                let (first, last, stable) = (txn.first_offset, txn.last_offset, txn.last_stable_offset);
                let id = txn.producer_id;
                writeln!(
                    out,
                    "version: 0 producerId: {id} firstOffset: {first} lastOffset: {last} lastStableOffset: {stable}"
                )
                .expect("text");
            }
        }
        SegmentFile::ProducerSnapshot => {
            for entry in snapshot::decode(&bytes).expect("intact") {
                out.push_str(&describe_producer(&entry));
            }
        }
    }
    out
}

fn describe_producer(entry: &SnapshotEntry) -> String {
    let txn = match entry.txn_first_offset {
        Some(offset) => format!("[{offset}]"),
        None => ".empty".to_owned(),
    };
    let mut line = format!(
        "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: OptionalLong{txn} lastTimestamp: {} ",
        entry.producer_id, entry.epoch, entry.coordinator_epoch, entry.timestamp
    );
    if entry.last_offset.0 >= 0 {
        write!(
            line,
            "firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
            entry.last_sequence.0 - entry.offset_delta,
            entry.last_sequence,
            entry.last_offset,
            entry.offset_delta,
            entry.timestamp
        )
        .expect("text");
    }
    line.push('\n');
    line
}

#[test]
fn files_read_as_kafkas_own_tool_reads_them() {
    let dumps = fs::read_to_string(fixture().join("dumps.txt")).expect("part of the fixture");
    let mut files = 0;
    for section in dumps.split("Dumping data/").skip(1) {
        let (path, expected) = section.split_once('\n').expect("a line of its own");
        let (partition, name) = path.split_once('/').expect("in a partition");
        let file = parse_segment_file(name).expect("a file of a segment");
        let found = describe(file.base, file.kind, read(partition, name));
        let expected = if expected.trim_end().ends_with(" is empty.") { "" } else { expected };
        let lines = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(lines(&found), lines(expected), "{path}");
        files += 1;
    }
    assert_eq!(files, 43, "every dumped file was compared");
}

/// The state a log's batches leave, and the files made on the way.
#[derive(Default)]
struct Replay {
    producers: ProducerState,
    epochs: EpochCache,
    /// By name, as they would lie in the directory.
    files: BTreeMap<String, Vec<u8>>,
}

impl Replay {
    fn segment(&mut self, base: Offset, log: &[u8]) {
        if base.0 > 0 {
            let bytes = snapshot::encode(&self.producers.snapshot());
            self.files.insert(SegmentFile::ProducerSnapshot.name(base), bytes);
        }
        let mut offsets = OffsetIndex::new(base, INDEX_BYTES_MAX);
        let mut times = TimeIndex::new(base, INDEX_BYTES_MAX);
        let mut txns = TxnIndex::new();
        let mut largest = TimestampOffset { timestamp: TimestampMs(-1), offset: Offset(-1) };
        let mut since_entry = 0;
        let mut batches = Batches::new(log);
        for batch in &mut batches {
            let batch = batch.expect("whole batches");
            let header = &batch.header;
            assert!(crc_ok(batch.bytes));
            if header.max_timestamp > largest.timestamp {
                largest = TimestampOffset { timestamp: header.max_timestamp, offset: header.last_offset() };
            }
            if since_entry > INDEX_INTERVAL_BYTES {
                offsets.append(header.last_offset(), batch.position as u32).expect("room");
                times.maybe_append(largest, false).expect("room");
                since_entry = 0;
            }
            since_entry += batch.bytes.len();
            if self.epochs.latest().is_none_or(|latest| header.leader_epoch > latest.epoch) {
                self.epochs.assign(header.leader_epoch, header.base_offset);
            }
            self.batch(&batch, &mut txns);
        }
        assert_eq!(batches.rest(), 0);
        times.maybe_append(largest, true).expect("one entry is kept for the end");
        self.files.insert(SegmentFile::OffsetIndex.name(base), offsets.into_bytes());
        self.files.insert(SegmentFile::TimeIndex.name(base), times.into_bytes());
        if !txns.is_empty() {
            self.files.insert(SegmentFile::TxnIndex.name(base), txns.into_bytes());
        }
    }

    fn batch(&mut self, batch: &Batch<'_>, txns: &mut TxnIndex) {
        let header = &batch.header;
        if !header.is_control() {
            self.producers.apply(header, header.base_offset);
            return;
        }
        let mut records = Records::new(&batch.bytes[BATCH_HEADER_SIZE..], header.record_count);
        let record = records.next().expect("one record").expect("intact");
        let (key, value) = (record.key.expect("a key"), record.value.expect("a value"));
        let marker = Marker {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            coordinator_epoch: i32::from_be_bytes(value[2..6].try_into().expect("four bytes")),
            commit: key[2..4] == [0, 1],
            timestamp: TimestampMs(header.base_timestamp.0 + record.timestamp_delta),
        };
        let completed = self.producers.apply_marker(&marker, header.base_offset);
        if let Some(txn) = completed.and_then(|completed| completed.index_entry()) {
            txns.append(&txn).expect("markers rise");
        }
    }

    /// Compares the files made with Kafka's, for the segments asked for.
    fn compare(&self, partition: &str, segments: &[Offset]) {
        let mut compared = 0;
        for (name, made) in &self.files {
            let file = parse_segment_file(name).expect("our own name");
            if segments.contains(&file.base) {
                assert_eq!(made, &read(partition, name), "{partition}/{name}");
                compared += 1;
            }
        }
        assert!(compared >= 2 * segments.len());
    }
}

fn replay(partition: &str) -> Replay {
    let mut replay = Replay::default();
    for base in bases(partition, SegmentFile::Log) {
        replay.segment(base, &read(partition, &SegmentFile::Log.name(base)));
    }
    replay
}

#[test]
fn transactions_replay_to_kafkas_bytes() {
    let partition = "with-dash.and_txn-0";
    let mut made = replay(partition);
    let segments = bases(partition, SegmentFile::Log);
    made.compare(partition, &segments);
    // The snapshot of the clean stop, with the transaction that was left open.
    let last = snapshot::encode(&made.producers.snapshot());
    assert_eq!(last, read(partition, &SegmentFile::ProducerSnapshot.name(made.producers.end())));
    made.producers.on_high_watermark(made.producers.end());
    assert_eq!(made.producers.first_unstable_offset(), Some(made.producers.end().plus(-1)));
    let epochs = checkpoint::encode_epochs(made.epochs.entries());
    assert!(
        read(partition, "leader-epoch-checkpoint").starts_with(b"0\n2\n0 0\n"),
        "a second reign without records"
    );
    assert_eq!(epochs, b"0\n1\n0 0\n");
}

#[test]
fn idempotent_batches_replay_to_kafkas_bytes() {
    let partition = "plain-0";
    let made = replay(partition);
    // Later segments were written across restarts, which expired the producers and restarted the index interval.
    made.compare(partition, &[Offset(0), Offset(20)]);
    assert_eq!(
        checkpoint::encode_epochs(made.epochs.entries()),
        read(partition, "leader-epoch-checkpoint"),
        "batches carry every reign"
    );
    let snapshots = bases(partition, SegmentFile::ProducerSnapshot);
    let segments = bases(partition, SegmentFile::Log);
    assert_eq!(stray_snapshots(&snapshots, &segments), [Offset(68)]);
}

#[test]
fn a_loaded_snapshot_and_the_log_behind_it_give_the_same_state() {
    let partition = "with-dash.and_txn-0";
    let whole = replay(partition).producers;
    let mut segments = bases(partition, SegmentFile::Log);
    let from = segments.split_off(2);
    let entries =
        snapshot::decode(&read(partition, &SegmentFile::ProducerSnapshot.name(from[0]))).expect("intact");
    let mut resumed = Replay::default();
    resumed.producers.load(from[0], &entries, TimestampMs(1_700_000_000_000), 86_400_000);
    for base in from {
        resumed.segment(base, &read(partition, &SegmentFile::Log.name(base)));
    }
    assert_eq!(resumed.producers.snapshot(), whole.snapshot());
    assert_eq!(resumed.producers.end(), whole.end());
    let unstable = |mut state: ProducerState| {
        state.on_high_watermark(state.end());
        state.first_unstable_offset()
    };
    assert_eq!(unstable(resumed.producers), unstable(whole));
}

#[test]
fn the_root_reads_and_writes_back() {
    let root = fixture().join("data");
    for name in
        ["recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint"]
    {
        let bytes = fs::read(root.join(name)).expect("part of the fixture");
        let offsets = checkpoint::decode_offsets(&bytes).expect("intact");
        let written = checkpoint::encode_offsets(&offsets);
        let sorted = |bytes: &[u8]| {
            let mut lines: Vec<String> =
                std::str::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect();
            lines[2..].sort_unstable();
            lines
        };
        assert_eq!(sorted(&written), sorted(&bytes), "{name}");
    }
    for partition in ["plain-0", "with-dash.and_txn-1", "__cluster_metadata-0"] {
        let bytes = read(partition, "partition.metadata");
        let id = checkpoint::decode_partition_metadata(&bytes).expect("intact");
        assert_eq!(checkpoint::encode_partition_metadata(id), bytes);
        assert_eq!(id == TopicId::CLUSTER_METADATA, partition == "__cluster_metadata-0");
    }
}

#[test]
fn kafkas_directory_opens() {
    let path = std::env::temp_dir().join(format!("slipring-kafka-files-{}", std::process::id()));
    copy(&fixture().join("data"), &path);
    let disk = Disk::Uring(UringDisk::new(8).expect("io_uring"));
    let open = |node: i32| {
        block_on(&disk, DataDirectory::open(&disk, &path, &Expectation::new(None, BrokerId(node))))
    };
    assert!(open(2).expect_err("another node's").to_string().contains("belongs to node 1"));
    let directory = open(1).expect("Kafka's");
    assert_eq!(directory.cluster_id(), "4L6g3nShT-eMCtK--X86sw");
    assert_eq!(TopicId(directory.directory_id()).to_string(), "OTuLSdEErSHvTJgubA_JPw");
    assert!(directory.is_clean());
    assert_eq!(directory.clean_broker_epoch(), Some(185));
    let before = fs::read(path.join("meta.properties")).expect("there");
    assert_eq!(
        before,
        fs::read(fixture().join("data/meta.properties")).expect("there"),
        "left as Kafka wrote it"
    );
    let scan = block_on(&disk, directory.scan(&disk)).expect("readable");
    let names: Vec<&str> = scan.partitions.iter().map(|partition| partition.name.as_str()).collect();
    assert_eq!(names, ["__transaction_state-0", "plain-0", "with-dash.and_txn-0", "with-dash.and_txn-1"]);
    assert!(scan.partitions.iter().all(|partition| partition.topic_id.is_some()));
    assert!(scan.metadata_log && scan.unknown.is_empty() && scan.damaged.is_empty());
    let marks: OffsetMap =
        block_on(&disk, directory.load_checkpoint(&disk, RootCheckpoint::HighWatermark)).expect("intact");
    assert_eq!(marks[&scan.partitions[1].partition], Offset(82));
    drop(directory);
    fs::remove_dir_all(&path).expect("ours");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("writable");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("writable");
        }
    }
}
