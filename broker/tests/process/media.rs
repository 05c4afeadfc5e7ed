//! What data lies on: memory, overlays, a new device; and what a crash leaves there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{connect, create_topic, is_served, produce, read_back};
use crate::support::{Launch, TempDir, is_root};

const RECORDS: usize = 40;
/// More than a block, and no multiple of one.
const RECORD_BYTES: usize = 9_000;

fn record(number: usize) -> Vec<u8> {
    let mut value = format!("record {number} ").into_bytes();
    value.resize(RECORD_BYTES, number as u8);
    value
}

/// Writes, crashes, reads back, stops cleanly, reads again. Gives the log of the first start.
fn survives(launch: impl Fn() -> Launch) -> String {
    let broker = launch().args(&["--cores", "2"]).start();
    let first_log = broker.process.log();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 2);
    for number in 0..RECORDS {
        assert_eq!(produce(&mut client, "t", (number % 2) as i32, &record(number)), number as i64 / 2);
    }
    broker.kill();
    for round in 0..2 {
        let mut broker = launch().args(&["--cores", "2"]).start();
        let mut client = connect(broker.client);
        for partition in 0..2 {
            let values = read_back(&mut client, "t", partition as i32, RECORDS / 2);
            let expected = (0..RECORDS).filter(|number| number % 2 == partition).map(record);
            assert!(values.into_iter().eq(expected), "partition {partition} in round {round}");
        }
        let (status, _) = broker.stop();
        let log = broker.process.log();
        assert!(status.success() && !log.contains(" ERROR "), "{log}");
    }
    first_log
}

#[test]
fn on_a_disk() {
    let dir = TempDir::new();
    survives(|| Launch::new(dir.path()).data(&dir.path().join("data")));
}

#[test]
fn in_memory() {
    let shm = Path::new("/dev/shm");
    if !shm.is_dir() {
        eprintln!("left out: there is no /dev/shm");
        return;
    }
    let dir = TempDir::below(shm);
    let log = survives(|| Launch::new(dir.path()).data(&dir.path().join("data")));
    assert!(log.contains("kept in memory"), "{log}");
}

#[test]
fn on_an_overlay() {
    if !is_root("mounting an overlay") {
        return;
    }
    // Of memory: an overlay can't lie on another one, which is what containers have.
    let dir = TempDir::below(Path::new("/dev/shm"));
    let root = dir.path().display();
    for part in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(dir.path().join(part)).unwrap();
    }
    let mount = format!(
        "mount -t overlay overlay -o lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work {root}/merged"
    );
    let log = survives(|| Launch::in_namespace(dir.path(), &mount).data(&dir.path().join("merged/data")));
    assert!(log.contains("filesystem=\"overlay\""), "{log}");
}

/// ramfs knows no direct I/O at all. It lasts as long as its mount namespace, which a shell keeps.
#[test]
fn without_direct_io() {
    if !is_root("mounting a ramfs") {
        return;
    }
    let dir = TempDir::new();
    let at = dir.path().join("ram");
    std::fs::create_dir(&at).unwrap();
    let mount = format!("mount -t ramfs ramfs {} && echo mounted && read line", at.display());
    let mut keeper = Command::new("unshare");
    keeper.args(["--mount", "sh", "-c", &mount]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut keeper = keeper.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(keeper.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "mounted\n");
    let log = survives(|| Launch::beside(dir.path(), keeper.id()).data(&at.join("data")));
    assert!(log.contains("no direct I/O here") && log.contains("kept in memory"), "{log}");
    // The end of its input ends the shell.
    drop(keeper.stdin.take());
    keeper.wait().unwrap();
}

/// A shard whose first file on a device is empty made glommio's own files unreadable (GLOMMIO 3.7).
#[test]
fn on_a_new_device() {
    if !is_root("mounting a new file system") {
        return;
    }
    let dir = TempDir::new();
    let image = dir.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
    assert!(made.success());
    std::fs::create_dir(dir.path().join("mounted")).unwrap();
    let mount = format!("mount -o loop {} {}", image.display(), dir.path().join("mounted").display());
    let log = survives(|| Launch::in_namespace(dir.path(), &mount).data(&dir.path().join("mounted/data")));
    assert!(log.contains("filesystem=\"ext4\" device=\"loop"), "{log}");
}

/// A core that sleeps with work to do would show here: nothing happens but the ticks of the wheel.
#[test]
fn after_a_long_silence() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).args(&["--cores", "2"]).start();
    let mut clients: Vec<_> = (0..4).map(|_| connect(broker.client)).collect();
    create_topic(&mut clients[0], "t", 2);
    assert!(clients.iter_mut().all(is_served));
    std::thread::sleep(Duration::from_secs(20));
    for (number, client) in clients.iter_mut().enumerate() {
        let began = Instant::now();
        assert!(is_served(client));
        // To the own core and to the other one.
        for partition in 0..2 {
            produce(client, "t", partition, &record(number));
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
