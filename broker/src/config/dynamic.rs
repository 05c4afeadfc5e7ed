//! Dynamic configs of brokers: which keys may change while the broker runs, and the configuration that comes of it (KIP-226;
//! Kafka's `DynamicBrokerConfig`). Pure, for any core.

use slipring_protocol::error_code::ErrorCode;

use super::BrokerConfig;
use super::error::ConfigError;
use super::key::{ConfigKey, Effect, Update};
use super::load;
use super::table;
use super::value::Value;
use super::values::DynamicValues;

/// Rates of replication between brokers (KIP-73), which only dynamic configs have. `kafka-reassign-partitions` sets and removes
/// them; with one broker there is nothing to slow down.
const REPLICATION_RATES: [&str; 3] = [
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

/// Kafka takes these for single listeners only (`SslConfigs.RECONFIGURABLE_CONFIGS`).
const OF_LISTENERS_ONLY: [&str; 10] = [
    "ssl.keystore.type",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.key.password",
    "ssl.truststore.type",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.truststore.certificates",
];

/// Kafka changes these while it runs, Slipring does not.
const AT_START_ONLY: [&str; 3] =
    ["listeners", "listener.security.protocol.map", "group.consumer.assignment.interval.ms"];

/// Whether a change of this broker key is taken while the broker runs: it then acts at once, or stands in for a topic key that
/// has no effect either.
#[must_use]
pub fn is_taken(key: &ConfigKey) -> bool {
    let stands_in = || {
        let mut synonyms = table::topic_keys().flat_map(ConfigKey::broker_synonyms);
        synonyms.any(|synonym| synonym.name == key.name)
    };
    REPLICATION_RATES.contains(&key.name)
        || key.update != Update::ReadOnly
            && !AT_START_ONLY.contains(&key.name)
            && (key.effect == Effect::Acts || stands_in())
}

/// Whether a broker, or the cluster, may have just these dynamic configs.
///
/// # Errors
/// `INVALID_REQUEST` and Kafka's words.
pub fn check(
    config: &BrokerConfig,
    of_one_broker: bool,
    configs: &DynamicValues,
) -> Result<(), (ErrorCode, String)> {
    let refuse = |message: String| Err((ErrorCode::InvalidRequest, message));
    let unless_any = |problem: &str, is_wrong: &dyn Fn(&str) -> bool| {
        let wrong: Vec<&str> = configs.keys().map(String::as_str).filter(|name| is_wrong(name)).collect();
        if wrong.is_empty() { Ok(()) } else { refuse(format!("{problem}: [{}]", wrong.join(", "))) }
    };
    let is = |name: &str, update: Update| table::broker_key(name).is_some_and(|key| key.update == update);
    let fixed = "Cannot update these configs dynamically";
    let is_exempt = |name: &str| OF_LISTENERS_ONLY.contains(&name) || REPLICATION_RATES.contains(&name);
    unless_any(fixed, &|name| is(name, Update::ReadOnly) && !is_exempt(name))?;
    unless_any(
        "These security configs can be dynamically updated only per-listener using the listener prefix",
        &|name| OF_LISTENERS_ONLY.contains(&name),
    )?;
    for (name, text) in configs {
        check_type(name, text).or_else(refuse)?;
    }
    if !of_one_broker {
        unless_any(
            "Cannot update these configs at default cluster level, broker id must be specified",
            &|name| is(name, Update::PerBroker) || load::base_of_listener_key(name).is_some(),
        )?;
    }
    unless_any(fixed, &|name| {
        load::declared(name).is_some_and(|(key, of_listener)| of_listener || !is_taken(key))
    })?;
    if configs.get("log.retention.ms").is_some_and(|text| text.trim() == "0") {
        let why = "log.retention.ms must be unlimited (-1) or, greater than or equal to 1";
        return refuse(format!("requirement failed: {why}"));
    }
    let values = config.values();
    let (default, own) = if of_one_broker {
        (values.dynamic_default().clone(), configs.clone())
    } else {
        (configs.clone(), values.dynamic_broker().clone())
    };
    match config.with_dynamic(default, own) {
        Ok(_) => Ok(()),
        Err(error) => refuse(error.to_string()),
    }
}

fn check_type(name: &str, text: &str) -> Result<(), String> {
    if REPLICATION_RATES.contains(&name) {
        return match text.trim().parse::<i64>() {
            Ok(0..) => Ok(()),
            Ok(_) => Err(format!("Invalid value {text} for configuration {name}: Value must be at least 0")),
            Err(_) => {
                Err(format!("Invalid value {text} for configuration {name}: Not a number of type LONG"))
            }
        };
    }
    match load::declared(name) {
        Some((key, _)) => Value::parse(key, text).map(|_| ()).map_err(|invalid| invalid.to_string()),
        None => Ok(()),
    }
}

/// The configuration of a broker that was started with `started_with`, under the cluster's and its own dynamic configs as the
/// metadata log has them. Those that are not taken, or do not fit, are left out: another broker may have let them in.
///
/// # Errors
/// When those that are left contradict each other.
pub fn applied(
    started_with: &BrokerConfig,
    default: DynamicValues,
    own: DynamicValues,
) -> Result<BrokerConfig, ConfigError> {
    let usable = |mut configs: DynamicValues| {
        configs.retain(|name, text| {
            let taken = load::declared(name).is_none_or(|(key, of_listener)| !of_listener && is_taken(key));
            let fits = taken && check_type(name, text).is_ok();
            if !fits {
                tracing::warn!(config = name, "dynamic config ignored");
            }
            fits
        });
        configs
    };
    started_with.with_dynamic(usable(default), usable(own))
}

#[cfg(test)]
mod tests {
    use super::super::Overrides;
    use super::*;

    fn config() -> BrokerConfig {
        BrokerConfig::load(None, &[], &Overrides::default()).unwrap().0
    }

    fn configs(pairs: &[(&str, &str)]) -> DynamicValues {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Kafka 4.3.0's own answers where it refuses too; the last two it would take.
    #[test]
    fn what_would_have_no_effect_is_refused() {
        let cases = [
            ("num.partitions", "3", "Cannot update these configs dynamically: [num.partitions]"),
            (
                "ssl.keystore.type",
                "PEM",
                "These security configs can be dynamically updated only per-listener using the listener prefix: \
                 [ssl.keystore.type]",
            ),
            (
                "message.max.bytes",
                "x",
                "Invalid value x for configuration message.max.bytes: Not a number of type INT",
            ),
            (
                "log.retention.ms",
                "0",
                "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
            ),
            (
                "leader.replication.throttled.rate",
                "-1",
                "Invalid value -1 for configuration leader.replication.throttled.rate: Value must be at least 0",
            ),
            ("num.io.threads", "9", "Cannot update these configs dynamically: [num.io.threads]"),
            ("background.threads", "2", "Cannot update these configs dynamically: [background.threads]"),
        ];
        for (name, value, why) in cases {
            for of_one_broker in [true, false] {
                let refused = check(&config(), of_one_broker, &configs(&[(name, value)])).unwrap_err();
                assert_eq!(refused, (ErrorCode::InvalidRequest, why.to_owned()));
            }
        }
        let listeners = configs(&[("listeners", "PLAINTEXT://:1")]);
        let (_, of_all) = check(&config(), false, &listeners).unwrap_err();
        assert_eq!(
            of_all,
            "Cannot update these configs at default cluster level, broker id must be specified: [listeners]"
        );
        check(&config(), true, &configs(&[("leader.replication.throttled.rate", "1000")])).unwrap();
    }

    #[test]
    fn values_of_one_broker_stand_over_those_of_the_cluster_and_misfits_are_left_out() {
        let default = configs(&[("message.max.bytes", "2000"), ("log.roll.ms", "x"), ("node.id", "9")]);
        let own =
            configs(&[("message.max.bytes", "3000"), ("num.io.threads", "9"), ("max.connections", "5")]);
        let both = applied(&config(), default.clone(), own).unwrap();
        assert_eq!((both.topic_defaults.message_bytes_max, both.network.connections_max), (3000, 5));
        let one = applied(&config(), default, DynamicValues::new()).unwrap();
        assert_eq!((one.topic_defaults.message_bytes_max, one.node_id), (2000, config().node_id));
        assert_eq!(one.topic_defaults.segment_ms, config().topic_defaults.segment_ms);
    }
}
