//! SIGTERM stops cleanly, in less than a second when there is nothing to do.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use slipring_protocol::client::Client;

use crate::client::{begin_long_poll, connect, create_topic, is_served, produce, read_back};
use crate::support::{Broker, Launch, TempDir, field};

/// On a machine that is busy with other tests, one slow flush is no failure: the best of three counts.
fn assert_stops_fast(dir: &TempDir, mut prepare: impl FnMut(&mut Broker) -> Vec<Client>) {
    let mut took = Vec::new();
    for _ in 0..3 {
        let mut broker = Launch::new(dir.path()).data(&dir.path().join("data")).start();
        let _clients = prepare(&mut broker);
        let (status, time) = broker.stop();
        let log = broker.process.log();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.lines().last().unwrap().contains("stopped cleanly"), "{log}");
        if time < Duration::from_secs(1) {
            return;
        }
        took.push(time);
    }
    panic!("a stop takes {took:?}");
}

#[test]
fn idle() {
    let dir = TempDir::new();
    assert_stops_fast(&dir, |_| Vec::new());
    // The next start knows.
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).start();
    assert_eq!(field(&broker.process.log(), " data directory open ", "clean="), "true");
    broker.kill();
    let mut broker = Launch::new(dir.path()).data(&dir.path().join("data")).start();
    assert_eq!(field(&broker.process.log(), " data directory open ", "clean="), "false");
    broker.process.signal(libc::SIGINT);
    assert!(broker.process.wait().success(), "SIGINT is as good");
}

#[test]
fn with_idle_connections_and_a_waiting_consumer() {
    let dir = TempDir::new();
    assert_stops_fast(&dir, |broker| {
        let mut clients: Vec<Client> = (0..100).map(|_| connect(broker.client)).collect();
        assert!(clients.iter_mut().all(is_served));
        if broker.process.log().contains("clean=false") {
            create_topic(&mut clients[0], "t", 1);
        }
        let end = produce(&mut clients[0], "t", 0, b"x") + 1;
        begin_long_poll(&mut clients[1], "t", end);
        clients
    });
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).start();
    assert!(!read_back(&mut connect(broker.client), "t", 0, 1).is_empty());
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = TempDir::new();
    let mut broker = Launch::new(dir.path()).data(&dir.path().join("data")).args(&["--cores", "1"]).start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 1);
    produce(&mut client, "t", 0, b"kept");
    broker.process.hold_threads("core-");
    broker.process.signal(libc::SIGTERM);
    broker.process.wait_for("told to stop");
    // Signals that come together are one wish.
    broker.process.signal(libc::SIGTERM);
    std::thread::sleep(Duration::from_millis(700));
    assert!(broker.process.is_running());
    // On a busy machine half a second may take longer, but not the time after which a stop gives up.
    let asked = Instant::now();
    while broker.process.is_running() && asked.elapsed() < Duration::from_secs(20) {
        broker.process.signal(libc::SIGTERM);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(broker.process.wait().signal(), Some(libc::SIGTERM));
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).start();
    assert_eq!(read_back(&mut connect(broker.client), "t", 0, 1), [b"kept"]);
}
