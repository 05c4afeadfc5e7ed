//! Gathers the static layer: the configuration file, `--set`, and the options that stand for keys. Reads one file, once,
//! at start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, Origin, Warning};
use super::key::{ConfigKey, Effect};
use super::properties;
use super::suggest;
use super::table;
use super::values::{Setting, Values, default_of, parse};

/// Options of the command line that stand for keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--data-dir`, for `log.dirs`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`, each for one of `listeners`; empty leaves the key alone.
    pub listen: Vec<String>,
    /// `--cores`, for `slipring.cores`.
    pub cores: Option<usize>,
}

type Statics = BTreeMap<String, Setting>;

/// The static layer; a later source wins.
pub(super) fn statics(
    file: Option<&Path>,
    sets: &[(String, String)],
    overrides: &Overrides,
    warnings: &mut Vec<Warning>,
) -> Result<Statics, ConfigError> {
    let mut statics = match file {
        Some(path) => read(path, warnings)?,
        None => Statics::new(),
    };
    if !overrides.listen.is_empty()
        && let Some(setting) = statics.remove("advertised.listeners")
    {
        warnings.push(Warning::AdvertisedDropped { origin: setting.origin });
    }
    for (key, value) in sets {
        statics.insert(key.clone(), Setting { value: value.clone(), origin: Origin::Set });
    }
    let mut flag = |key: &str, value: String, flag| {
        statics.insert(key.to_owned(), Setting { value, origin: Origin::Flag(flag) });
    };
    if let Some(directory) = &overrides.data_dir {
        flag("log.dirs", directory_name(directory)?, "--data-dir");
    }
    if !overrides.listen.is_empty() {
        flag("listeners", overrides.listen.join(","), "--listen");
    }
    if let Some(cores) = overrides.cores {
        flag("slipring.cores", cores.to_string(), "--cores");
    }
    Ok(statics)
}

/// Warns of keys that are unknown or do nothing, and refuses values that Slipring cannot honour.
pub(super) fn warn_about(values: &Values, warnings: &mut Vec<Warning>) -> Result<(), ConfigError> {
    for (name, setting) in values.statics() {
        let origin = setting.origin.clone();
        let Some((key, of_listener)) = declared(name) else {
            if !is_handed_on(name) {
                warnings.push(Warning::UnknownKey { origin, key: name.clone(), hint: suggest::hint(name) });
            }
            continue;
        };
        let value = parse(key, &setting.value, &origin)?;
        if Some(&value) == default_of(key).as_ref() {
            continue;
        }
        match key.effect {
            Effect::Acts if of_listener => {
                let why = "Values for single listeners are not built yet.";
                warnings.push(Warning::NoEffect { origin, key: name.clone(), why });
            }
            Effect::Acts => {}
            Effect::NoEffect(why) => warnings.push(Warning::NoEffect { origin, key: name.clone(), why }),
            Effect::Refused(_)
                if key.name == "metadata.log.dir" && is_first_log_dir(values, &value.to_string()) => {}
            Effect::Refused(why) => {
                let why = format!("{why} Leave the key unset.");
                return Err(ConfigError::unsupported(origin, name, value.to_string(), why));
            }
        }
    }
    Ok(())
}

/// The key that `name` sets, and whether only for one listener (`listener.name.NAME.KEY`). SASL keys may have a mechanism
/// before them there.
pub(super) fn declared(name: &str) -> Option<(&'static ConfigKey, bool)> {
    if let Some(key) = table::broker_key(name) {
        return Some((key, false));
    }
    let base = base_of_listener_key(name)?;
    Some((table::broker_key(base)?, true))
}

/// What remains of `listener.name.NAME.KEY`, and of `listener.name.NAME.MECHANISM.KEY` for keys that may have one
/// (`DynamicBrokerConfig.brokerConfigSynonyms`).
pub(super) fn base_of_listener_key(name: &str) -> Option<&str> {
    const OF_MECHANISM: &[&str] = &[
        "sasl.jaas.config",
        "sasl.login.callback.handler.class",
        "sasl.login.class",
        "sasl.server.callback.handler.class",
        "connections.max.reauth.ms",
    ];
    let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    Some(OF_MECHANISM.iter().find(|key| base.ends_with(**key)).copied().unwrap_or(base))
}

/// Keys that Kafka hands on to plug-ins.
fn is_handed_on(name: &str) -> bool {
    ["config.providers.", "rlmm.config.", "rsm.config."].iter().any(|prefix| name.starts_with(prefix))
}

fn is_first_log_dir(values: &Values, directory: &str) -> bool {
    let directories = values.list_or_null("log.dirs").unwrap_or_else(|| values.list("log.dir"));
    directories.first().is_some_and(|first| first == directory)
}

fn directory_name(directory: &Path) -> Result<String, ConfigError> {
    let unusable = |problem: &str| {
        let origin = Origin::Flag("--data-dir");
        ConfigError::unusable(origin, "log.dirs", directory.display().to_string(), problem.to_owned())
    };
    match directory.to_str() {
        None => Err(unusable("the name must be UTF-8")),
        Some(name) if name.contains(',') => Err(unusable("the name must not contain a comma")),
        Some(name) => Ok(name.to_owned()),
    }
}

fn read(path: &Path, warnings: &mut Vec<Warning>) -> Result<Statics, ConfigError> {
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let properties = properties::parse(&bytes).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.line,
        problem: error.to_string(),
    })?;
    let path: Arc<Path> = path.into();
    let mut statics = Statics::new();
    for property in properties {
        let origin = Origin::File { path: path.clone(), line: property.line };
        let setting = Setting { value: property.value, origin };
        if let Some(earlier) = statics.insert(property.key.clone(), setting) {
            warnings.push(Warning::Repeated { origin: earlier.origin, key: property.key });
        }
    }
    Ok(statics)
}
