//! What IncrementalAlterConfigs and AlterConfigs share: the checks that Kafka's brokers make before the controller hears of a
//! change (`ConfigAdminManager`), and asking the controller.

use std::collections::BTreeMap;
use std::rc::Rc;

use slipring_machine::controller::{
    AlterConfigs, ApiError, Command, ConfigAlteration, ConfigChange, ConfigOperation, Reply,
};
use slipring_machine::image::{ConfigKind, ConfigResource};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::BrokerId;

use super::control;
use crate::config::rules;
use crate::shard::Shard;

/// Levels of this broker's loggers.
pub(super) const BROKER_LOGGER: ConfigKind = ConfigKind(8);

/// One resource of a request.
pub(super) struct Asked {
    /// Kafka's number of its kind.
    pub(super) kind: i8,
    /// Its name.
    pub(super) name: String,
    /// What is to become of its configs, or what is wrong with that.
    pub(super) change: Result<ConfigChange, ApiError>,
}

impl Asked {
    fn resource(&self) -> ConfigResource {
        ConfigResource { kind: ConfigKind(self.kind), name: self.name.as_str().into() }
    }
}

/// An error of one resource's own making.
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

/// What must hold of the configs of one resource in any request: no key twice, no null where a value must be.
///
/// # Errors
/// `INVALID_REQUEST` and Kafka's words.
pub(super) fn check_keys<'a>(
    keys: impl Iterator<Item = &'a str> + Clone,
    nulls: impl Iterator<Item = &'a str>,
) -> Result<(), ApiError> {
    let mut seen = std::collections::BTreeSet::new();
    if !keys.clone().all(|key| seen.insert(key)) {
        return Err(invalid("Error due to duplicate config keys"));
    }
    let nulls: Vec<&str> = nulls.collect();
    if nulls.is_empty() {
        return Ok(());
    }
    Err(invalid(format!("Null value not supported for : {}", nulls.join(", "))))
}

/// Changes configs; one result for each resource, in the order of the request.
pub(super) async fn alter(
    shard: &Rc<Shard>,
    asked: Vec<Asked>,
    validate_only: bool,
) -> Vec<(Asked, Result<(), ApiError>)> {
    let mut counts: BTreeMap<(i8, String), u32> = BTreeMap::new();
    for resource in &asked {
        *counts.entry((resource.kind, resource.name.clone())).or_default() += 1;
    }
    let node = shard.config.node_id;
    let checked: Vec<Result<ConfigChange, ApiError>> = asked
        .iter()
        .map(|resource| {
            if counts[&(resource.kind, resource.name.clone())] > 1 {
                return Err(invalid("Each resource must appear at most once."));
            }
            let change = resource.change.clone()?;
            check_resource(resource, node)?;
            Ok(change)
        })
        .collect();
    let wanted = asked.iter().zip(&checked).filter_map(|(resource, checked)| {
        let change = checked.as_ref().ok()?.clone();
        let is_kept = resource.kind != BROKER_LOGGER.0;
        is_kept.then(|| ConfigAlteration { resource: resource.resource(), change })
    });
    let resources: Vec<ConfigAlteration> = wanted.collect();
    let decided = decide(shard, resources, validate_only).await;
    let result = |resource: &Asked, checked: Result<ConfigChange, ApiError>| {
        checked?;
        match &decided {
            Ok(decided) => decided.get(&resource.resource()).cloned().unwrap_or(Ok(())),
            Err(error) => Err(error.clone()),
        }
    };
    asked
        .into_iter()
        .zip(checked)
        .map(|(resource, checked)| {
            let result = result(&resource, checked);
            (resource, result)
        })
        .collect()
}

type Decided = BTreeMap<ConfigResource, Result<(), ApiError>>;

async fn decide(
    shard: &Rc<Shard>,
    resources: Vec<ConfigAlteration>,
    validate_only: bool,
) -> Result<Decided, ApiError> {
    if resources.is_empty() {
        return Ok(Decided::new());
    }
    let command = AlterConfigs { resources, validate_only, rules: rules::of(shard.config_now()) };
    match control::execute(shard, Command::AlterConfigs(command)).await {
        Some(Reply::AlterConfigs(Ok(results))) => {
            Ok(results.into_iter().map(|decided| (decided.resource, decided.result)).collect())
        }
        Some(Reply::AlterConfigs(Err(error))) => Err(error),
        _ => Err(control::stopping()),
    }
}

fn check_resource(resource: &Asked, node: BrokerId) -> Result<(), ApiError> {
    match ConfigKind(resource.kind) {
        ConfigKind::BROKER if resource.name.is_empty() => Ok(()),
        ConfigKind::BROKER => check_node(&resource.name, node),
        BROKER_LOGGER => check_loggers(resource, node),
        ConfigKind::TOPIC | ConfigKind::GROUP | ConfigKind::CLIENT_METRICS => Ok(()),
        ConfigKind(kind) => Err(invalid(format!("Unknown resource type {kind}"))),
    }
}

fn check_node(name: &str, node: BrokerId) -> Result<(), ApiError> {
    match name.parse::<i32>() {
        Err(_) => Err(invalid(format!("Node id must be an integer, but it is: {name}"))),
        Ok(id) if id != node.0 => {
            Err(invalid(format!("Unexpected broker id, expected {node}, but received {name}")))
        }
        Ok(_) => Ok(()),
    }
}

/// There are no loggers whose levels could change while the broker runs (Kafka's `RuntimeLoggerManager`).
fn check_loggers(resource: &Asked, node: BrokerId) -> Result<(), ApiError> {
    if resource.name.parse().is_ok_and(|id: i32| id != node.0) {
        return Err(invalid(format!("Unexpected node id. Expected {node}, but received {}", resource.name)));
    }
    check_node(&resource.name, node)?;
    let Ok(ConfigChange::Some(changes)) = &resource.change else { return Ok(()) };
    let Some((name, operation)) = changes.first() else { return Ok(()) };
    let verb = match operation {
        ConfigOperation::Append(_) => "APPEND",
        ConfigOperation::Subtract(_) => "SUBTRACT",
        ConfigOperation::Set(_) | ConfigOperation::Delete => {
            return Err(ApiError::new(ErrorCode::InvalidConfig, format!("Logger {name} does not exist!")));
        }
    };
    Err(invalid(format!("{verb} operation is not allowed for the BROKER_LOGGER resource")))
}
