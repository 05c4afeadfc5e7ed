//! What must hold between the values of several keys (`KafkaConfig.validateValues`), and the grammar of the keys of the
//! controller quorum. Pure, for any core.

use super::error::ConfigError;
use super::listeners::unusable;
use super::values::Values;

/// Checks the values in force against each other.
pub(super) fn check(values: &Values) -> Result<(), ConfigError> {
    check_roles(values)?;
    check_voters(values)?;
    for rule in RULES {
        if let Some(problem) = (rule.broken)(values) {
            return Err(unusable(values, rule.key, problem));
        }
    }
    Ok(())
}

/// A condition, and the key that is named when it does not hold.
struct Rule {
    key: &'static str,
    broken: fn(&Values) -> Option<String>,
}

const MIB: i64 = 1 << 20;

const RULES: &[Rule] = &[
    Rule {
        key: "broker.id",
        broken: |v| (v.int("broker.id") != v.int("node.id")).then(|| "it must equal node.id".to_owned()),
    },
    Rule { key: "log.roll.ms", broken: |v| at_least(v.integer_or_null("log.roll.ms"), 1) },
    Rule { key: "log.roll.jitter.ms", broken: |v| at_least(v.integer_or_null("log.roll.jitter.ms"), 0) },
    Rule { key: "log.retention.ms", broken: |v| age(v.integer_or_null("log.retention.ms")) },
    Rule { key: "log.retention.minutes", broken: |v| age(v.integer_or_null("log.retention.minutes")) },
    Rule { key: "log.retention.hours", broken: |v| age(v.integer_or_null("log.retention.hours")) },
    Rule {
        key: "log.cleaner.min.compaction.lag.ms",
        broken: |v| above(v, "log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    },
    Rule {
        key: "log.cleaner.dedupe.buffer.size",
        broken: |v| {
            let threads = v.integer("log.cleaner.threads").max(1);
            (v.integer("log.cleaner.dedupe.buffer.size") / threads <= MIB)
                .then(|| "it must be more than 1 MiB for each of log.cleaner.threads".to_owned())
        },
    },
    Rule {
        key: "replica.fetch.wait.max.ms",
        broken: |v| above(v, "replica.fetch.wait.max.ms", "replica.socket.timeout.ms"),
    },
    Rule {
        key: "replica.fetch.wait.max.ms",
        broken: |v| above(v, "replica.fetch.wait.max.ms", "replica.lag.time.max.ms"),
    },
    Rule {
        key: "queued.max.request.bytes",
        broken: |v| {
            let queued = v.integer("queued.max.request.bytes");
            (queued > 0 && queued < v.integer("socket.request.max.bytes"))
                .then(|| "it must be -1 or at least socket.request.max.bytes".to_owned())
        },
    },
    Rule {
        key: "max.connections.per.ip",
        broken: |v| {
            (v.int("max.connections.per.ip") == 0 && v.string("max.connections.per.ip.overrides").is_empty())
                .then(|| "0 is allowed only where max.connections.per.ip.overrides is set".to_owned())
        },
    },
    Rule {
        key: "connections.max.idle.ms",
        broken: |v| {
            let idle = v.integer("connections.max.idle.ms");
            (idle >= 0 && idle <= v.integer("connection.failed.authentication.delay.ms")).then(|| {
                "it must be negative or more than connection.failed.authentication.delay.ms".to_owned()
            })
        },
    },
    Rule { key: "cordoned.log.dirs", broken: cordoned },
    Rule {
        key: "group.coordinator.rebalance.protocols",
        broken: |v| {
            let protocols = v.list("group.coordinator.rebalance.protocols");
            (!protocols.iter().any(|protocol| protocol == "classic"))
                .then(|| "classic must be one of them".to_owned())
        },
    },
];

fn at_least(number: Option<i64>, min: i64) -> Option<String> {
    number.filter(|number| *number < min).map(|_| format!("it must be at least {min}"))
}

fn age(number: Option<i64>) -> Option<String> {
    number.filter(|number| *number == 0).map(|_| "it must be at least 1, or negative for ever".to_owned())
}

fn above(values: &Values, key: &str, limit: &str) -> Option<String> {
    (values.integer(key) > values.integer(limit)).then(|| format!("it must not be above {limit}"))
}

fn cordoned(values: &Values) -> Option<String> {
    let cordoned = values.list("cordoned.log.dirs");
    let directories = values.list_or_null("log.dirs").unwrap_or_else(|| values.list("log.dir"));
    if cordoned.iter().any(|directory| directory == "*") {
        return (cordoned.len() > 1).then(|| "* must stand alone".to_owned());
    }
    let unknown = cordoned.iter().find(|directory| !directories.contains(directory))?;
    Some(format!("{unknown} is not one of log.dirs"))
}

/// Slipring is broker and controller in one process.
fn check_roles(values: &Values) -> Result<(), ConfigError> {
    let roles = values.list("process.roles");
    if roles.len() == 2 {
        return Ok(());
    }
    Err(ConfigError::unsupported(
        values.origin("process.roles"),
        "process.roles",
        roles.join(","),
        "Slipring is broker and controller in one process yet: use broker,controller.".to_owned(),
    ))
}

/// One voter, this node; anything else would start a cluster that the operator did not mean.
fn check_voters(values: &Values) -> Result<(), ConfigError> {
    const VOTERS: &str = "controller.quorum.voters";
    const SERVERS: &str = "controller.quorum.bootstrap.servers";
    for key in [VOTERS, SERVERS] {
        let entries = values.list(key);
        if entries.len() > 1 {
            let why = "The quorum is this process alone yet: name one controller, or none.".to_owned();
            return Err(ConfigError::unsupported(values.origin(key), key, entries.join(","), why));
        }
    }
    for voter in values.list(VOTERS) {
        let form = || unusable(values, VOTERS, format!("{voter} is not of the form ID@HOST:PORT"));
        let (id, address) = voter.split_once('@').ok_or_else(form)?;
        let id: i32 = id.trim().parse().map_err(|_| form())?;
        if !is_host_and_port(address) {
            return Err(form());
        }
        if id != values.int("node.id") {
            let problem = format!("its one voter must be this node, {}", values.int("node.id"));
            return Err(unusable(values, VOTERS, problem));
        }
    }
    for server in values.list(SERVERS) {
        if !is_host_and_port(server) {
            return Err(unusable(values, SERVERS, format!("{server} is not of the form HOST:PORT")));
        }
    }
    Ok(())
}

fn is_host_and_port(address: &str) -> bool {
    let parts = address.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
