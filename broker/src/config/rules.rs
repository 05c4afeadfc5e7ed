//! What the controller asks of the declaration table when configs change (Kafka's `ControllerConfigurationValidator`,
//! `GroupConfig` and `ClientMetricsConfigs`). Pure, for any core.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_machine::controller::{ApiError, ConfigRules, ListChange, Rules, check_topic_name};
use slipring_machine::image::{ConfigKind, ConfigResource};
use slipring_protocol::error_code::ErrorCode;

use super::key::{ConfigKey, ConfigType, Effect, Scope};
use super::value::Value;
use super::{BrokerConfig, dynamic, table, topic};

/// The rules of a broker with this configuration.
#[must_use]
pub fn of(config: Arc<BrokerConfig>) -> Rules {
    Rules(Arc::new(TableRules { config }))
}

struct TableRules {
    config: Arc<BrokerConfig>,
}

type Configs = BTreeMap<String, String>;

impl ConfigRules for TableRules {
    /// Lists of groups and client metrics can't be changed entry by entry, as in Kafka.
    fn list(&self, kind: ConfigKind, name: &str, change: ListChange) -> Result<String, ApiError> {
        let key = match kind {
            ConfigKind::TOPIC => table::topic_key(name),
            ConfigKind::BROKER => table::broker_key(name),
            ConfigKind(_) => None,
        };
        match key {
            Some(key) if key.kind == ConfigType::List => {
                Ok(key.default.value().unwrap_or_default().to_owned())
            }
            None if kind == ConfigKind::BROKER => Err(invalid_config(format!("Unknown config name: {name}"))),
            Some(_) | None => Err(invalid_config(no_list(kind, name, change))),
        }
    }

    fn check(&self, resource: &ConfigResource, configs: &Configs) -> Result<(), ApiError> {
        let name = &*resource.name;
        match resource.kind {
            ConfigKind::TOPIC => {
                if name.is_empty() {
                    return Err(invalid_request("Default topic resources are not allowed."));
                }
                check_topic_name(name)?;
                let wanted = configs.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
                topic::validate(self.config.values(), &wanted).map_err(error)
            }
            ConfigKind::BROKER => dynamic::check(&self.config, !name.is_empty(), configs).map_err(error),
            ConfigKind::CLIENT_METRICS => check_client_metrics(name, configs),
            ConfigKind::GROUP => check_group(&self.config, name, configs),
            ConfigKind(kind) => Err(invalid_request(&format!("Unknown resource type {kind}"))),
        }
    }
}

fn error((code, message): (ErrorCode, String)) -> ApiError {
    ApiError::new(code, message)
}

fn invalid_request(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

fn invalid_config(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidConfig, message)
}

/// A broker's keys are checked by the broker in Kafka, others by the controller, each in words of its own.
fn no_list(kind: ConfigKind, name: &str, change: ListChange) -> String {
    match (kind, change) {
        (ConfigKind::BROKER, ListChange::Append) => {
            format!("Config value append is not allowed for config key: {name}")
        }
        (ConfigKind::BROKER, ListChange::Subtract) => {
            format!("Config value subtract is not allowed for config key: {name}")
        }
        (ConfigKind(_), ListChange::Append) => {
            format!("Can't APPEND to key {name} because its type is not LIST.")
        }
        (ConfigKind(_), ListChange::Subtract) => {
            format!("Can't SUBTRACT to key {name} because its type is not LIST.")
        }
    }
}

fn check_client_metrics(name: &str, configs: &Configs) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(invalid_request("Subscription name can't be empty"));
    }
    if let Some(key) = configs.keys().find(|key| table::client_metrics_key(key).is_none()) {
        return Err(invalid_request(&format!("Unknown client metrics configuration: {key}")));
    }
    for (name, text) in configs {
        let key = table::client_metrics_key(name).expect("unknown keys were refused");
        match Value::parse(key, text).map_err(|invalid| invalid_config(invalid.to_string()))? {
            Value::Int(interval) if !(100..=3_600_000).contains(&interval) => {
                return Err(invalid_request(&format!(
                    "Invalid value {interval} for {name}, interval must be between 100 and 3600000 (1 hour)"
                )));
            }
            Value::List(patterns) if name == "match" => {
                patterns.iter().try_for_each(|pattern| check_match(pattern))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What clients can be told apart by (KIP-714).
const MATCHED: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

fn check_match(pattern: &str) -> Result<(), ApiError> {
    let is_legal = pattern.split_once('=').is_some_and(|(parameter, expression)| {
        MATCHED.contains(&parameter.trim())
            && !expression.is_empty()
            && !expression.contains('=')
            && regex::Regex::new(expression.trim()).is_ok()
    });
    if is_legal { Ok(()) } else { Err(invalid_config(format!("Illegal client matching pattern: {pattern}"))) }
}

/// A key of groups, the words for being below and above, and the broker's keys of both limits.
struct Limits {
    key: &'static str,
    min: &'static str,
    max: &'static str,
}

const LIMITS: &[Limits] = &[
    Limits {
        key: "consumer.heartbeat.interval.ms",
        min: "group.consumer.min.heartbeat.interval.ms",
        max: "group.consumer.max.heartbeat.interval.ms",
    },
    Limits {
        key: "consumer.session.timeout.ms",
        min: "group.consumer.min.session.timeout.ms",
        max: "group.consumer.max.session.timeout.ms",
    },
    Limits {
        key: "consumer.assignment.interval.ms",
        min: "group.consumer.min.assignment.interval.ms",
        max: "group.consumer.max.assignment.interval.ms",
    },
];

/// Configs of kinds of groups that are not served are refused: nothing would honour them.
fn check_group(config: &BrokerConfig, name: &str, configs: &Configs) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(invalid_request("Default group resources are not allowed."));
    }
    if let Some(key) = configs.keys().find(|key| table::group_key(key).is_none()) {
        return Err(invalid_config(format!("Unknown group config name: {key}")));
    }
    for (name, text) in configs {
        let key = table::group_key(name).expect("unknown keys were refused");
        // What the broker's key takes, the group's takes.
        let broker_key = match key.scope {
            Scope::Group(Some(name)) => table::broker_key(name),
            _ => None,
        };
        let checked = ConfigKey { check: broker_key.map_or(key.check, |key| key.check), ..*key };
        Value::parse(&checked, text).map_err(|invalid| invalid_config(invalid.to_string()))?;
        if let Effect::NoEffect(why) | Effect::Refused(why) = key.effect {
            return Err(invalid_config(format!("{name} is not taken: {why}")));
        }
    }
    let in_force = |name: &str| match configs.get(name).map(|text| text.trim().parse::<i64>()) {
        Some(Ok(number)) => number,
        _ => match table::group_key(name).map(|key| key.scope) {
            Some(Scope::Group(Some(broker_key))) => config.values().integer(broker_key),
            _ => 0,
        },
    };
    for limits in LIMITS {
        let value = in_force(limits.key);
        if value < config.values().integer(limits.min) {
            let message = format!("{} must be greater than or equal to {}", limits.key, limits.min);
            return Err(invalid_config(message));
        }
        if value > config.values().integer(limits.max) {
            return Err(invalid_config(format!(
                "{} must be less than or equal to {}",
                limits.key, limits.max
            )));
        }
    }
    if in_force("consumer.session.timeout.ms") <= in_force("consumer.heartbeat.interval.ms") {
        let message = "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms";
        return Err(invalid_config(message.to_owned()));
    }
    Ok(())
}
