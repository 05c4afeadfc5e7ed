//! The texts at a data directory's root: `meta.properties` (Kafka's `MetaProperties`, a Java properties file) and the
//! clean-shutdown marker (`CleanShutdownFileHandler`, a line of JSON). Bytes in and out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use slipring_protocol::ids::{BrokerId, decode_uuid, encode_uuid};
use uuid::Uuid;

/// Whom a data directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`.
    pub cluster_id: String,
    /// `node.id`.
    pub node_id: BrokerId,
    /// `directory.id`; Kafka before 3.7 wrote none.
    pub directory_id: Option<Uuid>,
}

/// What is wrong with a `meta.properties`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// Bytes that are no UTF-8.
    #[error("not a text file")]
    NotText,
    /// A key that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value that does not read.
    #[error("{key}={value} does not read as {wanted}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value, cut short.
        value: String,
        /// What should stand there.
        wanted: &'static str,
    },
    /// Version 0: a broker under ZooKeeper.
    #[error("version {0} was written by a Kafka under ZooKeeper or by a later one; only version 1 is known")]
    Version(i32),
}

const VERSION: i32 = 1;

impl MetaProperties {
    /// The file's bytes. Keys in the order of their names; Kafka's comment with the date of writing is left out, so that
    /// equal contents are equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = String::from("#\n");
        let mut line = |key: &str, value: &str| {
            writeln!(out, "{key}={}", escape(value)).expect("a string takes any text");
        };
        line("cluster.id", &self.cluster_id);
        if let Some(id) = self.directory_id {
            line("directory.id", &encode_uuid(id));
        }
        line("node.id", &self.node_id.to_string());
        line("version", &VERSION.to_string());
        out.into_bytes()
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// When a key is missing or does not read.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        let text = std::str::from_utf8(bytes).map_err(|_| MetaError::NotText)?;
        let mut properties = parse_properties(text);
        let mut take = |key: &'static str| properties.remove(key).ok_or(MetaError::Missing(key));
        let version = number("version", &take("version")?)?;
        if version != VERSION {
            return Err(MetaError::Version(version));
        }
        let cluster_id = take("cluster.id")?;
        if cluster_id.is_empty() {
            return Err(MetaError::Missing("cluster.id"));
        }
        let node_id = BrokerId(number("node.id", &take("node.id")?)?);
        let directory_id = match take("directory.id") {
            Ok(text) => {
                Some(decode_uuid(&text).map_err(|_| bad_value("directory.id", &text, "a base64url id"))?)
            }
            Err(_) => None,
        };
        Ok(Self { cluster_id, node_id, directory_id })
    }
}

fn number(key: &'static str, text: &str) -> Result<i32, MetaError> {
    text.parse().map_err(|_| bad_value(key, text, "a number"))
}

fn bad_value(key: &'static str, value: &str, wanted: &'static str) -> MetaError {
    MetaError::Value { key, value: value.chars().take(80).collect(), wanted }
}

/// Escapes a value as `java.util.Properties.store` does (for what occurs in ids).
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (at, letter) in value.chars().enumerate() {
        match letter {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' | '=' | ':' | '#' | '!' => out.extend(['\\', letter]),
            ' ' if at == 0 => out.push_str("\\ "),
            _ => out.push(letter),
        }
    }
    out
}

/// Reads Java's properties format (`java.util.Properties.load`): comments, `=`, `:` or blank between key and value,
/// backslash escapes, continued lines. The last of equal keys counts.
fn parse_properties(text: &str) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches(is_blank);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while is_continued(&logical) {
            logical.pop();
            let Some(next) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        let (key, value) = split_property(&logical);
        properties.insert(unescape(key), unescape(value));
    }
    properties
}

const fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\x0c')
}

/// An odd number of backslashes at the end.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split_property(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, letter)| {
        let ends = !escaped && (is_blank(*letter) || matches!(letter, '=' | ':'));
        escaped = !escaped && *letter == '\\';
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let rest = line[end..].trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], rest.trim_start_matches(is_blank))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// Bytes of the clean-shutdown marker.
pub(super) fn encode_clean_marker(broker_epoch: i64) -> Vec<u8> {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}").into_bytes()
}

/// The broker epoch in a clean-shutdown marker. Its mere existence is what says "clean": older ones are empty.
pub(super) fn decode_clean_marker(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let fields = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut fields = fields.split(',').filter_map(|field| field.split_once(':'));
    let (_, epoch) = fields.find(|(key, _)| key.trim() == "\"brokerEpoch\"")?;
    epoch.trim().parse().ok()
}
