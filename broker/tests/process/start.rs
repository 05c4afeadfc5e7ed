//! What keeps a broker from starting is told in one line that says what to do.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;

use crate::client::{connect, create_topic, is_served, produce};
use crate::support::{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, Launch, TempDir, field, taken_port};

fn assert_tells(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "no {word} in {line}");
    }
}

#[test]
fn io_uring_is_forbidden_or_missing() {
    let dir = TempDir::new();
    let line = Launch::new(dir.path()).without_io_uring(libc::EPERM).refuse();
    assert_tells(&line, &["io_uring is forbidden here (EPERM)"]);
    let line = Launch::new(dir.path()).without_io_uring(libc::ENOSYS).refuse();
    assert_tells(&line, &["no io_uring (ENOSYS)", "Linux"]);
}

#[test]
fn a_data_directory_must_be_writable() {
    let dir = TempDir::new();
    let locked = dir.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    let refuse = |data: &std::path::Path| {
        let launch = Launch::new(dir.path()).without(&[CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH]).data(data);
        launch.refuse()
    };
    assert_tells(&refuse(&locked), &["locked is not readable and writable", "Permission denied", "log.dirs"]);
    assert_tells(&refuse(&locked.join("new")), &["cannot create data directory", "log.dirs"]);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_tells(&refuse(&file), &["file is not a directory", "log.dirs"]);
}

#[test]
fn a_data_directory_has_one_broker() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let broker = Launch::new(dir.path()).data(&data).start();
    let line = Launch::new(dir.path()).data(&data).refuse();
    assert_tells(&line, &[&format!("in use by process {} (slipring)", broker.process.id()), "stop it first"]);
    // Nothing of that disturbed the one that runs.
    assert!(is_served(&mut connect(broker.client)));
}

#[test]
fn a_data_directory_of_others_is_left_alone() {
    let dir = TempDir::new();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    for data in [&ours, &theirs] {
        let mut broker = Launch::new(dir.path()).data(data).args(&["--cores", "1"]).start();
        assert!(broker.stop().0.success());
    }
    let both = format!("log.dirs={},{}", ours.display(), theirs.display());
    let line = Launch::new(dir.path()).set(&both).refuse();
    assert_tells(&line, &["theirs belongs to cluster", "this broker to"]);
    let line = Launch::new(dir.path()).data(&ours).set("node.id=2").refuse();
    assert_tells(&line, &["belongs to node 1, this broker is node 2", "node.id=1"]);
}

#[test]
fn a_taken_port_is_told() {
    let dir = TempDir::new();
    let (_holder, taken) = taken_port();
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    let line = Launch::new(dir.path()).listen(taken, any).refuse();
    assert_tells(&line, &["can't listen on", &taken.to_string(), "another process has the port"]);
    let line = Launch::new(dir.path()).listen(any, taken).refuse();
    assert_tells(&line, &["can't listen on", &taken.to_string(), "slipring.metrics.listener"]);
    // Nothing was touched before.
    assert!(!dir.path().join("data").exists());
    let elsewhere = "192.0.2.1:0".parse().unwrap();
    let line = Launch::new(dir.path()).listen(elsewhere, any).refuse();
    assert_tells(&line, &["192.0.2.1:0", "no interface of this host has the address"]);
}

#[test]
fn a_wrong_configuration_is_told_with_its_place() {
    let dir = TempDir::new();
    let file = dir.path().join("server.properties");
    let name = file.to_str().unwrap();
    let line = Launch::new(dir.path()).args(&["--config", name]).refuse();
    assert_tells(&line, &["cannot read the configuration file", "server.properties"]);
    fs::write(&file, "# a comment\nnum.partitions=many\n").unwrap();
    let line = Launch::new(dir.path()).args(&["--config", name]).refuse();
    assert_tells(&line, &["server.properties:2", "many", "num.partitions", "allowed"]);
    let line = Launch::new(dir.path()).set("log.segment.bytes=-1").refuse();
    assert_tells(&line, &["--set", "log.segment.bytes", "allowed"]);
    let status = Launch::new(dir.path()).args(&["--no-such-option"]).spawn().wait();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn a_start_tells_what_it_found() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let broker = Launch::new(dir.path()).data(&data).set("num.partition=3").args(&["--cores", "1"]).start();
    let log = broker.process.log();
    assert!(!log.contains('\x1b'), "{log}");
    assert!(log.contains(" WARN ") && log.contains("unknown key num.partition is ignored"), "{log}");
    assert!(log.contains("did you mean num.partitions?"), "{log}");
    assert_eq!(field(&log, " starting ", "cores="), "1");
    assert_eq!(field(&log, " starting ", "version="), format!("{:?}", env!("CARGO_PKG_VERSION")));
    assert_eq!(field(&log, " listening ", "listener="), "\"PLAINTEXT\"");
    assert_eq!(field(&log, " data directory open ", "directory="), data.display().to_string());
    assert!(log.contains(" storage: ") || log.contains("device=\"unknown\""), "{log}");
    assert!(field(&log, " ready ", "ready_ms=").trim().parse::<u64>().unwrap() < 10_000);
    assert!(!log.contains(" ERROR "), "{log}");
}

#[test]
fn fewer_processors_than_cores_do() {
    let dir = TempDir::new();
    for (number, (launch, warns)) in [
        (Launch::new(dir.path()).on_cpus(&[0]).args(&["--cores", "2"]), true),
        (Launch::new(dir.path()).on_cpus(&[0]), false),
        (Launch::new(dir.path()).args(&["--cores", "1"]), false),
        (Launch::new(dir.path()).args(&["--cores", "5"]), true),
    ]
    .into_iter()
    .enumerate()
    {
        let broker = launch.data(&dir.path().join(number.to_string())).start();
        let log = broker.process.log();
        assert_eq!(log.contains("more cores asked for than this process may use"), warns, "{log}");
        let mut client = connect(broker.client);
        create_topic(&mut client, "t", 5);
        for partition in 0..5 {
            assert_eq!(produce(&mut client, "t", partition, b"x"), 0);
        }
    }
}
