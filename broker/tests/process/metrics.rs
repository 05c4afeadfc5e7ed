//! `/metrics` and `/health`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::client::{begin_long_poll, connect, create_topic, is_served, produce, read_back};
use crate::support::{Launch, PATIENCE, TempDir, get, taken_port, until};

/// Name, labels, value.
pub type Sample = (String, String, f64);

/// Reads Prometheus' text format: the type of each family, and its samples as they stand there.
pub fn parse(text: &str) -> (BTreeMap<String, String>, Vec<Sample>) {
    let mut types = BTreeMap::new();
    let mut samples = Vec::new();
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(helped.insert(help.split_once(' ').unwrap().0.to_owned()), "twice: {line}");
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series
                .split_once('{')
                .map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').unwrap()));
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                let family = name.strip_suffix(end)?;
                types.contains_key(family).then_some(family)
            });
            assert!(types.contains_key(family.unwrap_or(name)), "no type before {line}");
            samples.push((name.to_owned(), labels.to_owned(), value.parse().unwrap()));
        }
    }
    (types, samples)
}

fn assert_histograms_add_up(samples: &[Sample]) {
    let count_of = |name: &str, labels: &str| {
        let found = samples.iter().find(|(other, of, _)| other == name && of == labels);
        found.map(|(_, _, value)| *value)
    };
    for (name, labels, value) in samples {
        let Some(family) = name.strip_suffix("_bucket") else { continue };
        let (others, le) = labels.rsplit_once("le=").unwrap();
        if le == "\"+Inf\"" {
            let others = others.trim_end_matches(',');
            assert_eq!(count_of(&format!("{family}_count"), others), Some(*value), "{name} {labels}");
        }
    }
}

#[test]
fn the_usual_quantities_are_there() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).args(&["--cores", "2"]).start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "orders", 2);
    for number in 0..10 {
        produce(&mut client, "orders", number % 2, &[7; 5_000]);
    }
    assert_eq!(read_back(&mut client, "orders", 0, 5).len(), 5);
    let mut waiting = connect(broker.client);
    begin_long_poll(&mut waiting, "orders", 5);
    let sum = |samples: &[Sample], name: &str, label: &str| -> f64 {
        let of = samples.iter().filter(|(other, labels, _)| other == name && labels.contains(label));
        of.map(|(_, _, value)| value).sum()
    };
    let look = || {
        let answer = broker.get("/metrics");
        let (_, text) = answer.split_once("\r\n\r\n").unwrap();
        parse(text)
    };
    // Levels are looked up every two seconds.
    until("the levels are up to date", || {
        let (_, samples) = look();
        sum(&samples, "slipring_topic_log_bytes", "orders") >= 50_000.0
            && sum(&samples, "slipring_fetches_waiting", "") >= 1.0
    });
    let (types, samples) = look();
    assert_histograms_add_up(&samples);
    let orders = r#"topic="orders""#;
    assert_eq!(sum(&samples, "slipring_topic_messages_in_total", orders), 10.0);
    assert!(sum(&samples, "slipring_topic_bytes_in_total", orders) > 50_000.0);
    assert!(sum(&samples, "slipring_topic_bytes_out_total", orders) > 25_000.0);
    assert_eq!(sum(&samples, "slipring_requests_total", r#"api="Produce""#), 10.0);
    assert_eq!(sum(&samples, "slipring_request_seconds_count", r#"api="Produce""#), 10.0);
    assert!(sum(&samples, "slipring_request_seconds_count", r#"api="Fetch""#) >= 1.0);
    assert!(sum(&samples, "slipring_commit_seconds_count", "") >= 10.0);
    assert_eq!(sum(&samples, "slipring_connections", ""), 2.0);
    assert_eq!(sum(&samples, "slipring_connections_accepted_total", ""), 2.0);
    assert!(sum(&samples, "slipring_journal_bytes", "") >= 30e6);
    assert!(sum(&samples, "slipring_mail_messages_total", "") >= 5.0);
    assert!(sum(&samples, "slipring_core_held_seconds_count", r#"core="0""#) >= 10.0);
    assert!(sum(&samples, "slipring_core_held_seconds_count", r#"core="1""#) >= 10.0);
    assert!(sum(&samples, "slipring_thread_cpu_seconds_total", r#"thread="core-1""#) > 0.0);
    assert!(sum(&samples, "process_resident_memory_bytes", "") > 1e6);
    assert!(sum(&samples, "process_cpu_seconds_total", "") > 0.0);
    assert!(sum(&samples, "process_open_fds", "") > 10.0);
    assert_eq!(sum(&samples, "slipring_build_info", env!("CARGO_PKG_VERSION")), 1.0);
    assert!(sum(&samples, "slipring_start_seconds", "") > 0.0);
    assert_eq!(sum(&samples, "slipring_fenced_logs_total", ""), 0.0);
    assert_eq!(types["process_cpu_seconds_total"], "counter");
    assert_eq!(types["slipring_core_held_seconds"], "histogram");
    drop(waiting);
}

#[test]
fn health_tells_when_requests_are_served() {
    let dir = TempDir::new();
    let ports = (taken_port(), taken_port());
    let (client, metrics) = (ports.0.1, ports.1.1);
    drop(ports);
    let launch = Launch::new(dir.path()).data(&dir.path().join("data")).listen(client, metrics);
    let mut process = launch.spawn();
    let began = Instant::now();
    let mut ready = false;
    while !ready && began.elapsed() < PATIENCE {
        match get(metrics, "/health").map(|answer| answer[..12].to_owned()) {
            Ok(answer) if answer == "HTTP/1.1 503" => {}
            Ok(answer) => {
                assert_eq!(answer, "HTTP/1.1 200");
                ready = true;
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
        }
    }
    assert!(ready);
    assert!(is_served(&mut connect(client)));
    // Cores that are held keep it stopping, so that it can be seen.
    process.hold_threads("core-");
    process.signal(libc::SIGTERM);
    process.wait_for("told to stop");
    until("not ready any more", || get(metrics, "/health").unwrap().starts_with("HTTP/1.1 503"));
}
