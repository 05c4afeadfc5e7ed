//! Limits of the process: too low ones are refused at the start, low ones bound connections and nothing else.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use slipring_protocol::client::Client;

use crate::client::{connect, create_topic, is_served, produce};
use crate::support::{CAP_IPC_LOCK, CAP_SYS_RESOURCE, Launch, TempDir, until};

/// Below root's own limits. Only one test may also do without `CAP_IPC_LOCK`: the kernel counts what all processes of a user
/// have locked, and others running at the same time would take from its share.
const LIMITED: &[u32] = &[CAP_SYS_RESOURCE];

#[test]
fn lockable_memory() {
    let dir = TempDir::new();
    let with = |bytes, cores| {
        let launch = Launch::new(dir.path())
            .without(&[CAP_IPC_LOCK, CAP_SYS_RESOURCE])
            .limit(libc::RLIMIT_MEMLOCK, bytes);
        launch.data(&dir.path().join("data")).args(&["--cores", cores])
    };
    for (bytes, cores) in [(64 << 10, "1"), (1 << 20, "2")] {
        let line = with(bytes, cores).refuse();
        assert!(line.contains("may be locked (ulimit -l)") && line.contains("LimitMEMLOCK"), "{line}");
    }
    // The kernel counts all processes of a user, so more than one core needs can't be pinned down here.
    let mut broker = with(4 << 20, "1").start();
    assert!(is_served(&mut connect(broker.client)));
    assert!(broker.stop().0.success());
}

#[test]
fn too_few_open_files() {
    let dir = TempDir::new();
    let launch = Launch::new(dir.path()).without(LIMITED).limit(libc::RLIMIT_NOFILE, 100);
    let line = launch.args(&["--cores", "1"]).refuse();
    assert!(line.contains("only 100 files may be open") && line.contains("LimitNOFILE"), "{line}");
}

#[test]
fn connections_leave_files_for_the_rest() {
    let dir = TempDir::new();
    let launch = Launch::new(dir.path()).without(LIMITED).limit(libc::RLIMIT_NOFILE, 400);
    let broker = launch.data(&dir.path().join("data")).args(&["--cores", "1"]).start();
    let log = broker.process.log();
    assert!(log.contains("few files may be open") && log.contains("connections_max=250"), "{log}");
    let mut client = connect(broker.client);
    let crowd: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(broker.client).unwrap()).collect();
    until("the crowd is refused", || broker.metric("slipring_connections_refused_total") >= 151.0);
    assert_eq!(broker.metric(r#"slipring_connections{core="0"}"#), 250.0);
    // New topics need descriptors, and get them.
    create_topic(&mut client, "t", 20);
    for partition in 0..20 {
        assert_eq!(produce(&mut client, "t", partition, b"x"), 0);
    }
    drop(crowd);
    until("places are free again", || is_served(&mut connect(broker.client)));
}

#[test]
fn no_descriptor_for_a_connection() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).args(&["--cores", "1"]).start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 1);
    assert!(is_served(&mut client));
    // From now on there are five more.
    let open = std::fs::read_dir(format!("/proc/{}/fd", broker.process.id())).unwrap().count() as u64;
    limit_open_files(broker.process.id(), open + 5);
    let mut crowd: Vec<Client> = (0..40).map(|_| connect(broker.client)).collect();
    until("descriptors are out", || broker.process.log().contains("can't accept connections for now"));
    let began = Instant::now();
    for value in [b"a", b"b", b"c"] {
        produce(&mut client, "t", 0, value);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "others are served meanwhile");
    // The first of the crowd got in; the last waits and gets in when there is room.
    assert!(is_served(&mut crowd[0]));
    let mut last = crowd.pop().unwrap();
    drop(crowd);
    assert!(is_served(&mut last));
    assert_eq!(broker.process.log().matches("can't accept connections").count(), 1, "told once");
}

fn limit_open_files(process: u32, files: u64) {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    let process = i32::try_from(process).unwrap();
    // SAFETY: the new limit is only read, the old one is not asked for.
    let outcome =
        unsafe { libc::prlimit(process, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(outcome, 0);
}
