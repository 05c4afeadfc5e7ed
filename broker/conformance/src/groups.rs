//! Groups by stock clients: two members of librdkafka share a topic and part again, in both group protocols.

use std::fs::File;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::clients::{Client, Installed};
use crate::process::Bounded;
use crate::say;
use crate::session::connection::Connection;
use crate::target::{Launcher, TargetKind, tail};
use crate::topics;

/// What to run.
pub(crate) struct Settings {
    pub(crate) launcher: Launcher,
    pub(crate) target: TargetKind,
}

/// Protocol, and whether members subscribe by a regular expression.
const CASES: [(&str, bool); 3] = [("classic", false), ("consumer", false), ("consumer", true)];
const PARTITIONS: i32 = 6;
/// A member that hears of a rebalance by its next heartbeat hears soon.
const BROKER_SETTINGS: [(&str, &str); 4] = [
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.heartbeat.interval.ms", "500"),
    ("group.consumer.assignment.interval.ms", "0"),
];
const CLIENT_LIMIT: Duration = Duration::from_secs(150);

/// Runs the cases; true when all went well, or, outside CI, when the client is not installed.
///
/// # Errors
/// When the broker does not start.
pub(crate) fn run(settings: &Settings) -> io::Result<bool> {
    let installed = Installed { root: settings.launcher.root.clone() };
    if !installed.has(Client::Librdkafka) {
        say(format_args!("skip groups: librdkafka is not installed"));
        return Ok(std::env::var("CI").is_err());
    }
    let broker = settings.launcher.start(settings.target, "groups", &BROKER_SETTINGS)?;
    let logs = settings.launcher.work.join("clients");
    std::fs::create_dir_all(&logs)?;
    let mut wrong = 0;
    for (protocol, is_regex) in CASES {
        let name = format!("groups-{protocol}{}", if is_regex { "-regex" } else { "" });
        let mut connection = Connection::new(broker.address);
        topics::create(&mut connection, &name, PARTITIONS, &json!([])).map_err(io::Error::other)?;
        let errors = logs.join(format!("{name}.err"));
        let mut command = Command::new(installed.root.join(".cache/clients/python/bin/python"));
        command.arg("-B").arg(installed.root.join("broker/conformance/clients/python/librdkafka_group.py"));
        command.args(["--bootstrap", &broker.address.to_string(), "--topic", &name, "--group", &name]);
        command.args(["--partitions", &PARTITIONS.to_string(), "--protocol", protocol]);
        if is_regex {
            command.arg("--regex");
        }
        command.stdin(Stdio::null()).stdout(File::create(logs.join(format!("{name}.out")))?);
        let start = Instant::now();
        let status = Bounded::spawn(command, &errors, CLIENT_LIMIT)?.wait()?;
        let seconds = start.elapsed().as_secs_f64();
        if status.success() {
            say(format_args!("ok   {name}: {seconds:.1} s"));
        } else {
            let out = tail(&logs.join(format!("{name}.out")));
            say(format_args!("FAIL {name}: {status}\n{out}\n{}", tail(&errors)));
            wrong += 1;
        }
    }
    broker.stop();
    Ok(wrong == 0)
}
