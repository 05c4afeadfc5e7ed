//! The layers of a broker's configuration, and the parsed values that are in force: a broker's own dynamic value over
//! the cluster's dynamic default over the static file and command line over the table's default. Pure, for any core.

use std::collections::BTreeMap;

use super::error::{ConfigError, Origin};
use super::key::ConfigKey;
use super::table;
use super::value::{Value, allowed};

/// A value as it was written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The text.
    pub value: String,
    /// Where.
    pub origin: Origin,
}

/// Dynamic values by key, as the metadata log holds them.
pub type DynamicValues = BTreeMap<String, String>;

/// All layers, and every declared key's value in force.
#[derive(Clone, Debug)]
pub struct Values {
    statics: BTreeMap<String, Setting>,
    dynamic_default: DynamicValues,
    dynamic_broker: DynamicValues,
    in_force: BTreeMap<&'static str, Option<Value>>,
}

impl Values {
    /// Resolves the layers; unknown keys stay in theirs.
    ///
    /// # Errors
    /// The first value in force that does not fit its key.
    pub fn resolve(
        mut statics: BTreeMap<String, Setting>,
        dynamic_default: DynamicValues,
        dynamic_broker: DynamicValues,
    ) -> Result<Self, ConfigError> {
        mirror_node_id(&mut statics);
        let mut values = Self { statics, dynamic_default, dynamic_broker, in_force: BTreeMap::new() };
        for key in table::broker_keys() {
            let value = match values.text(key.name) {
                None => default_of(key),
                Some((text, origin)) => Some(parse(key, text, &origin)?),
            };
            values.in_force.insert(key.name, value);
        }
        Ok(values)
    }

    /// The same static layer under other dynamic ones.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn with_dynamic(
        &self,
        dynamic_default: DynamicValues,
        dynamic_broker: DynamicValues,
    ) -> Result<Self, ConfigError> {
        Self::resolve(self.statics.clone(), dynamic_default, dynamic_broker)
    }

    /// What was written for `name` in the highest layer that sets it.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<(&str, Origin)> {
        let dynamic = self.dynamic_broker.get(name).or_else(|| self.dynamic_default.get(name));
        match dynamic {
            Some(text) => Some((text, Origin::Dynamic)),
            None => self.statics.get(name).map(|setting| (setting.value.as_str(), setting.origin.clone())),
        }
    }

    /// Where the value in force comes from.
    #[must_use]
    pub fn origin(&self, name: &str) -> Origin {
        self.text(name).map_or(Origin::Default, |(_, origin)| origin)
    }

    /// Whether anybody set `name`.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// The value in force of a declared key; `None` where that is null.
    ///
    /// # Panics
    /// When the table has no such key.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.in_force.get(name).expect("the broker reads declared keys only").as_ref()
    }

    /// The static layer.
    #[must_use]
    pub const fn statics(&self) -> &BTreeMap<String, Setting> {
        &self.statics
    }

    /// The cluster's dynamic defaults.
    #[must_use]
    pub const fn dynamic_default(&self) -> &DynamicValues {
        &self.dynamic_default
    }

    /// This broker's dynamic values.
    #[must_use]
    pub const fn dynamic_broker(&self) -> &DynamicValues {
        &self.dynamic_broker
    }

    /// A whole number; `None` where that is null.
    pub(super) fn integer_or_null(&self, name: &str) -> Option<i64> {
        self.value(name).map(|value| match value {
            Value::Int(number) => i64::from(*number),
            Value::Short(number) => i64::from(*number),
            Value::Long(number) => *number,
            other => panic!("{name} is read as a whole number and declared as {other:?}"),
        })
    }

    /// A whole number of a key with a default.
    pub(super) fn integer(&self, name: &str) -> i64 {
        self.integer_or_null(name).expect("the key has a default")
    }

    /// The value of an INT or SHORT key with a default.
    pub(super) fn int(&self, name: &str) -> i32 {
        i32::try_from(self.integer(name)).expect("the key is an INT or SHORT")
    }

    /// A switch.
    pub(super) fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => *value,
            other => panic!("{name} is read as a switch and is {other:?}"),
        }
    }

    /// A text; `None` where that is null.
    pub(super) fn string_or_null(&self, name: &str) -> Option<&str> {
        self.value(name).map(|value| match value {
            Value::String(text) => text.as_str(),
            other => panic!("{name} is read as a text and declared as {other:?}"),
        })
    }

    /// A text of a key with a default.
    pub(super) fn string(&self, name: &str) -> &str {
        self.string_or_null(name).expect("the key has a default")
    }

    /// A list; `None` where that is null.
    pub(super) fn list_or_null(&self, name: &str) -> Option<&[String]> {
        self.value(name).map(|value| match value {
            Value::List(entries) => entries.as_slice(),
            other => panic!("{name} is read as a list and declared as {other:?}"),
        })
    }

    /// A list of a key with a default.
    pub(super) fn list(&self, name: &str) -> &[String] {
        self.list_or_null(name).expect("the key has a default")
    }
}

/// The table's default, parsed.
#[must_use]
pub(super) fn default_of(key: &ConfigKey) -> Option<Value> {
    key.default.value().map(|text| Value::parse(key, text).expect("a test parses every default"))
}

/// Parses what somebody wrote.
pub(super) fn parse(key: &ConfigKey, text: &str, origin: &Origin) -> Result<Value, ConfigError> {
    Value::parse(key, text).map_err(|invalid| ConfigError::invalid(origin.clone(), invalid, allowed(key)))
}

/// `node.id` and its older name stand for each other where only one is set (`AbstractKafkaConfig.populateSynonyms`).
fn mirror_node_id(statics: &mut BTreeMap<String, Setting>) {
    for (from, to) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
        if let (Some(setting), None) = (statics.get(from), statics.get(to)) {
            let setting = setting.clone();
            statics.insert(to.to_owned(), setting);
        }
    }
}
