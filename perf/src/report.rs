//! What a run found: figures by name, each name ending in its unit, and the row that a run appends to a file.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::cpu::Usage;
use crate::error::{Doing, PerfError};

/// Figures of a run by name, such as `mb_per_s` (10^6 bytes of record batches) or `ack_p99_ms`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Sets a figure.
    pub(crate) fn put(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    /// A figure; none where the run has none of that name.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Puts what passed in a window: rates, and the processor time that it took.
    pub(crate) fn put_work(&mut self, work: Work, usage: &Usage) {
        let seconds = usage.wall.as_secs_f64();
        self.put("seconds", seconds);
        self.put("requests", work.requests as f64);
        self.put("requests_per_s", work.requests as f64 / seconds);
        self.put("records_per_s", work.records as f64 / seconds);
        self.put("mb_per_s", work.bytes as f64 / 1e6 / seconds);
        let mut per_work = |who: &str, cpu_s: f64| {
            self.put(&format!("{who}_cpu_s"), cpu_s);
            if work.requests > 0 {
                self.put(&format!("{who}_cpu_s_per_gb"), cpu_s / (work.bytes as f64 / 1e9));
                self.put(&format!("{who}_cpu_s_per_million_requests"), cpu_s / (work.requests as f64 / 1e6));
            }
        };
        per_work("generator", usage.generator.as_secs_f64());
        if let Some(broker) = usage.broker {
            per_work("broker", broker.as_secs_f64());
        }
        if let Some(other) = usage.other {
            self.put("other_cpu_s", other.as_secs_f64());
        }
    }

    /// The figures as lines to read.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, value)| format!("{name:>36}  {}", three_digits(*value)))
    }
}

/// What was acknowledged, or fetched, in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Records in them.
    pub(crate) records: u64,
    /// Bytes of their record batches.
    pub(crate) bytes: u64,
}

/// Appends a row to a file of JSON lines.
pub(crate) fn append_row(path: &Path, row: &impl Serialize) -> Result<(), PerfError> {
    let mut line = serde_json::to_string(row).map_err(io::Error::from).doing("write the row")?;
    line.push('\n');
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).doing(&path.display().to_string())
}

/// Writes a line to standard output. A closed pipe is no error of ours.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A number with about three digits that mean something, thousands apart.
pub(crate) fn three_digits(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1000.0 {
        return thousands(value);
    }
    let places = match magnitude {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.places$}")
}

/// Three digits, the rest rounded away, in groups of three.
fn thousands(value: f64) -> String {
    let step = 10f64.powi(value.abs().log10().floor() as i32 - 2);
    let digits = format!("{:.0}", (value / step).round() * step);
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_and_processor_time() {
        let usage = Usage {
            wall: Duration::from_secs(4),
            generator: Duration::from_secs(1),
            broker: Some(Duration::from_secs(3)),
            other: Some(Duration::from_millis(100)),
        };
        let mut figures = Figures::default();
        figures.put_work(Work { requests: 2_000_000, records: 6_000_000, bytes: 6_000_000_000 }, &usage);
        let expected = [
            ("mb_per_s", 1500.0),
            ("requests_per_s", 500_000.0),
            ("records_per_s", 1_500_000.0),
            ("broker_cpu_s_per_gb", 0.5),
            ("broker_cpu_s_per_million_requests", 1.5),
            ("generator_cpu_s_per_million_requests", 0.5),
            ("other_cpu_s", 0.1),
        ];
        for (name, value) in expected {
            assert!((figures.get(name).unwrap() - value).abs() < 1e-9, "{name}");
        }
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), figures);
    }

    #[test]
    fn nothing_done_divides_by_nothing() {
        let usage = Usage {
            wall: Duration::from_secs(1),
            generator: Duration::ZERO,
            broker: Some(Duration::ZERO),
            other: None,
        };
        let mut figures = Figures::default();
        figures.put_work(Work::default(), &usage);
        assert_eq!(figures.get("requests_per_s"), Some(0.0));
        assert_eq!(figures.get("broker_cpu_s_per_gb"), None);
    }

    #[test]
    fn numbers_for_people() {
        let cases = [
            (0.1234, "0.123"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1,230"),
            (39_649.0, "39,600"),
            (1_650_400.0, "1,650,000"),
            (999_600.0, "1,000,000"),
            (0.0, "0.000"),
            (-2345.0, "-2,350"),
        ];
        for (value, text) in cases {
            assert_eq!(three_digits(value), text);
        }
    }
}
