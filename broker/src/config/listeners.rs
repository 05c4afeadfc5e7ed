//! Listener addresses: `listeners`, `advertised.listeners`, the protocol map and which of them belong to the controller
//! (Kafka's `SocketServerConfigs`, `AbstractKafkaConfig`). Used at start; opens nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use super::error::{ConfigError, Warning};
use super::values::Values;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// Host to bind, without brackets; `None` for every interface.
    pub host: Option<String>,
    /// Port to bind; 0 lets the system choose.
    pub port: u16,
}

/// An address that clients are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedListener {
    /// The listener's name, in capitals.
    pub name: String,
    /// Host, without brackets.
    pub host: String,
    /// Port; 0 stands for the port that the listener was bound to.
    pub port: u16,
}

/// What `listeners` and its companions say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// Those to open.
    pub opened: Vec<Listener>,
    /// Those of the controller, which stay closed.
    pub of_controller: Vec<Listener>,
    /// What clients are told, one for each name at most.
    pub advertised: Vec<AdvertisedListener>,
    /// The listener that other brokers would use.
    pub inter_broker: String,
}

impl Listener {
    /// Parses `NAME://HOST:PORT`, with brackets allowed around the host; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("{text} is not of the form NAME://HOST:PORT");
        let (name, address) = text.split_once("://").ok_or_else(form)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(form)?;
        let host = host.strip_prefix('[').unwrap_or(host);
        let host = host.strip_suffix(']').unwrap_or(host);
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '%' | '.' | '_' | ':');
        if name.is_empty() || !host.chars().all(fits) {
            return Err(form());
        }
        let port =
            port.parse().map_err(|_| format!("{text}: the port must be a number from 0 to {}", u16::MAX))?;
        let host = if host.is_empty() { None } else { Some(host.to_owned()) };
        Ok(Self { name: name.to_ascii_uppercase(), host, port })
    }

    /// The address to bind. A host name gives its first address, of IPv4 if it has one, as Java prefers them.
    ///
    /// # Errors
    /// When the host name has no address.
    pub fn socket_address(&self) -> io::Result<SocketAddr> {
        let Some(host) = &self.host else {
            return Ok(SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port)));
        };
        let addresses: Vec<SocketAddr> = (host.as_str(), self.port).to_socket_addrs()?.collect();
        let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        first
            .copied()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")))
    }

    /// Whether it listens on every interface.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified()) || self.host.is_none()
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.as_ref().and_then(|host| host.parse().ok())
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or_default();
        match host.contains(':') {
            true => write!(f, "{}://[{host}]:{}", self.name, self.port),
            false => write!(f, "{}://{host}:{}", self.name, self.port),
        }
    }
}

/// The names of Kafka's security protocols.
const PROTOCOLS: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// The one that is served.
const PLAINTEXT: &str = "PLAINTEXT";

impl Listeners {
    /// Reads them off `values`. `host_name` is this machine's, for wildcards.
    ///
    /// # Errors
    /// The first key whose value cannot be used, alone or with the others.
    pub fn resolve(
        values: &Values,
        host_name: &str,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, ConfigError> {
        let all = parse_all(values, "listeners")?;
        check_distinct(&all).map_err(|problem| unusable(values, "listeners", problem))?;
        let protocols = protocol_map(values)?;
        let controller = values.list("controller.listener.names");
        let (of_controller, opened): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|listener| is_named(controller, &listener.name));
        for listener in &opened {
            check_protocol(values, &protocols, listener)?;
        }
        if opened.is_empty() {
            let problem = "every listener is one of controller.listener.names; clients need one more";
            return Err(unusable(values, "listeners", problem.to_owned()));
        }
        for listener in &of_controller {
            let origin = values.origin("listeners");
            warnings.push(Warning::ControllerListener { origin, listener: listener.to_string() });
        }
        let advertised = advertised(values, &opened, host_name)?;
        let inter_broker = inter_broker(values, &advertised)?;
        Ok(Self { opened, of_controller, advertised, inter_broker })
    }

    /// What to tell clients of the listener `name` that was bound to `port`.
    #[must_use]
    pub fn advertised_as(&self, name: &str, port: u16) -> Option<AdvertisedListener> {
        let told = self.advertised.iter().find(|listener| listener.name == name)?;
        let port = if told.port == 0 { port } else { told.port };
        Some(AdvertisedListener { port, ..told.clone() })
    }
}

fn parse_all(values: &Values, key: &str) -> Result<Vec<Listener>, ConfigError> {
    let entries = values.list_or_null(key).unwrap_or_default();
    entries
        .iter()
        .map(|entry| Listener::parse(entry).map_err(|problem| unusable(values, key, problem)))
        .collect()
}

/// Names must differ, and ports too, but for one listener of IPv4 beside one of IPv6.
fn check_distinct(listeners: &[Listener]) -> Result<(), String> {
    for (index, one) in listeners.iter().enumerate() {
        for other in &listeners[index + 1..] {
            if one.name == other.name {
                return Err(format!("two listeners have the name {}", one.name));
            }
            let families = (one.ip().map(|ip| ip.is_ipv4()), other.ip().map(|ip| ip.is_ipv4()));
            let apart = matches!(families, (Some(true), Some(false)) | (Some(false), Some(true)));
            if one.port != 0 && one.port == other.port && !apart {
                return Err(format!("{} and {} have the same port", one.name, other.name));
            }
        }
    }
    Ok(())
}

/// Listener name to security protocol. Unless the map is set, the controller's listeners speak PLAINTEXT.
fn protocol_map(values: &Values) -> Result<BTreeMap<String, String>, ConfigError> {
    const KEY: &str = "listener.security.protocol.map";
    let mut map = BTreeMap::new();
    for pair in values.string(KEY).split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let problem = || unusable(values, KEY, format!("{pair} is not of the form NAME:PROTOCOL"));
        let (name, protocol) = pair.rsplit_once(':').ok_or_else(problem)?;
        let (name, protocol) = (name.trim().to_ascii_uppercase(), protocol.trim());
        if !PROTOCOLS.contains(&protocol) {
            let problem = format!("{protocol} is none of {}", PROTOCOLS.join(", "));
            return Err(unusable(values, KEY, problem));
        }
        map.insert(name, protocol.to_owned());
    }
    if !values.is_set(KEY) {
        for name in values.list("controller.listener.names") {
            map.entry(name.to_ascii_uppercase()).or_insert_with(|| PLAINTEXT.to_owned());
        }
    }
    Ok(map)
}

fn check_protocol(
    values: &Values,
    protocols: &BTreeMap<String, String>,
    listener: &Listener,
) -> Result<(), ConfigError> {
    match protocols.get(&listener.name).map(String::as_str) {
        Some(PLAINTEXT) => Ok(()),
        Some(other) => Err(ConfigError::unsupported(
            values.origin("listeners"),
            "listeners",
            listener.to_string(),
            format!("It speaks {other}; only PLAINTEXT is served yet."),
        )),
        None => {
            let problem = format!("listener.security.protocol.map has no entry for {}", listener.name);
            Err(unusable(values, "listeners", problem))
        }
    }
}

/// As set, or the opened ones with the host name for wildcards.
fn advertised(
    values: &Values,
    opened: &[Listener],
    host_name: &str,
) -> Result<Vec<AdvertisedListener>, ConfigError> {
    const KEY: &str = "advertised.listeners";
    if !values.is_set(KEY) {
        return Ok(opened.iter().map(|listener| told_as(listener, host_name)).collect());
    }
    let controller = values.list("controller.listener.names");
    let mut advertised: Vec<AdvertisedListener> = Vec::new();
    for listener in parse_all(values, KEY)? {
        if is_named(controller, &listener.name) {
            continue;
        }
        let problem = if listener.ip().is_some_and(|ip| ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            Some(format!("{listener}: clients cannot connect to 0.0.0.0, name an address that they reach"))
        } else if !opened.iter().any(|other| other.name == listener.name) {
            Some(format!("{} is not among listeners", listener.name))
        } else if advertised.iter().any(|other| other.name == listener.name) {
            Some(format!("two of them have the name {}", listener.name))
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(unusable(values, KEY, problem));
        }
        advertised.push(told_as(&listener, host_name));
    }
    if advertised.is_empty() {
        let problem = "clients need one that is not the controller's".to_owned();
        return Err(unusable(values, KEY, problem));
    }
    Ok(advertised)
}

fn told_as(listener: &Listener, host_name: &str) -> AdvertisedListener {
    let host = match &listener.host {
        Some(host) if !listener.is_wildcard() => host.clone(),
        Some(_) | None => host_name.to_owned(),
    };
    AdvertisedListener { name: listener.name.clone(), host, port: listener.port }
}

/// Checked where it is set. Unset, it is PLAINTEXT or, unlike Kafka, which would not start, the first one.
fn inter_broker(values: &Values, advertised: &[AdvertisedListener]) -> Result<String, ConfigError> {
    const KEY: &str = "inter.broker.listener.name";
    let has = |name: &str| advertised.iter().any(|listener| listener.name == name);
    match values.string_or_null(KEY).map(str::to_ascii_uppercase) {
        Some(name) if has(&name) => Ok(name),
        Some(name) => {
            let names: Vec<_> = advertised.iter().map(|listener| listener.name.as_str()).collect();
            let problem = format!("{name} is none of the advertised listeners {}", names.join(", "));
            Err(unusable(values, KEY, problem))
        }
        None if has(PLAINTEXT) => Ok(PLAINTEXT.to_owned()),
        None => Ok(advertised.first().map(|listener| listener.name.clone()).unwrap_or_default()),
    }
}

fn is_named(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The error of a value in force.
pub(super) fn unusable(values: &Values, key: &str, problem: String) -> ConfigError {
    let value = values.value(key).map(ToString::to_string).unwrap_or_default();
    ConfigError::unusable(values.origin(key), key, value, problem)
}
