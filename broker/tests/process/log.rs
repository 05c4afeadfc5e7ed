//! `slipring log`: what a real broker wrote is told and found good, damage is named with its place, and a running broker's
//! directory is left alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use slipring_protocol::batch::{BatchBuilder, Compression};
use slipring_protocol::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::client::{connect, create_topic, produce, produce_batch};
use crate::support::{Launch, TempDir, field};

fn log(words: &[&str], path: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipring"));
    let Output { status, stdout, stderr } = command.arg("log").args(words).arg(path).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn holds(text: &str, line: &[&str]) -> bool {
    text.lines().any(|found| line.iter().all(|part| found.contains(part)))
}

#[test]
fn what_a_broker_wrote_is_told_and_damage_is_found() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let mut broker = Launch::new(dir.path()).data(&data).start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 1);
    produce(&mut client, "t", 0, b"plain");
    let mut idempotent = BatchBuilder::new();
    idempotent.producer(ProducerId(0), ProducerEpoch(0), Sequence(0));
    idempotent.append(TimestampMs(2_000), Some(b"k"), Some(b"idempotent"));
    produce_batch(&mut client, "t", 0, idempotent.build());
    let mut compressed = BatchBuilder::new();
    compressed.compression(Compression::Zstd).append(TimestampMs(3_000), None, Some(b"compressed"));
    produce_batch(&mut client, "t", 0, compressed.build());

    let (code, _, errors) = log(&["verify"], &data);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("is in use by process") && errors.lines().count() == 1, "{errors}");
    assert!(broker.stop().0.success());

    let partition = data.join("t-0");
    let (code, text, errors) = log(&["dump", "--records"], &partition);
    assert_eq!(code, Some(0), "{text}{errors}");
    for line in [
        &["batch ", "first=0 ", "codec=none "][..],
        &["record ", "offset=0 ", "value=\"plain\""],
        &["batch ", "first=1 ", "producer=0 ", "sequence=0 "],
        &["record ", "offset=1 ", "key=\"k\" ", "value=\"idempotent\""],
        &["batch ", "first=2 ", "codec=zstd "],
        &["record ", "offset=2 ", "value=\"compressed\""],
        &["producer ", "last_offset=1 "],
    ] {
        assert!(holds(&text, line), "{line:?} in\n{text}");
    }
    let (_, text, _) = log(&["dump", "--records"], &data.join("__cluster_metadata-0"));
    assert!(holds(&text, &["type=TOPIC_RECORD ", "\\\"t\\\""]), "{text}");
    let (code, text, errors) = log(&["verify"], &data);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(holds(&text, &["verified ", "unsettled=0 ", "faults=0"]), "{text}");

    let segment = partition.join("00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let second = 12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize;
    bytes[second + 70] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (code, text, _) = log(&["verify", "--json"], &data);
    assert_eq!(code, Some(1), "{text}");
    let place = format!("\"position\":{second},");
    assert!(holds(&text, &["\"line\":\"fault\"", "t-0/00000000000000000000.log", &place, "CRC"]), "{text}");
}

#[test]
fn after_a_kill_nothing_is_taken_for_damage() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let broker = Launch::new(dir.path()).data(&data).args(&["--cores", "1"]).start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 1);
    for _ in 0..20 {
        produce(&mut client, "t", 0, &[b'x'; 1_000]);
    }
    broker.kill();
    let (code, text, errors) = log(&["verify"], &data);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(holds(&text, &["replay ", "slipring-journal-0 "]), "{text}");

    let journal = data.join("slipring-journal-0");
    let (code, text, errors) = log(&["dump", "--records"], &journal);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(holds(&text, &["super ", "state=active"]), "{text}");
    assert!(holds(&text, &["entry ", "kind=fragment ", "end=20 "]), "{text}");
    // A commit that later ones vouch for.
    let commit = text.lines().find(|line| line.starts_with("commit ") && line.contains("run=this ")).unwrap();
    let position: usize = field(commit, "commit ", "position=").parse().unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[position + 130] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let (code, text, _) = log(&["verify"], &data);
    assert_eq!(code, Some(1), "{text}");
    let place = format!("position={position} ");
    assert!(holds(&text, &["fault ", "slipring-journal-0 ", &place, "does not read"]), "{text}");
}
