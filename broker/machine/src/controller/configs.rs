//! IncrementalAlterConfigs and AlterConfigs (Kafka's `ConfigurationControlManager`). Which keys there are and what they take is
//! not known here: the caller brings the rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::metadata_records::{Config, MetadataRecord};

use super::{ApiError, Controller, Decision, RECORDS_PER_OPERATION_MAX};
use crate::image::{ConfigKind, ConfigResource};

/// Changes of configs. Each resource stands in it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigs {
    /// The changes, one for each resource.
    pub resources: Vec<ConfigAlteration>,
    /// Only check.
    pub validate_only: bool,
    /// What keys and values are.
    pub rules: Rules,
}

/// The changes of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// Whose configs.
    pub resource: ConfigResource,
    /// What becomes of them.
    pub change: ConfigChange,
}

/// What becomes of the configs of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// These keys change, the others stay.
    Some(Vec<(String, ConfigOperation)>),
    /// These are all that there are from now on.
    All(BTreeMap<String, String>),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// This is its value.
    Set(String),
    /// It has none.
    Delete,
    /// These entries, comma-separated, join its list.
    Append(String),
    /// These leave it.
    Subtract(String),
}

/// A change of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListChange {
    /// Entries join.
    Append,
    /// Entries leave.
    Subtract,
}

/// What the controller has to know of keys and values. Pure: the same questions get the same answers.
pub trait ConfigRules: Send + Sync {
    /// The list that entries join or leave where none is set: the key's default.
    ///
    /// # Errors
    /// When values of this key are no lists.
    fn list(&self, kind: ConfigKind, key: &str, change: ListChange) -> Result<String, ApiError>;

    /// Whether a resource may have just these configs.
    ///
    /// # Errors
    /// Why not.
    fn check(&self, resource: &ConfigResource, configs: &BTreeMap<String, String>) -> Result<(), ApiError>;
}

/// The rules, as a part of a command.
#[derive(Clone)]
pub struct Rules(pub Arc<dyn ConfigRules>);

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Rules {}

/// What became of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigResult {
    /// Whose configs.
    pub resource: ConfigResource,
    /// Whether they were changed.
    pub result: Result<(), ApiError>,
}

type Values = BTreeMap<String, String>;

impl Controller {
    /// Changes configs; one result for each resource, in the order of the command. A resource changes as a whole or not at
    /// all; all that change do so together.
    pub fn alter_configs(&self, command: &AlterConfigs) -> Decision<Result<Vec<ConfigResult>, ApiError>> {
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(command.resources.len());
        for alteration in &command.resources {
            let altered = self.alter(alteration, &*command.rules.0);
            let result = altered.map(|changed| records.extend(changed));
            results.push(ConfigResult { resource: alteration.resource.clone(), result });
        }
        if records.len() > RECORDS_PER_OPERATION_MAX {
            return Decision::nothing(Err(ApiError::too_large()));
        }
        let records = if command.validate_only { Vec::new() } else { records };
        Decision::atomic(records, Ok(results))
    }

    fn alter(
        &self,
        alteration: &ConfigAlteration,
        rules: &dyn ConfigRules,
    ) -> Result<Vec<MetadataRecord>, ApiError> {
        let resource = &alteration.resource;
        let present = self.present(resource);
        let wanted = match &alteration.change {
            ConfigChange::All(configs) => configs.clone(),
            ConfigChange::Some(changes) => changed(resource.kind, &present, changes, rules)?,
        };
        rules.check(resource, &wanted)?;
        if resource.kind == ConfigKind::TOPIC && self.image.topic(&resource.name).is_none() {
            let message = format!("The topic '{}' does not exist.", resource.name);
            return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
        }
        let record = |name: &String, value: Option<&String>| {
            MetadataRecord::from(Config {
                resource_type: resource.kind.0,
                resource_name: resource.name.to_string(),
                name: name.clone(),
                value: value.cloned(),
            })
        };
        let set = wanted.iter().filter(|(name, value)| present.get(*name) != Some(*value));
        let gone = present.keys().filter(|name| !wanted.contains_key(*name));
        Ok(set
            .map(|(name, value)| record(name, Some(value)))
            .chain(gone.map(|name| record(name, None)))
            .collect())
    }

    fn present(&self, resource: &ConfigResource) -> Values {
        let set = self.image.configs(resource);
        let pairs = set.into_iter().flat_map(|set| set.iter());
        pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }
}

/// The configs after the changes.
fn changed(
    kind: ConfigKind,
    present: &Values,
    changes: &[(String, ConfigOperation)],
    rules: &dyn ConfigRules,
) -> Result<Values, ApiError> {
    let mut wanted = present.clone();
    for (name, operation) in changes {
        let list = |change: ListChange| {
            let default = rules.list(kind, name, change)?;
            let entries = present.get(name).unwrap_or(&default).split(',').filter(|entry| !entry.is_empty());
            Ok::<_, ApiError>(entries.map(str::to_owned).collect::<Vec<String>>())
        };
        let value = match operation {
            ConfigOperation::Delete => {
                wanted.remove(name);
                continue;
            }
            ConfigOperation::Set(value) => value.clone(),
            ConfigOperation::Append(more) => {
                let mut entries = list(ListChange::Append)?;
                for entry in java_split(more) {
                    if !entries.iter().any(|old| old == entry) {
                        entries.push(entry.to_owned());
                    }
                }
                entries.join(",")
            }
            ConfigOperation::Subtract(less) => {
                let mut entries = list(ListChange::Subtract)?;
                for entry in java_split(less) {
                    if let Some(at) = entries.iter().position(|old| old == entry) {
                        entries.remove(at);
                    }
                }
                entries.join(",")
            }
        };
        wanted.insert(name.clone(), value);
    }
    Ok(wanted)
}

/// `String.split(",")` of Java, which drops empty parts at the end but not those before.
fn java_split(text: &str) -> impl Iterator<Item = &str> {
    let parts: Vec<&str> = text.split(',').collect();
    let end = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
    let end = if text.is_empty() { 1 } else { end };
    parts.into_iter().take(end)
}
