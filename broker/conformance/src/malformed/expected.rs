//! The table of what Apache Kafka does, `expected.tsv`: row, versions, outcomes. Written by a run against Kafka, held against
//! runs against Slipring. `intended.tsv` lists where Slipring means to differ: row, Kafka's outcome, ours, reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::attack::Results;

/// What is expected of each row and version.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    rows: BTreeMap<String, Vec<Entry>>,
    intended: Vec<Intended>,
}

#[derive(Debug)]
struct Entry {
    versions: Option<(i16, i16)>,
    outcomes: BTreeSet<String>,
}

#[derive(Debug)]
struct Intended {
    /// A row; `*` stands for anything.
    row: String,
    kafka: String,
    ours: String,
}

/// How results compare.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Rows and versions that are as expected.
    pub(crate) same: usize,
    /// Rows and versions that differ as intended.
    pub(crate) intended: usize,
    /// The others, each a line.
    pub(crate) different: Vec<String>,
}

impl Expected {
    /// The tables that are built in.
    pub(crate) fn load() -> Self {
        Self::parse(include_str!("expected.tsv"), include_str!("intended.tsv"))
    }

    /// Holds results against the table. Several outcomes of a row are each to be found in it.
    pub(crate) fn compare(&self, results: &Results) -> Comparison {
        let mut comparison = Comparison::default();
        for (row, versions) in results {
            for (version, outcomes) in versions {
                let found: BTreeSet<String> = outcomes.iter().map(ToString::to_string).collect();
                let expected = self.outcomes(row, *version);
                let is_same = |outcome: &String| expected.is_some_and(|expected| expected.contains(outcome));
                let is_intended = |outcome: &String| {
                    let is_meant = |kafka| self.intended.iter().any(|entry| entry.fits(row, kafka, outcome));
                    expected.is_some_and(is_meant)
                };
                if found.iter().all(is_same) {
                    comparison.same += 1;
                } else if found.iter().all(|outcome| is_same(outcome) || is_intended(outcome)) {
                    comparison.intended += 1;
                } else {
                    comparison.different.push(difference(row, *version, &found, expected));
                }
            }
        }
        comparison
    }

    fn outcomes(&self, row: &str, version: Option<i16>) -> Option<&BTreeSet<String>> {
        let entry = self.rows.get(row)?.iter().find(|entry| match (entry.versions, version) {
            (None, None) => true,
            (Some((first, last)), Some(version)) => (first..=last).contains(&version),
            _ => false,
        })?;
        Some(&entry.outcomes)
    }

    fn parse(expected: &str, intended: &str) -> Self {
        let mut table = Self::default();
        for line in lines(expected) {
            let [row, versions, outcomes] = columns(line);
            let versions = (versions != "-").then(|| {
                let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
                let number = |text: &str| text.parse().expect("expected.tsv: a version is a number");
                (number(first), number(last))
            });
            let outcomes = outcomes.split(" | ").map(str::to_owned).collect();
            table.rows.entry(row.to_owned()).or_default().push(Entry { versions, outcomes });
        }
        for line in lines(intended) {
            let [row, kafka, ours, _reason] = columns(line).map(str::to_owned);
            table.intended.push(Intended { row, kafka, ours });
        }
        table
    }
}

impl Intended {
    fn fits(&self, row: &str, kafka: &BTreeSet<String>, ours: &str) -> bool {
        fits(&self.row, row) && ours == self.ours && kafka.contains(&self.kafka)
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, others)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut others = others.split('*').peekable();
    while let Some(part) = others.next() {
        if others.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// The table as it is checked in: neighbouring versions with the same outcomes in one line.
pub(crate) fn render(results: &Results) -> String {
    let mut table = String::from(HEAD);
    for (row, versions) in results {
        let mut runs: Vec<(Option<i16>, Option<i16>, String)> = Vec::new();
        for (version, outcomes) in versions {
            let outcomes: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
            let outcomes = outcomes.join(" | ");
            match runs.last_mut() {
                Some((_, last, same)) if *same == outcomes && last.map(|last| last + 1) == *version => {
                    *last = *version
                }
                _ => runs.push((*version, *version, outcomes)),
            }
        }
        for (first, last, outcomes) in runs {
            let versions = match (first, last) {
                (Some(first), Some(last)) if first != last => format!("{first}-{last}"),
                (Some(first), _) => first.to_string(),
                (None, _) => "-".to_owned(),
            };
            writeln!(table, "{row}\t{versions}\t{outcomes}").expect("a string takes everything");
        }
    }
    table
}

fn difference(
    row: &str,
    version: Option<i16>,
    found: &BTreeSet<String>,
    expected: Option<&BTreeSet<String>>,
) -> String {
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" | ");
    let version = version.map_or(String::new(), |version| format!(" (version {version})"));
    let expected = expected.map_or("nothing is known".to_owned(), list);
    format!("{row}{version}: {}; Kafka: {expected}", list(found))
}

fn lines(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn columns<const N: usize>(line: &str) -> [&str; N] {
    let columns: Vec<&str> = line.split('\t').collect();
    columns.try_into().unwrap_or_else(|_| unreachable!("a line of a table has {N} columns: {line}"))
}

const HEAD: &str =
    "# What Apache Kafka 4.3.0 does, recorded by `slipring-conformance malformed --target kafka --record`.
# Row, versions of the request (or -), outcomes: error codes of the answers, or what became of the connection.
";

#[cfg(test)]
mod tests {
    use super::super::outcome::Outcome;
    use super::*;

    fn results(rows: &[(&str, Option<i16>, &str)]) -> Results {
        let mut results = Results::new();
        for (row, version, outcome) in rows {
            let versions = results.entry((*row).to_owned()).or_default();
            versions.entry(*version).or_default().insert(Outcome::of(outcome));
        }
        results
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let found = results(&[
            ("a", Some(0), "closed"),
            ("a", Some(1), "closed"),
            ("a", Some(2), "answer 3"),
            ("a", Some(4), "answer 3"),
            ("b", None, "waits"),
            ("b", None, "closed"),
        ]);
        let table = render(&found);
        let body: Vec<&str> = lines(&table).collect();
        assert_eq!(body, ["a\t0-1\tclosed", "a\t2\tanswer 3", "a\t4\tanswer 3", "b\t-\tclosed | waits"]);
        let comparison = Expected::parse(&table, "").compare(&found);
        assert_eq!(comparison, Comparison { same: 5, ..Comparison::default() });
    }

    #[test]
    fn a_star_stands_for_anything() {
        let texts = ["batch lz4 cut at 3", "batch lz4", "batch of nothing", "a batch lz4"];
        let which = |pattern: &str| texts.map(|text| fits(pattern, text));
        assert_eq!(which("batch lz4"), [false, true, false, false]);
        assert_eq!(which("batch*"), [true, true, true, false]);
        assert_eq!(which("batch * cut at *"), [true, false, false, false]);
        assert_eq!(which("*lz4"), [false, true, false, true]);
    }

    #[test]
    fn differences_are_told_unless_they_are_meant() {
        let expected =
            Expected::parse("a\t0-9\tclosed\nb\t-\tclosed\n", "b*\tclosed\twaits\tfor this reason\n");
        let found = results(&[("a", Some(3), "answer 0"), ("b", None, "waits"), ("c", None, "closed")]);
        let comparison = expected.compare(&found);
        assert_eq!((comparison.same, comparison.intended), (0, 1));
        assert_eq!(
            comparison.different,
            ["a (version 3): answer 0; Kafka: closed", "c: closed; Kafka: nothing is known"]
        );
    }
}
