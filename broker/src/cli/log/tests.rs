use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use slipring_protocol::batch::{BatchBuilder, Compression};
use slipring_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use slipring_storage::checkpoint::encode_epochs;
use slipring_storage::epoch_cache::EpochEntry;
use slipring_storage::producer_state::snapshot::{self, SnapshotEntry};

use super::*;

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A partition's directory that goes with its owner.
struct Partition(PathBuf);

impl Partition {
    /// Three batches of two records (plain, compressed, idempotent), indexes that name the second, a snapshot, epochs.
    fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("slipring-log-{}-{number}", std::process::id()));
        let directory = root.join(name);
        fs::create_dir_all(&directory).unwrap();
        let mut log = Vec::new();
        let mut positions = Vec::new();
        for batch in 0..3_i64 {
            let mut builder = BatchBuilder::new();
            builder.base_offset(Offset(2 * batch)).leader_epoch(LeaderEpoch(1));
            if batch == 1 {
                builder.compression(Compression::Lz4);
            }
            if batch == 2 {
                builder.producer(ProducerId(9), ProducerEpoch(0), Sequence(0));
            }
            builder.append(TimestampMs(10 + batch), Some(b"key"), Some(b"some value"));
            builder.append(TimestampMs(10 + batch), None, Some(&[0xff, 0x00]));
            positions.push(log.len() as i32);
            log.extend(builder.build());
        }
        let mut times = 11_i64.to_be_bytes().to_vec();
        times.extend(3_i32.to_be_bytes());
        let producer = SnapshotEntry {
            producer_id: ProducerId(9),
            epoch: ProducerEpoch(0),
            last_sequence: Sequence(1),
            last_offset: Offset(5),
            offset_delta: 1,
            timestamp: TimestampMs(12),
            coordinator_epoch: -1,
            txn_first_offset: None,
        };
        let epochs = encode_epochs(&[EpochEntry { epoch: LeaderEpoch(1), start: Offset(0) }]);
        let file = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();
        file("00000000000000000000.log", &log);
        file("00000000000000000000.index", &[3_i32.to_be_bytes(), positions[1].to_be_bytes()].concat());
        file("00000000000000000000.timeindex", &times);
        file("00000000000000000006.snapshot", &snapshot::encode(&[producer]));
        file("leader-epoch-checkpoint", &epochs);
        file("partition.metadata", b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAGQ");
        Self(directory)
    }

    fn dump(&self, json: bool) -> (String, u8) {
        let files = vec![self.0.clone()];
        let args = DumpArgs { files, records: true, content: None, bytes_max: 1024, json };
        run(&LogCommand::Dump(args), json)
    }

    fn verify(&self) -> (String, u8) {
        run(&LogCommand::Verify(VerifyArgs { directory: self.0.clone(), json: false }), false)
    }

    fn files(&self) -> Vec<PathBuf> {
        list(&self.0).unwrap().iter().map(|name| self.0.join(name)).collect()
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn run(command: &LogCommand, json: bool) -> (String, u8) {
    let shared = Shared::default();
    let mut out = Out::new(Box::new(shared.clone()), json);
    let code = run_into(command, &mut out).unwrap();
    let bytes = shared.0.borrow().clone();
    (String::from_utf8(bytes).unwrap(), code)
}

fn holds(text: &str, line: &[&str]) -> bool {
    text.lines().any(|found| line.iter().all(|part| found.contains(part)))
}

#[test]
fn a_partition_is_told_line_by_line() {
    let partition = Partition::new("t-0");
    let (text, code) = partition.dump(false);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("batch ")).count(), 3, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("  record ")).count(), 6, "{text}");
    for line in [
        &["batch ", "first=2 ", "last=3 ", "records=2 ", "epoch=1 ", "codec=lz4 "][..],
        &["batch ", "first=4 ", "producer=9 ", "producer_epoch=0 ", "sequence=0 "],
        &["record ", "offset=2 ", "key=\"key\"", "value=\"some value\""],
        &["record ", "offset=3 ", "key=null", "value=b\"\\xff\\x00\""],
        &["index ", "at=0 ", "offset=3 "],
        &["time ", "time=11 ", "offset=3"],
        &["producer ", "last_sequence=1 ", "last_offset=5 "],
        &["epoch ", "epoch=1 ", "start=0"],
    ] {
        assert!(holds(&text, line), "{line:?} in\n{text}");
    }
    let (json, _) = partition.dump(true);
    assert_eq!(json.lines().count(), text.lines().count());
    for line in json.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    assert!(
        holds(&json, &["\"line\":\"record\"", "\"offset\":3,", "\"value\":{\"hex\":\"ff00\"}"]),
        "{json}"
    );
    let (text, code) = partition.verify();
    assert_eq!(code, 0, "{text}");
    assert!(holds(&text, &["logs=1 ", "segments=1 ", "batches=3 ", "faults=0"]), "{text}");
}

#[test]
fn whatever_byte_is_wrong_it_is_a_line_and_no_panic() {
    let partition = Partition::new("__consumer_offsets-0");
    for path in partition.files() {
        let good = fs::read(&path).unwrap();
        let mut silent = 0;
        for at in 0..good.len() {
            for flip in [0x01, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                fs::write(&path, &bad).unwrap();
                partition.dump(false);
                let (text, code) = partition.verify();
                assert_eq!(code == 0, holds(&text, &["faults=0"]), "{text}");
                silent += u32::from(code == 0);
            }
        }
        fs::write(&path, &good).unwrap();
        // No checksum guards leader epochs (4 bytes a batch, flipped twice), the last batch's offset, index entries that point
        // at the right batch, and texts; the rest must show.
        let name = name_of(&path);
        let unguarded = match Path::new(&name).extension().and_then(|extension| extension.to_str()) {
            Some("log") => 3 * 8 + 8,
            Some("snapshot") => 0,
            _ => continue,
        };
        assert!(silent <= unguarded, "{name}: {silent}");
    }
}

#[test]
fn damage_is_told_with_its_place() {
    let partition = Partition::new("t-0");
    let path = partition.0.join("00000000000000000000.log");
    let mut log = fs::read(&path).unwrap();
    let second = 12 + i32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
    log[second + 65] ^= 4;
    fs::write(&path, &log).unwrap();
    let (text, code) = partition.verify();
    assert_eq!(code, 1);
    assert!(
        holds(&text, &["fault ", "00000000000000000000.log ", &format!("position={second} "), "CRC"]),
        "{text}"
    );
    log[second + 65] ^= 4;
    fs::write(&path, &log[..second]).unwrap();
    let (text, _) = partition.verify();
    assert!(holds(&text, &["fault ", ".index ", "position=0 ", "beyond the last batch"]), "{text}");
}

#[test]
fn names_that_tell_nothing_are_refused() {
    let partition = Partition::new("t-0");
    let path = partition.0.join("notes.txt");
    fs::write(&path, "x").unwrap();
    let mut out = Out::new(Box::new(io::sink()), false);
    let args = DumpArgs { files: vec![path], records: false, content: None, bytes_max: 0, json: false };
    assert!(matches!(run_into(&LogCommand::Dump(args), &mut out), Err(Failure::Unknown { .. })));
    let directory = partition.0.parent().unwrap().join("empty");
    fs::create_dir(&directory).unwrap();
    let args = VerifyArgs { directory, json: false };
    assert!(matches!(run_into(&LogCommand::Verify(args), &mut out), Err(Failure::Unknown { .. })));
}
