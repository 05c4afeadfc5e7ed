//! The reference page of all configs, written from the table. A test compares it with `docs/config.md`. Pure.

use std::fmt::Write;

use super::dynamic;
use super::key::{Check, ConfigKey, DefaultValue, Effect, Scope, Update};
use super::table::{self, Chapter};

/// The page, in Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(HEAD);
    let counts = Counts::of(table::CHAPTERS.iter().flat_map(|chapter| chapter.rows));
    writeln!(
        page,
        "Of {} keys Slipring acts on {}, accepts {} without effect and refuses {} unless they are left alone.\n",
        counts.acts + counts.no_effect + counts.refused,
        counts.acts,
        counts.no_effect,
        counts.refused,
    )
    .expect("writing to a string does not fail");
    for chapter in table::CHAPTERS {
        write_chapter(&mut page, chapter);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

const HEAD: &str = "\
# Configuration

<!-- Written by `slipring config docs`; a test fails when it is stale. -->

`slipring start --config FILE` reads a Java properties file with Apache Kafka's keys; `--set KEY=VALUE` overrides single
keys, and `--data-dir`, `--listen` and `--cores` stand for `log.dirs`, `listeners` and `slipring.cores`. Unknown keys are
ignored with a warning; values that do not fit stop the start. The keys and defaults are those of Apache Kafka 4.3;
Slipring's own begin with `slipring.`.

*Update*: `per-broker` and `cluster-wide` keys may be changed while a broker runs (`kafka-configs.sh --entity-type brokers`), and
act at once; a change of any other key is refused, also of those marked `at start` that Kafka would take. Configs of topics act at
once too. Configs of groups that have no effect are refused; those of client metrics are kept and shown, as in a Kafka without a
telemetry plug-in. A topic or group without a config of its own takes the *broker's key*, the first that is set. *Effect* is what
Slipring does with a key today:

- acts: the value counts.
- none: the value is accepted and shown, and nothing acts on it.
- refused: the broker does not start with any value but the default.

";

struct Counts {
    acts: usize,
    no_effect: usize,
    refused: usize,
}

impl Counts {
    fn of<'a>(rows: impl Iterator<Item = &'a ConfigKey>) -> Self {
        let mut counts = Self { acts: 0, no_effect: 0, refused: 0 };
        for row in rows {
            match row.effect {
                Effect::Acts => counts.acts += 1,
                Effect::NoEffect(_) => counts.no_effect += 1,
                Effect::Refused(_) => counts.refused += 1,
            }
        }
        counts
    }
}

fn write_chapter(page: &mut String, chapter: &Chapter) {
    let of_broker = chapter.rows.iter().all(|row| matches!(row.scope, Scope::Broker));
    let fifth = if of_broker { "Update" } else { "Broker's key" };
    let head = ["Key", "What it is for", "Values", "Default", fifth, "Effect"].map(str::to_owned);
    writeln!(page, "## {}\n", chapter.title).expect("writing to a string does not fail");
    write_row(page, &head);
    write_row(page, &head.map(|_| "---".to_owned()));
    for row in chapter.rows {
        let cells = [
            format!("`{}`", row.name),
            row.doc.to_owned(),
            values(row),
            default(row),
            fifth_of(row),
            effect(row),
        ];
        write_row(page, &cells);
    }
    page.push('\n');
}

fn write_row(page: &mut String, cells: &[String]) {
    writeln!(page, "| {} |", cells.join(" | ").trim_end()).expect("writing to a string does not fail");
}

/// Type and allowed values, short.
fn values(key: &ConfigKey) -> String {
    let kind = key.kind.name();
    match key.check {
        Check::Any | Check::Entries { of: [], empty: true } => kind.to_owned(),
        Check::AtLeast(min) => format!("{kind}, at least {min}"),
        Check::Between(min, max) => format!("{kind}, {min} to {max}"),
        Check::BetweenFractions(min, max) => format!("{kind}, {min} to {max}"),
        Check::GzipLevel => format!("{kind}, 1 to 9 or -1"),
        Check::OneOf(of) | Check::OneOfAnyCase(of) => format!("{kind}: {}", of.join(", ")),
        Check::NonEmpty | Check::Entries { of: [], empty: false } => format!("{kind}, not empty"),
        Check::Entries { of, .. } => format!("{kind} of {}", of.join(", ")),
        Check::ThrottledReplicas => format!("{kind} of PARTITION:BROKER, or *"),
    }
}

fn default(key: &ConfigKey) -> String {
    let shown = |value: &str| if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") };
    match key.default {
        DefaultValue::Is(value) => shown(value),
        DefaultValue::Null => "none".to_owned(),
        DefaultValue::Ours { value, kafka: Some(kafka) } => {
            format!("{} (Kafka: {})", shown(value), shown(kafka))
        }
        DefaultValue::Ours { value, kafka: None } => format!("{} (Kafka: none)", shown(value)),
    }
}

/// When a broker's key may change; which broker's key stands in for another's.
fn fifth_of(key: &ConfigKey) -> String {
    match key.scope {
        Scope::Broker if key.update == Update::ReadOnly || dynamic::is_taken(key) => {
            key.update.name().to_owned()
        }
        Scope::Broker => format!("at start (Kafka: {})", key.update.name()),
        Scope::Topic(synonyms) => {
            let names: Vec<_> = synonyms.iter().map(|synonym| format!("`{}`", synonym.name)).collect();
            names.join(", ")
        }
        Scope::Group(Some(name)) => format!("`{name}`"),
        Scope::Group(None) | Scope::ClientMetrics => String::new(),
    }
}

fn effect(key: &ConfigKey) -> String {
    match key.effect {
        Effect::Acts => "acts".to_owned(),
        Effect::NoEffect(why) => format!("none: {why}"),
        Effect::Refused(why) => format!("refused: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_reference_page_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
        let page = super::page();
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "docs/config.md is stale: cargo run -p slipring -- config docs > docs/config.md"
        );
    }
}
