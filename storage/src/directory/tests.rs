//! Opening, refusing and leaving a data directory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU32;

use slipring_protocol::ids::{Offset, PartitionIndex, TopicPartition};

use super::*;
use crate::disk::{SimDisk, UringDisk, block_on};

/// Names the directory to the child process of [`another_process_is_named`].
const CHILD_DIRECTORY: &str = "SLIPRING_TEST_LOCK_DIRECTORY";

/// A directory of this test alone, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("slipring-directory-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn real() -> Disk {
    Disk::Uring(UringDisk::new(8).expect("io_uring"))
}

fn expectation() -> Expectation {
    Expectation {
        cluster_id: None,
        node_id: BrokerId(1),
        new_cluster_id: "new-cluster".to_owned(),
        new_directory_id: Uuid::from_u128(0x1234),
    }
}

fn open(disk: &Disk, path: &Path, expectation: &Expectation) -> Result<DataDirectory, DirectoryError> {
    block_on(disk, DataDirectory::open(disk, path, expectation))
}

/// The one line an operator reads.
fn refusal(result: Result<DataDirectory, DirectoryError>) -> String {
    let text = result.expect_err("refused").to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

#[test]
fn a_missing_directory_is_made_and_keeps_its_ids() {
    let scratch = Scratch::new();
    let path = scratch.0.join("a/b");
    let disk = real();
    let first = open(&disk, &path, &expectation()).expect("new");
    assert_eq!((first.cluster_id(), first.node_id()), ("new-cluster", BrokerId(1)));
    assert!(!first.is_clean());
    let written = fs::read_to_string(path.join("meta.properties")).expect("written");
    assert_eq!(
        written,
        "#\ncluster.id=new-cluster\ndirectory.id=AAAAAAAAAAAAAAAAAAASNA\nnode.id=1\nversion=1\n"
    );
    drop(first);
    let other = Expectation { new_directory_id: Uuid::from_u128(9), ..expectation() };
    let again = open(&disk, &path, &other).expect("there");
    assert_eq!((again.directory_id(), again.cluster_id()), (Uuid::from_u128(0x1234), "new-cluster"));
}

#[test]
fn foreign_directories_are_refused() {
    let scratch = Scratch::new();
    let disk = real();
    open(&disk, &scratch.0, &expectation()).expect("new");
    let cluster = Expectation { cluster_id: Some("mine".to_owned()), ..expectation() };
    let text = refusal(open(&disk, &scratch.0, &cluster));
    assert!(text.contains("belongs to cluster new-cluster, this broker to mine"), "{text}");
    let node = Expectation { node_id: BrokerId(2), ..expectation() };
    let text = refusal(open(&disk, &scratch.0, &node));
    assert!(text.contains("belongs to node 1, this broker is node 2"), "{text}");
    // A refusal leaves no lock behind.
    open(&disk, &scratch.0, &expectation()).expect("still ours");
}

#[test]
fn damaged_or_lost_meta_properties_are_refused() {
    let scratch = Scratch::new();
    let disk = real();
    let file = scratch.0.join("meta.properties");
    for (text, part) in [
        ("version=1\nnode.id=1\n", "cluster.id is missing"),
        ("version=1\ncluster.id=c\n", "node.id is missing"),
        ("version=1\ncluster.id=c\nnode.id=one\n", "node.id=one does not read"),
        ("version=0\ncluster.id=c\nbroker.id=1\n", "version 0"),
        ("version=1\ncluster.id=c\nnode.id=1\ndirectory.id=??\n", "directory.id=??"),
        ("\0\0\0\0", "version is missing"),
    ] {
        fs::write(&file, text).expect("writable");
        let refused = refusal(open(&disk, &scratch.0, &expectation()));
        assert!(refused.contains("is damaged") && refused.contains(part), "{refused}");
    }
    fs::write(&file, b"\xff\xfe").expect("writable");
    assert!(refusal(open(&disk, &scratch.0, &expectation())).contains("not a text file"));

    fs::remove_file(&file).expect("removable");
    fs::create_dir(scratch.0.join("orders-3")).expect("writable");
    let refused = refusal(open(&disk, &scratch.0, &expectation()));
    assert!(refused.contains("holds logs (orders-3) but no meta.properties"), "{refused}");
}

#[test]
fn a_file_in_the_way_is_named() {
    let scratch = Scratch::new();
    let path = scratch.0.join("data");
    fs::write(&path, "x").expect("writable");
    let disk = real();
    assert!(refusal(open(&disk, &path, &expectation())).contains("is not a directory"));
    assert!(refusal(open(&disk, &path.join("below"), &expectation())).contains("is not a directory"));
}

#[test]
fn the_same_process_cannot_open_a_directory_twice() {
    let scratch = Scratch::new();
    let disk = real();
    let held = open(&disk, &scratch.0, &expectation()).expect("new");
    let text = refusal(open(&disk, &scratch.0.join("."), &expectation()));
    assert!(text.contains("in use by this broker already"), "{text}");
    drop(held);
    open(&disk, &scratch.0, &expectation()).expect("let go");
}

/// The child of [`another_process_is_named`]: holds the lock until its input ends. Does nothing in an ordinary run.
#[test]
fn child_holds_the_lock() {
    let Some(path) = std::env::var_os(CHILD_DIRECTORY) else { return };
    let disk = real();
    let held = open(&disk, Path::new(&path), &expectation()).expect("the parent made it");
    fs::write(Path::new(&path).join("held"), "").expect("writable");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent's pipe");
    drop(held);
}

#[test]
fn another_process_is_named() {
    let scratch = Scratch::new();
    let mut child = Command::new(std::env::current_exe().expect("the test binary"))
        .args(["--exact", "directory::tests::child_holds_the_lock", "--nocapture"])
        .env(CHILD_DIRECTORY, &scratch.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary runs");
    let disk = real();
    // The child has the lock once the file is there; its first lines of output come before.
    let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
    while !scratch.0.join("held").exists() && child.try_wait().expect("our child").is_none() {
        std::thread::yield_now();
    }
    let text = refusal(open(&disk, &scratch.0, &expectation()));
    assert!(text.contains(&format!("in use by process {} (", child.id())), "{text}");
    drop(child.stdin.take());
    while output.next().is_some() {}
    assert!(child.wait().expect("our child").success());
    open(&disk, &scratch.0, &expectation()).expect("let go");
}

#[test]
fn the_clean_marker_comes_and_goes() {
    let scratch = Scratch::new();
    let disk = real();
    let marker = scratch.0.join(".kafka_cleanshutdown");
    let directory = open(&disk, &scratch.0, &expectation()).expect("new");
    block_on(&disk, directory.mark_clean(&disk, 42)).expect("writable");
    assert_eq!(fs::read_to_string(&marker).expect("written"), "{\"version\":0,\"brokerEpoch\":42}");
    drop(directory);

    let directory = open(&disk, &scratch.0, &expectation()).expect("there");
    assert!(directory.is_clean());
    assert_eq!(directory.clean_broker_epoch(), Some(42));
    block_on(&disk, directory.clear_clean(&disk)).expect("writable");
    assert!(!marker.exists() && directory.is_clean());
    drop(directory);

    assert!(!open(&disk, &scratch.0, &expectation()).expect("there").is_clean());
    fs::write(&marker, "").expect("writable");
    let directory = open(&disk, &scratch.0, &expectation()).expect("there");
    assert!(directory.is_clean(), "old brokers left it empty");
    assert_eq!(directory.clean_broker_epoch(), None);
}

#[test]
fn a_scan_tells_partitions_from_the_rest() {
    let scratch = Scratch::new();
    let disk = real();
    let directory = open(&disk, &scratch.0, &expectation()).expect("new");
    for name in [
        "a-b-0",
        "a-b-1",
        "broken-0",
        "__cluster_metadata-0",
        "old-0.0123456789abcdef0123456789abcdef-delete",
        "old-1.0123456789abcdef0123456789abcdef-stray",
        "old-2.0123456789abcdef0123456789abcdef-future",
        "lost+found",
        "remote-log-index-cache",
    ] {
        fs::create_dir(scratch.0.join(name)).expect("writable");
    }
    let metadata = |name: &str| scratch.0.join(name).join("partition.metadata");
    fs::write(metadata("a-b-1"), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAASNA").expect("writable");
    fs::write(metadata("broken-0"), "version: 0\n").expect("writable");
    let found = block_on(&disk, directory.scan(&disk)).expect("readable");
    let partitions: Vec<_> = found
        .partitions
        .iter()
        .map(|found| {
            (found.name.as_str(), found.partition.to_string(), found.topic_id.map(|id| id.0.as_u128()))
        })
        .collect();
    assert_eq!(
        partitions,
        [("a-b-0", "a-b-0".to_owned(), None), ("a-b-1", "a-b-1".to_owned(), Some(0x1234))]
    );
    assert_eq!(found.damaged.iter().map(|damaged| damaged.name.as_str()).collect::<Vec<_>>(), ["broken-0"]);
    assert!(found.metadata_log);
    assert_eq!((found.deleted.len(), found.stray.len(), found.future.len()), (1, 1, 1));
    assert_eq!(found.unknown, ["lost+found"]);
}

#[test]
fn a_simulated_directory_survives_a_crash_whole() {
    let disk = SimDisk::new(7);
    let sim = Disk::Sim(disk.clone());
    let path = Path::new("/data/one");
    let directory = open(&sim, path, &expectation()).expect("new");
    let offsets: OffsetMap =
        [(TopicPartition { topic: "t".into(), partition: PartitionIndex(0) }, Offset(17))].into();
    block_on(&sim, directory.store_checkpoint(&sim, RootCheckpoint::LogStart, &offsets)).expect("writable");
    block_on(&sim, directory.mark_clean(&sim, 1)).expect("writable");
    block_on(&sim, directory.clear_clean(&sim)).expect("writable");
    drop(directory);
    disk.crash();
    let after = Disk::Sim(disk.reopen());
    let other = Expectation { new_directory_id: Uuid::from_u128(9), ..expectation() };
    let directory = open(&after, path, &other).expect("there");
    assert_eq!(directory.directory_id(), Uuid::from_u128(0x1234));
    assert!(!directory.is_clean());
    let read =
        block_on(&after, directory.load_checkpoint(&after, RootCheckpoint::LogStart)).expect("readable");
    assert_eq!(read, offsets);
    let missing = block_on(&after, directory.load_checkpoint(&after, RootCheckpoint::RecoveryPoint));
    assert!(missing.expect("a missing one is empty").is_empty());
}

#[test]
fn properties_read_as_java_reads_them() {
    let text = "# c\n! c\n\n  version : 1\r\ncluster.id=a\\=b\\\n   c\\u0041\nnode.id 7\ndirectory.id=AAAAAAAAAAAAAAAAAAASNA\nx\n";
    let meta = MetaProperties::decode(text.as_bytes()).expect("Java would read it");
    assert_eq!((meta.cluster_id.as_str(), meta.node_id), ("a=bcA", BrokerId(7)));
    assert_eq!(meta.directory_id, Some(Uuid::from_u128(0x1234)));
    for cluster_id in ["plain", "a=b:c#d!e\\f", " lead", "tab\tnew\nline", "ü"] {
        let meta =
            MetaProperties { cluster_id: cluster_id.to_owned(), node_id: BrokerId(0), directory_id: None };
        assert_eq!(MetaProperties::decode(&meta.encode()), Ok(meta));
    }
}

#[test]
fn random_ids_never_begin_with_a_dash() {
    for _ in 0..200 {
        assert!(!encode_uuid(random_id()).starts_with('-'));
    }
}
