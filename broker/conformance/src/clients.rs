//! The stock clients: how each is started, what it can do, and whether it is installed.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dataset::{Dataset, Mode};
use crate::dump::{CONSOLE_SETTINGS, DumpFormat, KCAT_FORMAT, SEPARATOR};
use crate::verify::KEY_COUNT;

/// A client library or tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Client {
    Kcat,
    /// librdkafka through confluent-kafka-python.
    Librdkafka,
    /// Kafka's console producer and console consumer.
    JavaConsole,
    /// Kafka's producer performance tool.
    JavaPerf,
    /// A program on the Java client.
    Java,
    Aiokafka,
    FranzGo,
    Sarama,
    /// Producer only: its consumer needs groups.
    Kafkajs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Acks {
    None,
    Leader,
    All,
}

/// What to produce, and how.
pub(crate) struct Production<'a> {
    pub(crate) bootstrap: SocketAddr,
    pub(crate) topic: &'a str,
    pub(crate) partitions: i32,
    pub(crate) codec: Codec,
    pub(crate) is_keyed: bool,
    pub(crate) acks: Acks,
    pub(crate) timestamp_base: i64,
}

/// Where the checkout and its installed clients are.
pub(crate) struct Installed {
    pub(crate) root: PathBuf,
}

impl Codec {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Acks {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Leader => "1",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kcat => "kcat",
            Self::Librdkafka => "librdkafka",
            Self::JavaConsole => "java-console",
            Self::JavaPerf => "java-perf",
            Self::Java => "java",
            Self::Aiokafka => "aiokafka",
            Self::FranzGo => "franz-go",
            Self::Sarama => "sarama",
            Self::Kafkajs => "kafkajs",
        })
    }
}

impl Client {
    /// What the client can produce.
    #[cfg(test)]
    pub(crate) const fn produces(self, mode: Mode, is_keyed: bool) -> bool {
        match self {
            Self::JavaPerf => matches!(mode, Mode::Counter) && !is_keyed,
            Self::JavaConsole => matches!(mode, Mode::Lines),
            _ => !matches!(mode, Mode::Counter),
        }
    }

    /// What the client can consume. The console consumer runs once per partition, so not on 64 of them.
    #[cfg(test)]
    pub(crate) const fn consumes(self, mode: Mode, partitions: i32) -> bool {
        match self {
            Self::JavaPerf | Self::Kafkajs => false,
            Self::JavaConsole => !matches!(mode, Mode::Chunks) && partitions < 64,
            _ => true,
        }
    }

    /// Whether it writes header `n` and sets timestamps when told.
    pub(crate) const fn writes_headers(self) -> bool {
        !matches!(self, Self::Kcat | Self::JavaConsole | Self::JavaPerf)
    }

    /// How it prints what it consumes.
    pub(crate) const fn dump_format(self) -> DumpFormat {
        match self {
            Self::Kcat => DumpFormat::Kcat,
            Self::JavaConsole => DumpFormat::Console,
            _ => DumpFormat::Binary,
        }
    }

    /// Whether the producer reads its records from standard input, in the form that [`feed`] writes.
    pub(crate) const fn is_fed(self) -> bool {
        matches!(self, Self::Kcat | Self::JavaConsole)
    }
}

impl Installed {
    /// Whether the client can be started.
    pub(crate) fn has(&self, client: Client) -> bool {
        let there = |path: &str| self.cache().join(path).exists();
        match client {
            Client::Kcat => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|directory| directory.join("kcat").exists())
            }
            Client::Librdkafka | Client::Aiokafka => there("python.stamp"),
            Client::JavaConsole | Client::JavaPerf | Client::Java => there("java.stamp"),
            Client::FranzGo | Client::Sarama => there("go.stamp"),
            Client::Kafkajs => there("js.stamp"),
        }
    }

    /// The command that produces the data set.
    pub(crate) fn producer(&self, client: Client, what: &Production<'_>, data: &Dataset) -> Command {
        match client {
            Client::Kcat => kcat_producer(what, data.mode),
            Client::JavaConsole => self.console_producer(what),
            Client::JavaPerf => self.perf_producer(what, data.records()),
            _ => self.program_producer(client, what, data),
        }
    }

    /// The commands that consume the whole topic, to run one after the other; `ends` are its end offsets.
    pub(crate) fn consumers(
        &self,
        client: Client,
        bootstrap: SocketAddr,
        topic: &str,
        ends: &[i64],
    ) -> Vec<Command> {
        match client {
            Client::Kcat => {
                let mut command = Command::new("kcat");
                command.args(["-C", "-e", "-q", "-o", "beginning", "-f", KCAT_FORMAT, "-t", topic, "-b"]);
                command.arg(bootstrap.to_string());
                vec![command]
            }
            Client::JavaConsole => {
                let whole = ends.iter().enumerate().filter(|(_, end)| **end > 0);
                whole
                    .map(|(partition, end)| self.console_consumer(bootstrap, topic, partition, *end))
                    .collect()
            }
            _ => {
                let mut command = self.program(client);
                command.args(["consume", "--topic", topic, "--bootstrap", &bootstrap.to_string()]);
                command.args(["--partitions", &ends.len().to_string()]);
                vec![command]
            }
        }
    }

    fn program_producer(&self, client: Client, what: &Production<'_>, data: &Dataset) -> Command {
        let mut command = self.program(client);
        command.args(["produce", "--topic", what.topic, "--bootstrap", &what.bootstrap.to_string()]);
        command.arg("--input").arg(&data.path);
        command.args(["--partitions", &what.partitions.to_string(), "--mode", data.mode.name()]);
        command.args(["--key", if what.is_keyed { "keyed" } else { "none" }, "--codec", what.codec.name()]);
        command.args(["--acks", what.acks.name(), "--timestamp-base", &what.timestamp_base.to_string()]);
        command
    }

    fn program(&self, client: Client) -> Command {
        let sources = self.root.join("broker/conformance/clients");
        match client {
            Client::Librdkafka | Client::Aiokafka => {
                let mut command = Command::new(self.cache().join("python/bin/python"));
                let name = if client == Client::Aiokafka { "aiokafka" } else { "librdkafka" };
                command.arg("-B").arg(sources.join(format!("python/{name}_client.py")));
                command
            }
            Client::FranzGo => Command::new(self.cache().join("go/franzgo")),
            Client::Sarama => Command::new(self.cache().join("go/sarama")),
            Client::Kafkajs => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", self.cache().join("js/node_modules"));
                command.env("KAFKAJS_NO_PARTITIONER_WARNING", "1");
                command.arg(sources.join("js/kafkajs_client.js"));
                command
            }
            _ => self.java(&[&self.cache().join("java")], "Client"),
        }
    }

    /// A Java class on Kafka's jars.
    fn java(&self, more: &[&Path], class: &str) -> Command {
        let mut class_path = self.cache().join("kafka/*").into_os_string();
        for path in more {
            class_path.push(":");
            class_path.push(path);
        }
        let mut logging = std::ffi::OsString::from("-Dlog4j2.configurationFile=");
        logging.push(self.root.join("broker/conformance/clients/java/log4j2.properties"));
        let mut command = Command::new("java");
        command
            .args(["-Xmx512m", "-XX:TieredStopAtLevel=1"])
            .arg(logging)
            .arg("-cp")
            .arg(class_path)
            .arg(class);
        command
    }

    fn console_producer(&self, what: &Production<'_>) -> Command {
        let mut command = self.java(&[], "org.apache.kafka.tools.ConsoleProducer");
        command.args(["--bootstrap-server", &what.bootstrap.to_string(), "--topic", what.topic]);
        command.args(["--compression-codec", what.codec.name()]);
        // The property must be told even when it is the default: the tool overrides it otherwise.
        command.args(["--request-required-acks", what.acks.name()]);
        if what.is_keyed {
            let separator = format!("key.separator={SEPARATOR}");
            command.args(["--reader-property", "parse.key=true", "--reader-property", &separator]);
        }
        command
    }

    fn perf_producer(&self, what: &Production<'_>, records: u64) -> Command {
        let mut command = self.java(&[], "org.apache.kafka.tools.ProducerPerformance");
        command.args(["--bootstrap-server", &what.bootstrap.to_string(), "--topic", what.topic]);
        command.args(["--num-records", &records.to_string(), "--throughput", "-1", "--payload-monotonic"]);
        let codec = format!("compression.type={}", what.codec.name());
        let acks = format!("acks={}", what.acks.name());
        command.args(["--command-property", &codec, "--command-property", &acks]);
        command
    }

    fn console_consumer(&self, bootstrap: SocketAddr, topic: &str, partition: usize, end: i64) -> Command {
        let mut command = self.java(&[], "org.apache.kafka.tools.consumer.ConsoleConsumer");
        command.args(["--bootstrap-server", &bootstrap.to_string(), "--topic", topic]);
        command.args(["--partition", &partition.to_string(), "--offset", "earliest"]);
        command.args(["--max-messages", &end.to_string(), "--timeout-ms", "30000"]);
        for setting in CONSOLE_SETTINGS {
            command.args(["--formatter-property", &format!("{setting}=true")]);
        }
        command.args(["--formatter-property", &format!("key.separator={SEPARATOR}")]);
        command
    }

    fn cache(&self) -> PathBuf {
        self.root.join(".cache/clients")
    }
}

fn kcat_producer(what: &Production<'_>, mode: Mode) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-P", "-t", what.topic, "-b", &what.bootstrap.to_string(), "-z", what.codec.name()]);
    command.args(["-X", &format!("acks={}", what.acks.name())]);
    command.args(["-X", &format!("enable.idempotence={}", what.acks == Acks::All)]);
    if what.acks != Acks::All {
        // Without idempotence only one request in flight keeps the order when one is sent again.
        command.args(["-X", "max.in.flight=1"]);
    }
    if what.is_keyed {
        command.args(["-K", "\\x1f"]);
    }
    if mode == Mode::Chunks {
        command.args(["-D", KCAT_DELIMITER_ARGUMENT]);
    }
    command
}

/// Writes the data set as kcat and the console producer read it: key, separator, value, delimiter.
///
/// # Errors
/// Of the file or the pipe.
pub(crate) fn feed(data: &Dataset, is_keyed: bool, pipe: impl Write) -> io::Result<()> {
    let delimiter: &[u8] = if data.mode == Mode::Chunks { KCAT_DELIMITER } else { b"\n" };
    let mut pipe = BufWriter::with_capacity(1 << 18, pipe);
    let mut value = Vec::new();
    for number in 0..data.records() {
        data.read(number, &mut value)?;
        if is_keyed {
            write!(pipe, "k{}{SEPARATOR}", number % KEY_COUNT)?;
        }
        pipe.write_all(&value)?;
        pipe.write_all(delimiter)?;
    }
    pipe.flush()
}

/// Ends a binary record for kcat; not to be found in real files.
const KCAT_DELIMITER: &[u8] = b"\x01\xffSLIPRING\xfe\x02";
const KCAT_DELIMITER_ARGUMENT: &str = "\\x01\\xffSLIPRING\\xfe\\x02";
