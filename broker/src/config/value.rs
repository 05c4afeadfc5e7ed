//! A config value: text parsed by its key's type and checked by its key's rules, and printed again as Kafka prints it
//! (`org.apache.kafka.common.config.ConfigDef`). Pure, for any core.

use std::fmt;

use super::key::{Check, ConfigKey, ConfigType};

/// A parsed value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a BOOLEAN key.
    Boolean(bool),
    /// Of a STRING or CLASS key.
    String(String),
    /// Of an INT key.
    Int(i32),
    /// Of a SHORT key.
    Short(i16),
    /// Of a LONG key.
    Long(i64),
    /// Of a DOUBLE key.
    Double(f64),
    /// Of a LIST key.
    List(Vec<String>),
    /// Of a PASSWORD key.
    Password(String),
}

/// Why a value does not fit its key. `Display` words it as Kafka does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// The key.
    pub key: String,
    /// The value, or `[hidden]`.
    pub value: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The value is of another type or outside the allowed ones; the text says which.
    Unfit(String),
    /// The list has an entry without text.
    EmptyEntry,
    /// The list has no entry.
    EmptyList(&'static [&'static str]),
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, problem } = self;
        match problem {
            Problem::Unfit(why) => write!(f, "Invalid value {value} for configuration {key}: {why}"),
            Problem::EmptyEntry => write!(f, "Configuration '{key}' values must not be empty."),
            Problem::EmptyList([]) => {
                write!(
                    f,
                    "Configuration '{key}' must not be empty. Valid values include: any non-empty value"
                )
            }
            Problem::EmptyList(of) => {
                write!(
                    f,
                    "Configuration '{key}' must not be empty. Valid values include: [{}]",
                    of.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for InvalidValue {}

/// What stands in place of a value that must not be shown.
pub const HIDDEN: &str = "[hidden]";

impl Value {
    /// Parses and checks `text` as a value of `key`.
    ///
    /// # Errors
    /// When the text is not of the key's type, or breaks its rules.
    pub fn parse(key: &ConfigKey, text: &str) -> Result<Self, InvalidValue> {
        let invalid = |value: &str, problem: Problem| {
            let value = if key.is_sensitive() { HIDDEN } else { value };
            InvalidValue { key: key.name.to_owned(), value: value.to_owned(), problem }
        };
        let mut value = Self::of_type(key.kind, text).map_err(|why| invalid(text, Problem::Unfit(why)))?;
        if let (Check::Entries { .. }, Self::List(entries)) = (key.check, &mut value) {
            drop_repeated(entries);
        }
        match check(key, &value) {
            Ok(()) => Ok(value),
            // Kafka prints the parsed value here, so a list in brackets, and an entry alone.
            Err(Unmet { shown, problem }) => Err(invalid(&shown, problem)),
        }
    }

    /// Parses `text` as `kind`, without a key's further rules.
    fn of_type(kind: ConfigType, text: &str) -> Result<Self, String> {
        let trimmed = java_trim(text);
        let not_a_number = || format!("Not a number of type {}", kind.name());
        Ok(match kind {
            ConfigType::Boolean if trimmed.eq_ignore_ascii_case("true") => Self::Boolean(true),
            ConfigType::Boolean if trimmed.eq_ignore_ascii_case("false") => Self::Boolean(false),
            ConfigType::Boolean => return Err("Expected value to be either true or false".to_owned()),
            ConfigType::String | ConfigType::Class => Self::String(trimmed.to_owned()),
            ConfigType::Password => Self::Password(trimmed.to_owned()),
            ConfigType::Int => Self::Int(trimmed.parse().map_err(|_| not_a_number())?),
            ConfigType::Short => Self::Short(trimmed.parse().map_err(|_| not_a_number())?),
            ConfigType::Long => Self::Long(trimmed.parse().map_err(|_| not_a_number())?),
            ConfigType::Double => Self::Double(parse_java_double(trimmed).ok_or_else(not_a_number)?),
            ConfigType::List if trimmed.is_empty() => Self::List(Vec::new()),
            ConfigType::List => {
                Self::List(trimmed.split(',').map(|entry| java_trim(entry).to_owned()).collect())
            }
        })
    }
}

impl fmt::Display for Value {
    /// As Java prints the value of this type (`ConfigDef.convertToString`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::String(value) => f.write_str(value),
            Self::Int(value) => value.fmt(f),
            Self::Short(value) => value.fmt(f),
            Self::Long(value) => value.fmt(f),
            Self::Double(value) => f.write_str(&java_double(*value)),
            Self::List(entries) => f.write_str(&entries.join(",")),
            Self::Password(_) => f.write_str(HIDDEN),
        }
    }
}

/// Which values a key takes, in words for an operator.
#[must_use]
pub fn allowed(key: &ConfigKey) -> String {
    match key.check {
        Check::Any => match key.kind {
            ConfigType::Boolean => "true or false".to_owned(),
            ConfigType::Int => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
            ConfigType::Short => format!("a whole number from {} to {}", i16::MIN, i16::MAX),
            ConfigType::Long => "a whole number of 64 bits".to_owned(),
            ConfigType::Double => "a number".to_owned(),
            ConfigType::List => "a comma-separated list".to_owned(),
            ConfigType::Class => "the name of a Java class".to_owned(),
            ConfigType::String | ConfigType::Password => "any text".to_owned(),
        },
        Check::AtLeast(min) => format!("a whole number of at least {min}"),
        Check::Between(min, max) => format!("a whole number from {min} to {max}"),
        Check::BetweenFractions(min, max) => format!("a number from {min} to {max}"),
        Check::GzipLevel => "a whole number from 1 to 9, or -1".to_owned(),
        Check::OneOf(of) => of.join(", "),
        Check::OneOfAnyCase(of) => format!("{} (in any case)", of.join(", ").to_lowercase()),
        Check::NonEmpty => "a text that is not empty".to_owned(),
        Check::Entries { of: [], empty: true } => "a comma-separated list".to_owned(),
        Check::Entries { of: [], empty: false } => "a comma-separated list that is not empty".to_owned(),
        Check::Entries { of, empty: true } => {
            format!("a comma-separated list of {}, or nothing", of.join(", "))
        }
        Check::Entries { of, empty: false } => format!("a comma-separated list of {}", of.join(", ")),
        Check::ThrottledReplicas => "*, or a comma-separated list of PARTITION:BROKER".to_owned(),
    }
}

/// A check that a value does not meet.
struct Unmet {
    shown: String,
    problem: Problem,
}

/// Checks a parsed value as the validators of `ConfigDef` do, in their words.
fn check(key: &ConfigKey, value: &Value) -> Result<(), Unmet> {
    let unfit = |why: String| Err(Unmet { shown: value.to_string(), problem: Problem::Unfit(why) });
    let below = |min: &dyn fmt::Display| unfit(format!("Value must be at least {min}"));
    let above = |max: &dyn fmt::Display| unfit(format!("Value must be no more than {max}"));
    match (key.check, value) {
        (Check::Any, _) => Ok(()),
        (Check::AtLeast(min), _) if integer(value) < min => below(&min),
        (Check::AtLeast(_), _) => Ok(()),
        (Check::Between(min, _), _) if integer(value) < min => below(&min),
        (Check::Between(_, max), _) if integer(value) > max => above(&max),
        (Check::Between(..), _) => Ok(()),
        (Check::BetweenFractions(min, _), Value::Double(number)) if *number < min => below(&min),
        (Check::BetweenFractions(_, max), Value::Double(number)) if *number > max => above(&max),
        (Check::GzipLevel, _) if matches!(integer(value), -1 | 1..=9) => Ok(()),
        (Check::GzipLevel, _) => unfit("Value must be between 1 and 9 or equal to -1".to_owned()),
        (Check::OneOf(of), Value::String(text)) if !of.contains(&text.as_str()) => {
            unfit(format!("String must be one of: {}", of.join(", ")))
        }
        (Check::OneOfAnyCase(of), Value::String(text))
            if !of.iter().any(|one| one.eq_ignore_ascii_case(text)) =>
        {
            unfit(format!("String must be one of (case insensitive): {}", of.join(", ")))
        }
        (Check::NonEmpty, Value::String(text)) if text.is_empty() => {
            unfit("String must be non-empty".to_owned())
        }
        (Check::Entries { of, empty }, Value::List(entries)) => check_entries(of, empty, entries),
        (Check::ThrottledReplicas, Value::List(entries)) => check_throttled(key.name, entries),
        (
            Check::BetweenFractions(..)
            | Check::OneOf(_)
            | Check::OneOfAnyCase(_)
            | Check::NonEmpty
            | Check::Entries { .. }
            | Check::ThrottledReplicas,
            _,
        ) => Ok(()),
    }
}

fn check_entries(of: &'static [&'static str], empty: bool, entries: &[String]) -> Result<(), Unmet> {
    let unmet = |shown: &str, problem| Err(Unmet { shown: shown.to_owned(), problem });
    if entries.is_empty() && !empty {
        return unmet("", Problem::EmptyList(of));
    }
    for entry in entries {
        if entry.is_empty() {
            return unmet("", Problem::EmptyEntry);
        }
        if !of.is_empty() && !of.contains(&entry.as_str()) {
            return unmet(entry, Problem::Unfit(format!("String must be one of: {}", of.join(", "))));
        }
    }
    Ok(())
}

/// Kafka's `ThrottledReplicaListValidator`, whose words name the key once more.
fn check_throttled(name: &str, entries: &[String]) -> Result<(), Unmet> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_replica = |entry: &String| {
        let pair = entry.split_once(':');
        entry.is_empty() || pair.is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    if entries.concat() == "*" || entries.iter().all(is_replica) {
        return Ok(());
    }
    let form = format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
    Err(Unmet { shown: format!("[{}]", entries.join(", ")), problem: Problem::Unfit(form) })
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(number) => i64::from(*number),
        Value::Short(number) => i64::from(*number),
        Value::Long(number) => *number,
        Value::Boolean(_) | Value::String(_) | Value::Double(_) | Value::List(_) | Value::Password(_) => {
            panic!("the table puts ranges of whole numbers on keys of such types only")
        }
    }
}

/// Drops entries that stand further ahead already, as Kafka does with a warning.
fn drop_repeated(entries: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    entries.retain(|entry| seen.insert(entry.clone()));
}

/// `String.trim` of Java: off goes everything up to the space.
pub(super) fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// `Double.parseDouble` for the decimal forms; Java's hexadecimal ones are refused.
fn parse_java_double(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "Infinity" || unsigned == "NaN" {
        return text.parse().ok();
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    // Rust also reads "inf" and "nan" in any case, Java does not.
    let plain = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { digits.parse().ok() } else { None }
}

/// `Double.toString` of Java: digits with a point, and an exponent outside 10^-3 to 10^7.
fn java_double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').expect("the exponent was asked for");
    if digits.contains('.') { format!("{digits}E{exponent}") } else { format!("{digits}.0E{exponent}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table;

    /// Kafka 4.3.0's own answers to CreateTopics with such a config.
    #[test]
    fn values_are_refused_in_kafkas_words() {
        let cases = [
            (
                "segment.ms",
                "abc",
                "Invalid value abc for configuration segment.ms: Not a number of type LONG",
            ),
            ("segment.ms", "0", "Invalid value 0 for configuration segment.ms: Value must be at least 1"),
            ("retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"),
            (
                "segment.bytes",
                "99999999999",
                "Invalid value 99999999999 for configuration segment.bytes: Not a number of type INT",
            ),
            (
                "cleanup.policy",
                "Compact",
                "Invalid value Compact for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            ("cleanup.policy", "delete,,compact", "Configuration 'cleanup.policy' values must not be empty."),
            (
                "min.cleanable.dirty.ratio",
                "1.5",
                "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
            (
                "compression.gzip.level",
                "0",
                "Invalid value 0 for configuration compression.gzip.level: \
                 Value must be between 1 and 9 or equal to -1",
            ),
            (
                "compression.lz4.level",
                "18",
                "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17",
            ),
            (
                "preallocate",
                "yes",
                "Invalid value yes for configuration preallocate: Expected value to be either true or false",
            ),
            (
                "leader.replication.throttled.replicas",
                "x",
                "Invalid value [x] for configuration leader.replication.throttled.replicas: \
                 leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the \
                 following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
            ),
            (
                "compression.type",
                "foo",
                "Invalid value foo for configuration compression.type: \
                 String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
            ),
        ];
        for (name, text, message) in cases {
            let key = table::topic_key(name).unwrap();
            assert_eq!(Value::parse(key, text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn values_are_printed_as_kafka_prints_them() {
        let cases = [
            ("retention.ms", " 500 ", "500"),
            ("segment.ms", "+7", "7"),
            ("preallocate", "TRUE", "true"),
            ("min.cleanable.dirty.ratio", "0.5d", "0.5"),
            ("cleanup.policy", "delete , delete", "delete"),
            ("cleanup.policy", "compact, delete", "compact,delete"),
            ("cleanup.policy", "", ""),
            ("follower.replication.throttled.replicas", "0:1, 1:2", "0:1,1:2"),
            ("leader.replication.throttled.replicas", "*", "*"),
        ];
        for (name, text, printed) in cases {
            let key = table::topic_key(name).unwrap();
            assert_eq!(Value::parse(key, text).unwrap().to_string(), printed, "{name}={text}");
        }
    }

    #[test]
    fn fractions_print_as_in_java() {
        let cases = [
            (f64::MAX, "1.7976931348623157E308"),
            (0.5, "0.5"),
            (1.0, "1.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.000_12, "1.2E-4"),
            (0.0, "0.0"),
            (-2.5e9, "-2.5E9"),
        ];
        for (number, printed) in cases {
            assert_eq!(java_double(number), printed);
        }
    }

    #[test]
    fn fractions_parse_as_in_java() {
        let cases =
            [("1", Some(1.0)), ("1e3", Some(1000.0)), (".5f", Some(0.5)), ("inf", None), ("nan", None)];
        for (text, number) in cases {
            assert_eq!(parse_java_double(text), number, "{text}");
        }
    }

    #[test]
    fn a_secret_never_stands_in_a_message() {
        let key = table::broker_key("ssl.key.password").unwrap();
        let value = Value::parse(key, "very secret").unwrap();
        assert_eq!(value, Value::Password("very secret".to_owned()));
        assert_eq!(value.to_string(), HIDDEN);
    }
}
