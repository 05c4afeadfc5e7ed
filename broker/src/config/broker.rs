//! A broker's configuration as the broker reads it: typed fields, and the layers of values behind them for
//! DescribeConfigs. Made at start and again whenever a dynamic config changes; immutable, shared by all cores.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipring_machine::group::{Assignor, ConsumerConfig, GroupConfig};
use slipring_protocol::ids::BrokerId;

use super::checks;
use super::error::{ConfigError, Warning};
use super::internal_topic::InternalTopic;
use super::listeners::{Listener, Listeners, unusable};
use super::load::{self, Overrides};
use super::topic::{TopicOverrides, TopicSettings};
use super::values::{DynamicValues, Values};
use crate::net::listener::ConnectionLimits;

/// A broker's configuration.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Addresses to listen on and to tell clients.
    pub listeners: Listeners,
    /// Data directories, at least one, as written.
    pub log_dirs: Vec<PathBuf>,
    /// Sockets and connections.
    pub network: NetworkConfig,
    /// Fetch responses and sessions.
    pub fetch: FetchConfig,
    /// How topics come and go.
    pub topics: TopicsConfig,
    /// What the group coordinator decides by.
    pub groups: GroupConfig,
    /// What the broker's own topics are made with.
    pub internal_topics: Vec<InternalTopic>,
    /// What is in force for a topic without configs of its own.
    pub topic_defaults: TopicSettings,
    /// How often logs are looked at for what retention may delete.
    pub retention_check_interval: Duration,
    /// How long a partition remembers an idempotent producer.
    pub producer_id_expiration_ms: i64,
    /// Cores to serve on; `None` for all usable ones.
    pub cores: Option<usize>,
    /// Size of one core's journal in one data directory.
    pub journal_bytes: u64,
    /// Memory over all cores; `None` for a share of the machine's.
    pub memory_bytes: Option<u64>,
    /// Free space of a data directory below which produces are refused.
    pub disk_reserve_bytes: u64,
    /// Where metrics and health are served; `None` for nowhere.
    pub metrics_listener: Option<Listener>,
    /// Series of consumer lag, over all cores.
    pub lag_series_max: usize,
    values: Values,
}

/// Sockets and connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Largest request in bytes, without its length field.
    pub request_bytes_max: usize,
    /// SO_SNDBUF; `None` leaves the system's choice.
    pub send_buffer_bytes: Option<usize>,
    /// SO_RCVBUF; `None` leaves the system's choice.
    pub receive_buffer_bytes: Option<usize>,
    /// Connections that may wait to be accepted.
    pub backlog: i32,
    /// How long a connection may idle; `None` for ever.
    pub idle_ms_max: Option<u64>,
    /// Most connections.
    pub connections_max: usize,
    /// Most connections from one address.
    pub connections_per_ip_max: usize,
    /// Other limits for single addresses.
    pub connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
}

/// Fetch responses and sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// Most bytes of records in one response.
    pub bytes_max: usize,
    /// How many incremental sessions are kept.
    pub session_slots: usize,
}

/// How topics come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicsConfig {
    /// Whether Metadata creates missing ones.
    pub creation_automatic: bool,
    /// Partitions when nobody says.
    pub partitions: i32,
    /// Replicas when nobody says.
    pub replication_factor: i32,
    /// Whether they may be deleted.
    pub deletion_enabled: bool,
    /// Most partitions in one DescribeTopicPartitions answer.
    pub partitions_per_page_max: i32,
}

impl BrokerConfig {
    /// Reads a configuration: defaults, under `file`, under `sets` (key and value, in order), under `overrides`.
    ///
    /// # Errors
    /// The first thing that is wrong, with key, value, place and what is allowed.
    pub fn load(
        file: Option<&Path>,
        sets: &[(String, String)],
        overrides: &Overrides,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut warnings = Vec::new();
        let statics = load::statics(file, sets, overrides, &mut warnings)?;
        let values = Values::resolve(statics, DynamicValues::new(), DynamicValues::new())?;
        load::warn_about(&values, &mut warnings)?;
        let config = Self::from_values(values, &mut warnings)?;
        Ok((config, warnings))
    }

    /// The same static configuration under other dynamic values: the cluster's defaults, and this broker's own.
    ///
    /// # Errors
    /// The first value that does not fit, alone or with the others; the present configuration stays in force then.
    pub fn with_dynamic(
        &self,
        dynamic_default: DynamicValues,
        dynamic_broker: DynamicValues,
    ) -> Result<Self, ConfigError> {
        Self::from_values(self.values.with_dynamic(dynamic_default, dynamic_broker)?, &mut Vec::new())
    }

    /// All layers and every value in force, for DescribeConfigs.
    #[must_use]
    pub const fn values(&self) -> &Values {
        &self.values
    }

    /// What is in force for a topic with these configs of its own. Those that do not fit their keys are left out; only
    /// configs that were never validated can be such.
    #[must_use]
    pub fn topic(&self, overrides: &TopicOverrides) -> TopicSettings {
        TopicSettings::resolve(&self.values, overrides).0
    }

    fn from_values(values: Values, warnings: &mut Vec<Warning>) -> Result<Self, ConfigError> {
        let log_dirs: Vec<PathBuf> = values
            .list_or_null("log.dirs")
            .unwrap_or_else(|| values.list("log.dir"))
            .iter()
            .map(PathBuf::from)
            .collect();
        checks::check(&values)?;
        let listeners = Listeners::resolve(&values, &host_name(), warnings)?;
        let (topic_defaults, _) = TopicSettings::resolve(&values, &TopicOverrides::new());
        Ok(Self {
            node_id: BrokerId(values.int("node.id")),
            rack: values.string_or_null("broker.rack").map(str::to_owned),
            listeners,
            log_dirs,
            network: NetworkConfig::from_values(&values)?,
            fetch: FetchConfig {
                bytes_max: size(values.int("fetch.max.bytes")),
                session_slots: size(values.int("max.incremental.fetch.session.cache.slots")),
            },
            topics: TopicsConfig {
                creation_automatic: values.boolean("auto.create.topics.enable"),
                partitions: values.int("num.partitions"),
                replication_factor: values.int("default.replication.factor"),
                deletion_enabled: values.boolean("delete.topic.enable"),
                partitions_per_page_max: values.int("max.request.partition.size.limit"),
            },
            groups: groups_from_values(&values),
            internal_topics: InternalTopic::all(&values),
            topic_defaults,
            retention_check_interval: millis(values.integer("log.retention.check.interval.ms")),
            producer_id_expiration_ms: values.integer("producer.id.expiration.ms"),
            cores: match size(values.int("slipring.cores")) {
                0 => None,
                cores => Some(cores),
            },
            journal_bytes: bytes(values.integer("slipring.journal.bytes")),
            memory_bytes: match bytes(values.integer("slipring.memory.bytes")) {
                0 => None,
                memory => Some(memory),
            },
            disk_reserve_bytes: bytes(values.integer("slipring.disk.reserve.bytes")),
            metrics_listener: metrics_listener(&values)?,
            lag_series_max: size(values.int("slipring.metrics.lag.series")),
            values,
        })
    }
}

fn groups_from_values(values: &Values) -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay_ms: positive(values.int("group.initial.rebalance.delay.ms")),
        session_timeout_ms_min: values.int("group.min.session.timeout.ms"),
        session_timeout_ms_max: values.int("group.max.session.timeout.ms"),
        members_max: size(values.int("group.max.size")),
        offset_metadata_max: positive(values.int("offset.metadata.max.bytes")) as usize,
        offsets_retention_ms: i64::from(values.int("offsets.retention.minutes")) * 60_000,
        expiry_interval_ms: bytes(values.integer("offsets.retention.check.interval.ms")),
        consumer: ConsumerConfig {
            session_timeout_ms: positive(values.int("group.consumer.session.timeout.ms")),
            heartbeat_interval_ms: values.int("group.consumer.heartbeat.interval.ms"),
            members_max: size(values.int("group.consumer.max.size")),
            assignment_interval_ms: positive(values.int("group.consumer.assignment.interval.ms")),
            assignors: assignors(values.list("group.consumer.assignors")),
        },
    }
}

/// The assignors of these names in their order. Names of Java classes are not served; with none left, Kafka's defaults.
fn assignors(names: &[String]) -> &'static [Assignor] {
    let known: Vec<Assignor> = names.iter().filter_map(|name| Assignor::named(name)).collect();
    match known[..] {
        [Assignor::Range] => &[Assignor::Range],
        [Assignor::Uniform] => &[Assignor::Uniform],
        [Assignor::Range, ..] => &[Assignor::Range, Assignor::Uniform],
        _ => &[Assignor::Uniform, Assignor::Range],
    }
}

impl NetworkConfig {
    /// How many connections there may be.
    #[must_use]
    pub fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            total: self.connections_max,
            per_ip: self.connections_per_ip_max,
            per_ip_overrides: self.connections_per_ip_overrides.clone(),
        }
    }

    fn from_values(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            request_bytes_max: size(values.int("socket.request.max.bytes")),
            send_buffer_bytes: usize::try_from(values.int("socket.send.buffer.bytes")).ok(),
            receive_buffer_bytes: usize::try_from(values.int("socket.receive.buffer.bytes")).ok(),
            backlog: values.int("socket.listen.backlog.size"),
            idle_ms_max: u64::try_from(values.integer("connections.max.idle.ms")).ok(),
            connections_max: size(values.int("max.connections")),
            connections_per_ip_max: size(values.int("max.connections.per.ip")),
            connections_per_ip_overrides: per_ip_overrides(values)?,
        })
    }
}

/// `HOST:LIMIT` by commas; host names count for each of their addresses.
fn per_ip_overrides(values: &Values) -> Result<BTreeMap<IpAddr, usize>, ConfigError> {
    const KEY: &str = "max.connections.per.ip.overrides";
    let mut limits = BTreeMap::new();
    for pair in values.string(KEY).split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let form = || unusable(values, KEY, format!("{pair} is not of the form HOST:LIMIT"));
        let (host, limit) = pair.rsplit_once(':').ok_or_else(form)?;
        let limit = limit.trim().parse::<u32>().map_err(|_| form())? as usize;
        let host = host.trim();
        if let Ok(ip) = host.parse::<IpAddr>() {
            limits.insert(ip, limit);
            continue;
        }
        let unknown = |why| unusable(values, KEY, format!("{host} has no address: {why}"));
        for address in (host, 0).to_socket_addrs().map_err(unknown)? {
            limits.insert(address.ip(), limit);
        }
    }
    Ok(limits)
}

fn metrics_listener(values: &Values) -> Result<Option<Listener>, ConfigError> {
    const KEY: &str = "slipring.metrics.listener";
    let text = values.string(KEY);
    if text.is_empty() {
        return Ok(None);
    }
    let listener = Listener::parse(&format!("METRICS://{text}"))
        .map_err(|_| unusable(values, KEY, "it must be HOST:PORT, or empty for none".to_owned()))?;
    Ok(Some(listener))
}

/// This machine's name, for clients that connect to a wildcard listener.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

fn size(number: i32) -> usize {
    usize::try_from(number).expect("the table allows no negative count")
}

/// A number that means none where it is negative.
fn positive(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn bytes(number: i64) -> u64 {
    u64::try_from(number).expect("the table allows no negative size")
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).expect("the table allows no negative time"))
}

#[cfg(test)]
mod tests;
