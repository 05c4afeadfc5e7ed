//! Subscriptions by regular expression: RE2's syntax, the whole name must match (Kafka's `TopicRegexResolver`). All expressions
//! of a group are resolved together, so that they bring about one rebalance.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::{ConsumerRecord, ResolvedRegex};

use super::ConsumerGroup;
use super::draft::Draft;
use super::message::Refusal;
use crate::group::Turn;

/// Least time between two resolutions in milliseconds (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const INTERVAL_MIN_MS: i64 = 10_000;
/// Memory of one compiled expression, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

fn compile(regex: &str) -> Result<Regex, regex::Error> {
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build();
    build(regex)?;
    // A comment in an expression with flag x would swallow the bracket.
    build(&format!(r"\A(?:{regex})\z")).or_else(|_| build(&format!("\\A(?:{regex}\n)\\z")))
}

/// Whether it is an expression at all.
///
/// # Errors
/// `INVALID_REGULAR_EXPRESSION`.
pub(super) fn check(regex: &str) -> Result<(), Refusal> {
    compile(regex).map(|_| ()).map_err(|error| {
        let message = format!("`{regex}` is no valid regular expression: {error}");
        Refusal::new(ErrorCode::InvalidRegularExpression, message)
    })
}

impl ConsumerGroup {
    /// Whether the expressions of the group are to be resolved: some are not, or topics may have come since.
    pub(super) fn wants_resolution(&self, topics_version: i64, now_ms: i64) -> bool {
        let expressions = self.expressions();
        if expressions.is_empty() {
            return false;
        }
        let last = self.regexes.values().next();
        if last.is_some_and(|last| now_ms <= last.resolved_at.0.saturating_add(INTERVAL_MIN_MS)) {
            return false;
        }
        expressions.len() != self.regexes.len() || last.is_none_or(|last| last.version < topics_version)
    }
}

/// Resolves the group's expressions by the topics as they are, with a new epoch if that changes anything. A refusal to write is
/// no harm: it will be tried again.
pub(super) fn resolve(group: &mut ConsumerGroup, turn: &mut Turn<'_>) {
    if !group.wants_resolution(turn.topics.version(), turn.now.wall.0) {
        return;
    }
    let mut draft = Draft::of(group);
    let names = turn.topics.names();
    let expressions: Vec<Arc<str>> = group.expressions().into_keys().cloned().collect();
    let mut changed = false;
    for regex in expressions {
        // Checked when it came; one that cannot be compiled any more matches nothing.
        let topics: BTreeSet<Arc<str>> = compile(&regex).map_or_else(
            |_| BTreeSet::new(),
            |compiled| names.iter().filter(|name| compiled.is_match(name)).cloned().collect(),
        );
        changed |= group.regexes.get(&regex).map_or(!topics.is_empty(), |before| before.topics != topics);
        let resolved = ResolvedRegex { topics, version: turn.topics.version(), resolved_at: turn.now.wall };
        draft.push(ConsumerRecord::Regex(group.id.clone(), regex, Some(resolved)));
    }
    let topics = turn.topics.clone();
    if draft.have_topics_changed(&*topics) || changed {
        draft.bump(&*topics);
    }
    if draft.stage(turn).is_ok() {
        *group = draft.group;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_must_match() {
        for (regex, name, matches) in [
            ("f.*", "foo", true),
            ("f.*", "a-foo", false),
            ("foo|bar", "bar", true),
            ("foo|foobar", "foobar", true),
            ("(?i)FOO", "foo", true),
            ("(?x)foo # a comment", "foo", true),
            ("^foo$", "foo", true),
            ("", "foo", false),
        ] {
            assert_eq!(compile(regex).unwrap().is_match(name), matches, "{regex} on {name}");
        }
        for invalid in ["[", "(", "a)(b", r"(a)\1", "(?=a)", "*"] {
            assert_eq!(check(invalid).unwrap_err().error, ErrorCode::InvalidRegularExpression, "{invalid}");
        }
    }
}
