//! The answers of DescribeConfigs (key 32, v1-v4), resource by resource, as Kafka's `ConfigHelper` gives them, and the
//! configs in a CreateTopics answer. Pure, for any core; knows no wire format: the flags of later versions are the
//! caller's to leave out.
//!
//! Behaviour kept from Kafka: a value of a key that nobody knows, or of a PASSWORD, is null; a key's synonyms begin at
//! the key itself; entries come sorted by name, where Kafka's order is accidental.

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::BrokerId;

use super::error::Origin;
use super::key::{ConfigKey, ConfigType, Scope, Update};
use super::load;
use super::table;
use super::topic::{self, TopicOverrides};
use super::value::Value;
use super::values::{DynamicValues, Values, default_of};

/// One config of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// Its value in force; `None` is null on the wire.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: Source,
    /// Whether it can only be changed by a restart.
    pub read_only: bool,
    /// Whether its value is hidden.
    pub is_sensitive: bool,
    /// The values that were candidates, highest first; empty unless asked for.
    pub synonyms: Vec<Candidate>,
    /// `config_type` of the answer.
    pub type_code: i8,
    /// What it is for; `None` unless asked for.
    pub documentation: Option<&'static str>,
}

/// A synonym of the answer: a key, its value in one layer, and that layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The key.
    pub name: String,
    /// Its value there; `None` when hidden.
    pub value: Option<String>,
    /// The layer.
    pub source: Source,
}

/// `config_source` of the answer (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// A topic's own.
    DynamicTopic = 1,
    /// A broker's own, changed while it runs.
    DynamicBroker = 2,
    /// The cluster's, changed while it runs.
    DynamicDefaultBroker = 3,
    /// The configuration file or command line.
    StaticBroker = 4,
    /// Nobody's.
    Default = 5,
    /// A logger's level.
    DynamicBrokerLogger = 6,
    /// A client metrics subscription's own.
    DynamicClientMetrics = 7,
    /// A group's own.
    DynamicGroup = 8,
}

impl Source {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// What a request asks for of one resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The keys; null and empty lists ask for all.
    pub keys: &'a [&'a str],
    /// `include_synonyms`.
    pub synonyms: bool,
    /// `include_documentation`.
    pub documentation: bool,
}

impl Wanted<'_> {
    fn has(&self, name: &str) -> bool {
        self.keys.is_empty() || self.keys.contains(&name)
    }
}

/// What a resource of type 4 or 8 names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerResource {
    /// The cluster's dynamic defaults: the empty name.
    ClusterDefault,
    /// This broker.
    ThisBroker,
}

/// Which broker a resource name means.
///
/// # Errors
/// `INVALID_REQUEST` and Kafka's words, for another broker or a name that is no number.
pub fn broker_resource(name: &str, own: BrokerId) -> Result<BrokerResource, (ErrorCode, String)> {
    if name.is_empty() {
        return Ok(BrokerResource::ClusterDefault);
    }
    match broker_id(name)? {
        id if id == own => Ok(BrokerResource::ThisBroker),
        _ => Err((
            ErrorCode::InvalidRequest,
            format!("Unexpected broker id, expected {own} or empty string, but received {name}"),
        )),
    }
}

/// Checks the name of a broker-logger resource.
///
/// # Errors
/// `INVALID_REQUEST` and Kafka's words, for anything but this broker.
pub fn check_logger_resource(name: &str, own: BrokerId) -> Result<(), (ErrorCode, String)> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    if name.is_empty() {
        return invalid("Broker id must not be empty".to_owned());
    }
    if broker_id(name)? != own {
        return invalid(format!("Unexpected broker id, expected {own} but received {name}"));
    }
    Ok(())
}

fn broker_id(name: &str) -> Result<BrokerId, (ErrorCode, String)> {
    let message = || format!("Broker id must be an integer, but it is: {name}");
    name.parse().map(BrokerId).map_err(|_| (ErrorCode::InvalidRequest, message()))
}

/// A broker's configs: every documented key, and whatever else is set.
#[must_use]
pub fn broker(values: &Values, wanted: Wanted<'_>) -> Vec<Entry> {
    let documented = table::broker_keys().filter(|key| !key.internal).map(|key| key.name);
    let layers = [values.dynamic_broker(), values.dynamic_default()];
    let set = values.statics().keys().chain(layers.into_iter().flat_map(DynamicValues::keys));
    let names: std::collections::BTreeSet<&str> = documented.chain(set.map(String::as_str)).collect();
    names
        .into_iter()
        .filter(|name| wanted.has(name))
        .map(|name| broker_entry(values, name, value_in_force(values, name), |_| true, wanted))
        .collect()
}

/// The cluster's dynamic defaults, and nothing else.
#[must_use]
pub fn cluster_default(values: &Values, wanted: Wanted<'_>) -> Vec<Entry> {
    values
        .dynamic_default()
        .iter()
        .filter(|(name, _)| wanted.has(name))
        .map(|(name, text)| {
            let of_cluster = |source| source == Source::DynamicDefaultBroker;
            broker_entry(values, name, Some(text.clone()), of_cluster, wanted)
        })
        .collect()
}

/// A topic's configs, given its own ones.
#[must_use]
pub fn topic(values: &Values, overrides: &TopicOverrides, wanted: Wanted<'_>) -> Vec<Entry> {
    let (in_force, _) = topic::resolve(values, overrides);
    table::topic_keys()
        .filter(|key| wanted.has(key.name) && (!key.internal || overrides.contains_key(key.name)))
        .map(|key| {
            let value = in_force.value(key.name).map(Value::to_string);
            let mut candidates = Vec::new();
            if overrides.contains_key(key.name) {
                candidates.push(candidate(key.name, value.clone(), Source::DynamicTopic));
            }
            if let Some(synonym) = key.broker_synonyms().first() {
                candidates.extend(broker_candidates(values, synonym.name, false));
            }
            entry_of(key, value, candidates, wanted)
        })
        .collect()
}

/// A group's configs, given its own ones.
#[must_use]
pub fn group(values: &Values, overrides: &DynamicValues, wanted: Wanted<'_>) -> Vec<Entry> {
    table::group_keys()
        .filter(|key| wanted.has(key.name))
        .map(|key| {
            let broker_key = match key.scope {
                Scope::Group(broker_key) => broker_key,
                Scope::Broker | Scope::Topic(_) | Scope::ClientMetrics => None,
            };
            let inherited = match broker_key {
                Some(name) => values.value(name).map(Value::to_string),
                None => key.default.value().map(str::to_owned),
            };
            let own = overrides.get(key.name).map(|text| printed(key, text));
            let mut candidates = Vec::new();
            if own.is_some() {
                candidates.push(candidate(key.name, own.clone(), Source::DynamicGroup));
            }
            match broker_key {
                Some(name) => candidates.extend(broker_candidates(values, name, false)),
                None => candidates.push(candidate(key.name, inherited.clone(), Source::Default)),
            }
            entry_of(key, own.or(inherited), candidates, wanted)
        })
        .collect()
}

/// A client metrics subscription's configs, given its own ones.
#[must_use]
pub fn client_metrics(overrides: &DynamicValues, wanted: Wanted<'_>) -> Vec<Entry> {
    table::client_metrics_keys()
        .filter(|key| wanted.has(key.name))
        .map(|key| {
            let own = overrides.get(key.name).map(|text| printed(key, text));
            let set = own.clone().map(|value| candidate(key.name, Some(value), Source::DynamicClientMetrics));
            let value = own.or_else(|| key.default.value().map(str::to_owned));
            entry_of(key, value, set.into_iter().collect(), wanted)
        })
        .collect()
}

/// The levels of loggers, given by name.
pub fn loggers<'a>(levels: impl IntoIterator<Item = (&'a str, &'a str)>, wanted: Wanted<'_>) -> Vec<Entry> {
    let levels = levels.into_iter().filter(|(name, _)| wanted.has(name));
    levels
        .map(|(name, level)| Entry {
            name: name.to_owned(),
            value: Some(level.to_owned()),
            source: Source::DynamicBrokerLogger,
            read_only: false,
            is_sensitive: false,
            synonyms: Vec::new(),
            type_code: ConfigType::UNKNOWN_CODE,
            documentation: None,
        })
        .collect()
}

/// The configs in a CreateTopics answer (`KafkaConfigSchema.resolveEffectiveTopicConfigs`): values as they were written,
/// from the highest layer that sets the key or one of its synonyms, converted to the topic's unit.
#[must_use]
pub fn created_topic(values: &Values, overrides: &TopicOverrides) -> Vec<Entry> {
    table::topic_keys()
        .filter(|key| !key.internal || overrides.contains_key(key.name))
        .map(|key| {
            let (value, source) = created_value(values, overrides, key);
            Entry {
                name: key.name.to_owned(),
                value,
                source,
                read_only: false,
                is_sensitive: key.is_sensitive(),
                synonyms: Vec::new(),
                type_code: key.kind.code(),
                documentation: None,
            }
        })
        .collect()
}

fn created_value(values: &Values, overrides: &TopicOverrides, key: &ConfigKey) -> (Option<String>, Source) {
    if let Some(text) = overrides.get(key.name) {
        return (Some(text.clone()), Source::DynamicTopic);
    }
    for source in [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker] {
        for synonym in key.broker_synonyms() {
            let Some(text) = text_in(values, source, synonym.name) else { continue };
            let converted = match text.trim().parse::<i64>() {
                Ok(number) if synonym.factor != 1 => number.saturating_mul(synonym.factor).to_string(),
                _ => text.to_owned(),
            };
            return (Some(converted), source);
        }
    }
    (key.default.value().map(str::to_owned), Source::Default)
}

fn broker_entry(
    values: &Values,
    name: &str,
    value: Option<String>,
    counts: impl Fn(Source) -> bool,
    wanted: Wanted<'_>,
) -> Entry {
    let declared = load::declared(name);
    let is_sensitive = declared.is_none_or(|(key, _)| key.is_sensitive());
    let mut synonyms = broker_candidates(values, name, is_sensitive);
    synonyms.retain(|candidate| counts(candidate.source));
    let exact = table::broker_key(name);
    Entry {
        name: name.to_owned(),
        value: if is_sensitive { None } else { value },
        source: synonyms.first().map_or(Source::Default, |candidate| candidate.source),
        read_only: exact.is_none_or(|key| key.update == Update::ReadOnly),
        is_sensitive,
        synonyms: if wanted.synonyms { synonyms } else { Vec::new() },
        type_code: declared.map_or(ConfigType::UNKNOWN_CODE, |(key, _)| key.kind.code()),
        documentation: exact.filter(|_| wanted.documentation).map(|key| key.doc),
    }
}

fn entry_of(key: &ConfigKey, value: Option<String>, candidates: Vec<Candidate>, wanted: Wanted<'_>) -> Entry {
    Entry {
        name: key.name.to_owned(),
        value,
        source: candidates.first().map_or(Source::Default, |candidate| candidate.source),
        read_only: false,
        is_sensitive: key.is_sensitive(),
        synonyms: if wanted.synonyms { candidates } else { Vec::new() },
        type_code: key.kind.code(),
        documentation: if wanted.documentation { Some(key.doc) } else { None },
    }
}

/// What every layer says about `name` and its synonyms, highest layer first, from `name`'s own first value on
/// (`ConfigHelper.configSynonyms`).
fn broker_candidates(values: &Values, name: &str, is_sensitive: bool) -> Vec<Candidate> {
    let names = synonyms(name);
    let mut candidates = Vec::new();
    for source in [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker, Source::Default]
    {
        for name in &names {
            if let Some(text) = text_in(values, source, name) {
                let value = if is_sensitive { None } else { Some(text.to_owned()) };
                candidates.push(candidate(name, value, source));
            }
        }
    }
    let first = candidates.iter().position(|candidate| candidate.name == name);
    first.map(|first| candidates.split_off(first)).unwrap_or_default()
}

/// The broker keys that stand for the same as `name`, in order (`DynamicBrokerConfig.brokerConfigSynonyms`).
fn synonyms(name: &str) -> Vec<&str> {
    for key in table::topic_keys() {
        let group = key.broker_synonyms();
        let is_first = group.first().is_some_and(|synonym| synonym.name == name);
        // Keys that differ in their unit stand for each other; a fallback of the same unit is a setting of its own.
        let of_units = group.iter().any(|synonym| synonym.factor != 1)
            && group.iter().any(|synonym| synonym.name == name);
        if is_first || of_units {
            return group.iter().map(|synonym| synonym.name).collect();
        }
    }
    match load::base_of_listener_key(name) {
        Some(base) => vec![name, base],
        None => vec![name],
    }
}

/// What one layer says about a broker key.
fn text_in<'a>(values: &'a Values, source: Source, name: &str) -> Option<&'a str> {
    match source {
        Source::DynamicBroker => values.dynamic_broker().get(name).map(String::as_str),
        Source::DynamicDefaultBroker => values.dynamic_default().get(name).map(String::as_str),
        Source::StaticBroker => values.statics().get(name).map(|setting| setting.value.as_str()),
        Source::Default => table::broker_key(name).and_then(|key| key.default.listed()),
        Source::DynamicTopic
        | Source::DynamicBrokerLogger
        | Source::DynamicClientMetrics
        | Source::DynamicGroup => None,
    }
}

/// The value in force as Kafka prints it: parsed where the key is documented, as written otherwise.
fn value_in_force(values: &Values, name: &str) -> Option<String> {
    match table::broker_key(name) {
        Some(key) if !key.internal => values.value(name).map(Value::to_string),
        Some(_) | None => match values.text(name) {
            Some((text, origin)) if origin != Origin::Default => Some(text.to_owned()),
            _ => None,
        },
    }
}

fn candidate(name: &str, value: Option<String>, source: Source) -> Candidate {
    Candidate { name: name.to_owned(), value, source }
}

/// An own value of a group or subscription, printed by its type; as written where it does not fit.
fn printed(key: &ConfigKey, text: &str) -> String {
    Value::parse(key, text)
        .ok()
        .or_else(|| default_of(key))
        .map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
mod tests;
