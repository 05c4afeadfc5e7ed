//! Whole configurations: what loads, what is refused and in which words, what is warned of.

use std::io::Write;

use super::*;
use crate::config::error::{Hint, Origin};
use crate::config::listeners::AdvertisedListener;

/// The keys that Kafka 4.3's own `config/server.properties` sets.
const STOCK: &str = "\
# broker and controller in one
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

type Loaded = Result<(BrokerConfig, Vec<Warning>), ConfigError>;

fn load(file: Option<&str>, sets: &[(&str, &str)], overrides: &Overrides) -> Loaded {
    let sets: Vec<_> = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let Some(text) = file else {
        return BrokerConfig::load(None, &sets, overrides);
    };
    static COUNTER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("slipring-config-{}-{number}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("server.properties");
    std::fs::File::create_new(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let loaded = BrokerConfig::load(Some(&path), &sets, overrides);
    std::fs::remove_dir_all(&directory).unwrap();
    loaded
}

fn sets(sets: &[(&str, &str)]) -> Loaded {
    load(None, sets, &Overrides::default())
}

fn told(name: &str, host: &str, port: u16) -> AdvertisedListener {
    AdvertisedListener { name: name.to_owned(), host: host.to_owned(), port }
}

#[test]
fn without_a_configuration_one_node_serves_the_loopback() {
    let (config, warnings) = sets(&[]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.node_id, BrokerId(1));
    assert_eq!(config.log_dirs, [PathBuf::from("./data")]);
    assert_eq!(config.listeners.opened[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(config.listeners.advertised, [told("PLAINTEXT", "127.0.0.1", 9092)]);
    assert_eq!(config.listeners.inter_broker, "PLAINTEXT");
    assert_eq!(config.metrics_listener.unwrap().to_string(), "METRICS://127.0.0.1:9644");
    assert!(config.topics.creation_automatic && config.topics.deletion_enabled);
    assert_eq!((config.topics.partitions, config.topics.replication_factor), (1, 1));
    assert_eq!(
        config.network,
        NetworkConfig {
            request_bytes_max: 100 << 20,
            send_buffer_bytes: Some(102_400),
            receive_buffer_bytes: Some(102_400),
            backlog: 50,
            idle_ms_max: Some(600_000),
            connections_max: 2_147_483_647,
            connections_per_ip_max: 2_147_483_647,
            connections_per_ip_overrides: BTreeMap::new(),
        }
    );
    assert_eq!(config.fetch, FetchConfig { bytes_max: 55 << 20, session_slots: 1000 });
    assert_eq!((config.cores, config.memory_bytes, config.journal_bytes), (None, None, 256 << 20));
}

#[test]
fn a_stock_kafka_configuration_starts_a_combined_node() {
    let (config, warnings) = load(Some(STOCK), &[], &Overrides::default()).unwrap();
    assert!(warnings.iter().all(Warning::is_info), "{warnings:?}");
    assert_eq!(config.listeners.opened.len(), 1);
    assert!(config.listeners.opened[0].is_wildcard());
    assert_eq!(config.listeners.of_controller[0].to_string(), "CONTROLLER://:9093");
    assert_eq!(config.listeners.advertised, [told("PLAINTEXT", "localhost", 9092)]);
    assert_eq!(config.log_dirs, [PathBuf::from("/tmp/kraft-combined-logs")]);
    let not_opened = |warning: &&Warning| matches!(warning, Warning::ControllerListener { .. });
    assert_eq!(warnings.iter().filter(not_opened).count(), 1);
}

#[test]
fn options_outrank_sets_and_sets_the_file() {
    let overrides = Overrides {
        data_dir: Some("/d".into()),
        listen: vec!["PLAINTEXT://127.0.0.1:9192".to_owned()],
        cores: Some(3),
    };
    let set = [("num.partitions", "7"), ("log.dirs", "/s"), ("slipring.cores", "1")];
    let (config, warnings) = load(Some(STOCK), &set, &overrides).unwrap();
    assert_eq!(config.topics.partitions, 7);
    assert_eq!(config.log_dirs, [PathBuf::from("/d")]);
    assert_eq!(config.cores, Some(3));
    assert_eq!(config.listeners.advertised, [told("PLAINTEXT", "127.0.0.1", 9192)]);
    assert!(warnings.iter().any(|warning| matches!(warning, Warning::AdvertisedDropped { .. })));
    assert_eq!(config.values().origin("log.dirs"), Origin::Flag("--data-dir"));
    assert_eq!(config.values().origin("num.partitions"), Origin::Set);
    assert!(matches!(config.values().origin("log.retention.hours"), Origin::File { line: 23, .. }));
    assert_eq!(config.values().origin("log.roll.hours"), Origin::Default);
}

/// Each message says which key, which value, where, and what would be right.
#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases: &[(&str, &[&str])] = &[
        ("num.partitions=0", &[":1: ", "Invalid value 0", "num.partitions", "whole number of at least 1"]),
        ("\n\nnum.io.threads = many", &[":3: ", "Invalid value many", "Not a number of type INT"]),
        ("compression.type=rar", &[":1: ", "compression.type", "zstd, lz4, snappy, gzip, producer"]),
        ("a=\\u00zz", &["server.properties:1: ", "\\u", "four hexadecimal digits"]),
        ("log.cleanup.policy=shrink", &["Invalid value shrink", "log.cleanup.policy", "compact, delete"]),
        ("listeners=9092", &["listeners=9092", "NAME://HOST:PORT"]),
        ("listeners=PLAINTEXT://:99999", &["port", "65535"]),
        ("listeners=PLAINTEXT://h:1,PLAINTEXT://h:2", &["two listeners have the name PLAINTEXT"]),
        ("listeners=PLAINTEXT://h:1,CONTROLLER://h:1", &["same port"]),
        ("listeners=CONTROLLER://h:1", &["clients need one more"]),
        ("listeners=SSL://h:1", &["listeners=SSL://h:1", "only PLAINTEXT is served yet"]),
        ("listeners=SASL_SSL://h:1", &["SASL_SSL", "not supported"]),
        ("listeners=EXTERNAL://h:1", &["listener.security.protocol.map", "EXTERNAL"]),
        ("listener.security.protocol.map=PLAINTEXT:TLS", &["TLS is none of PLAINTEXT, SSL"]),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:1", &["cannot connect to 0.0.0.0"]),
        ("advertised.listeners=OTHER://h:1", &["OTHER is not among listeners"]),
        ("inter.broker.listener.name=OTHER", &["OTHER is none of the advertised listeners PLAINTEXT"]),
        ("security.inter.broker.protocol=SSL", &["security.inter.broker.protocol=SSL is not supported"]),
        ("process.roles=broker", &["process.roles=broker", "use broker,controller"]),
        ("process.roles=king", &["Invalid value king", "broker, controller"]),
        ("node.id=1\nbroker.id=2", &[":2: ", "broker.id=2", "must equal node.id"]),
        ("node.id=-1", &["Invalid value -1", "node.id", "at least 0"]),
        ("controller.quorum.voters=1@a:1,2@b:1,3@c:1", &["controller.quorum.voters", "name one controller"]),
        ("controller.quorum.voters=2@a:1", &["one voter must be this node, 1"]),
        ("controller.quorum.voters=a:1", &["ID@HOST:PORT"]),
        ("controller.quorum.bootstrap.servers=a:1,b:1", &["name one controller"]),
        ("authorizer.class.name=org.apache.X", &["authorizer.class.name", "everybody would be let in"]),
        (
            "remote.log.storage.system.enable=true",
            &["Tiered storage is not built yet", "Leave the key unset"],
        ),
        ("config.providers=file", &["config.providers=file is not supported"]),
        ("metadata.log.dir=/elsewhere", &["metadata.log.dir=/elsewhere", "first data directory"]),
        ("listener.name.x.principal.builder.class=A", &["principal.builder.class", "Java classes"]),
        ("max.connections.per.ip.overrides=10.0.0.1", &["HOST:LIMIT"]),
        ("max.connections.per.ip.overrides=10.0.0.1:x", &["HOST:LIMIT"]),
        ("max.connections.per.ip=0", &["max.connections.per.ip=0", "overrides"]),
        ("connections.max.idle.ms=50", &["connection.failed.authentication.delay.ms"]),
        ("log.roll.ms=0", &["log.roll.ms=0", "at least 1"]),
        ("log.retention.ms=0", &["log.retention.ms=0", "negative for ever"]),
        ("log.dirs=", &["log.dirs", "must not be empty"]),
        ("log.dirs=/a\ncordoned.log.dirs=/b", &["/b is not one of log.dirs"]),
        ("replica.fetch.wait.max.ms=60000", &["must not be above replica.socket.timeout.ms"]),
        ("queued.max.request.bytes=1", &["-1 or at least socket.request.max.bytes"]),
        ("slipring.durability=perhaps", &["Invalid value perhaps", "flushed, written"]),
        ("slipring.metrics.listener=9644", &["HOST:PORT, or empty"]),
        ("slipring.journal.bytes=1", &["at least 16777216"]),
        ("ssl.truststore.password=hunter2\nlog.roll.ms=0", &["log.roll.ms"]),
    ];
    for (text, parts) in cases {
        let error = match load(Some(text), &[], &Overrides::default()) {
            Ok(_) => panic!("{text} was taken"),
            Err(error) => error.to_string(),
        };
        for part in *parts {
            assert!(error.contains(part), "{text}: {part:?} is not in {error:?}");
        }
        assert!(!error.contains("hunter2"));
    }
    let error = BrokerConfig::load(Some(Path::new("/no/such/file")), &[], &Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}

#[test]
fn what_is_odd_is_said_and_taken() {
    let text = "num.partition=4\nretention.ms=1\nzookeeper.connect=z\nmy.key=1\nnum.io.threads=4\nnum.io.threads=5\n\
                listener.name.plaintext.max.connections=5\nrsm.config.x=1\nssl.key.password=abc\nnum.network.threads=3";
    let (config, warnings) = load(Some(text), &[], &Overrides::default()).unwrap();
    assert_eq!(config.topics.partitions, 1);
    let hints: Vec<_> = warnings
        .iter()
        .filter_map(|warning| match warning {
            Warning::UnknownKey { key, hint, .. } => Some((key.as_str(), *hint)),
            _ => None,
        })
        .collect();
    assert_eq!(
        hints,
        [
            ("my.key", None),
            ("num.partition", Some(Hint::Nearest("num.partitions"))),
            ("retention.ms", Some(Hint::OfTopic("log.retention.ms"))),
            ("zookeeper.connect", Some(Hint::Removed)),
        ]
    );
    let lines: Vec<String> = warnings.iter().map(Warning::to_string).collect();
    let has = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(has("server.properties:1: unknown key num.partition is ignored; did you mean num.partitions?"));
    assert!(has(":5: num.io.threads is set again further down"));
    assert!(has(":6: num.io.threads has no effect"));
    assert!(has("listener.name.plaintext.max.connections has no effect"));
    assert!(has("ssl.key.password has no effect") && !has("abc"));
    assert!(!has("rsm.config.x") && !has("num.network.threads"));
}

#[test]
fn listeners_are_advertised_as_they_are_bound() {
    let name = host_name();
    type Case<'a> = (&'a [(&'a str, &'a str)], Vec<AdvertisedListener>);
    let cases: &[Case<'_>] = &[
        (&[("listeners", "PLAINTEXT://0.0.0.0:9092")], vec![told("PLAINTEXT", &name, 9092)]),
        (&[("listeners", "PLAINTEXT://[::]:9092")], vec![told("PLAINTEXT", &name, 9092)]),
        (&[("listeners", "plaintext://:0")], vec![told("PLAINTEXT", &name, 0)]),
        (&[("listeners", "PLAINTEXT://[::1]:9092")], vec![told("PLAINTEXT", "::1", 9092)]),
        (
            &[
                ("listeners", "INTERNAL://10.0.0.1:9092,EXTERNAL://10.0.0.1:9094"),
                ("listener.security.protocol.map", "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT"),
                ("advertised.listeners", "EXTERNAL://kafka.example.org:19094"),
            ],
            vec![told("EXTERNAL", "kafka.example.org", 19094)],
        ),
    ];
    for (set, advertised) in cases {
        let (config, _) = sets(set).unwrap();
        assert_eq!(config.listeners.advertised, *advertised, "{set:?}");
    }
    let (config, _) = sets(&[("listeners", "PLAINTEXT://127.0.0.1:0")]).unwrap();
    assert_eq!(config.listeners.advertised_as("PLAINTEXT", 5), Some(told("PLAINTEXT", "127.0.0.1", 5)));
    assert_eq!(config.listeners.advertised_as("OTHER", 5), None);
}

#[test]
fn listeners_bind_as_written() {
    let cases = [
        ("PLAINTEXT://127.0.0.1:9092", "127.0.0.1:9092"),
        ("PLAINTEXT://0.0.0.0:9092", "0.0.0.0:9092"),
        ("PLAINTEXT://:9092", "[::]:9092"),
        ("PLAINTEXT://[::1]:9092", "[::1]:9092"),
        ("PLAINTEXT://localhost:9092", "127.0.0.1:9092"),
    ];
    for (written, bound) in cases {
        let (config, _) = sets(&[("listeners", written)]).unwrap();
        assert_eq!(config.listeners.opened[0].socket_address().unwrap().to_string(), bound, "{written}");
    }
}

#[test]
fn unusual_values_mean_what_kafka_means() {
    let (config, _) = sets(&[
        ("socket.send.buffer.bytes", "-1"),
        ("connections.max.idle.ms", "-1"),
        ("max.connections.per.ip", "0"),
        ("max.connections.per.ip.overrides", "127.0.0.1:5, ::1:6 ,localhost:7"),
        ("slipring.metrics.listener", ""),
        ("broker.id", "5"),
        ("log.dirs", "/a, /b"),
        ("metadata.log.dir", "/a"),
        ("broker.rack", "r1"),
        ("controller.quorum.voters", "5@localhost:9093"),
    ])
    .unwrap();
    assert_eq!((config.network.send_buffer_bytes, config.network.idle_ms_max), (None, None));
    let limits = &config.network.connections_per_ip_overrides;
    assert_eq!(limits[&"127.0.0.1".parse::<IpAddr>().unwrap()], 7, "a later entry wins");
    assert_eq!(config.metrics_listener, None);
    assert_eq!(config.node_id, BrokerId(5));
    assert_eq!(config.log_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(config.rack.as_deref(), Some("r1"));
}

#[test]
fn dynamic_values_take_effect_or_leave_everything() {
    let (config, _) = sets(&[("log.segment.bytes", "2097152")]).unwrap();
    let layer = |key: &str, value: &str| DynamicValues::from([(key.to_owned(), value.to_owned())]);
    let changed = config.with_dynamic(layer("log.segment.bytes", "4194304"), DynamicValues::new()).unwrap();
    assert_eq!(changed.topic_defaults.segment_bytes, 4 << 20);
    let error = config.with_dynamic(layer("log.segment.bytes", "1"), DynamicValues::new()).unwrap_err();
    assert!(error.to_string().starts_with("dynamic config: Invalid value 1"), "{error}");
    assert_eq!(config.topic_defaults.segment_bytes, 2 << 20);
}
