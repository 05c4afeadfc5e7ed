//! What an unknown key may have been meant to be. Pure, for any core; looks only at names.

use super::error::Hint;
use super::table;

/// A hint for a key that the table does not have.
#[must_use]
pub fn hint(name: &str) -> Option<Hint> {
    if let Some(synonym) = table::topic_key(name).and_then(|key| key.broker_synonyms().first()) {
        return Some(Hint::OfTopic(synonym.name));
    }
    if REMOVED.contains(&name) || REMOVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Some(Hint::Removed);
    }
    let close_enough = (name.len() / 5).clamp(1, 4);
    table::broker_keys()
        .filter(|key| !key.internal)
        .map(|key| (distance(name, key.name), key.name))
        .filter(|(distance, _)| *distance <= close_enough)
        .min()
        .map(|(_, nearest)| Hint::Nearest(nearest))
}

/// Keys of Kafka 3 that Kafka 4 dropped and that still stand in many files.
const REMOVED: &[&str] = &[
    "advertised.host.name",
    "advertised.port",
    "broker.id.generation.enable",
    "control.plane.listener.name",
    "controlled.shutdown.max.retries",
    "controlled.shutdown.retry.backoff.ms",
    "host.name",
    "inter.broker.protocol.version",
    "leader.imbalance.per.broker.percentage",
    "log.message.downconversion.enable",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
    "offsets.commit.required.acks",
    "password.encoder.secret",
    "port",
    "reserved.broker.max.id",
];

const REMOVED_PREFIXES: &[&str] = &["zookeeper.", "password.encoder."];

/// Edits (insert, remove, replace, swap of neighbours) between two names.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "abd", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn hints_name_what_was_meant() {
        let cases = [
            ("num.partition", Some(Hint::Nearest("num.partitions"))),
            ("log.dris", Some(Hint::Nearest("log.dirs"))),
            ("slipring.durabilty", Some(Hint::Nearest("slipring.durability"))),
            ("retention.ms", Some(Hint::OfTopic("log.retention.ms"))),
            ("max.message.bytes", Some(Hint::OfTopic("message.max.bytes"))),
            ("zookeeper.connect", Some(Hint::Removed)),
            ("inter.broker.protocol.version", Some(Hint::Removed)),
            ("my.own.setting", None),
        ];
        for (name, expected) in cases {
            assert_eq!(hint(name), expected, "{name}");
        }
    }

    #[test]
    fn a_removed_key_is_not_declared() {
        for name in REMOVED {
            assert!(table::broker_key(name).is_none(), "{name}");
        }
    }
}
