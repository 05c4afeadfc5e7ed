//! Latency histograms (HDR: three significant digits from a microsecond to minutes), one per thread, merged at the end.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::report::Figures;

/// Latencies of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    histogram: Histogram<u64>,
}

impl Latency {
    /// Nothing recorded.
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3)
            .expect("the bounds are constants, the higher one more than twice the lower");
        Self { histogram }
    }

    /// Records one; what is above the highest value counts as that.
    pub(crate) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(HIGHEST_NS);
        self.histogram.saturating_record(ns);
    }

    /// Adds what another thread recorded.
    pub(crate) fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all histograms have the same bounds");
    }

    /// How many were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Milliseconds below which the given share (0 to 1) of all latencies lies; 0 when there are none.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        self.histogram.value_at_quantile(share) as f64 / NS_PER_MS
    }

    /// Puts `<name>_p50_ms` and the like.
    pub(crate) fn put(&self, name: &str, figures: &mut Figures) {
        if self.count() == 0 {
            return;
        }
        for (suffix, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            figures.put(&format!("{name}_{suffix}_ms"), self.quantile_ms(share));
        }
        figures.put(&format!("{name}_mean_ms"), self.histogram.mean() / NS_PER_MS);
    }
}

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 600_000_000_000;
const NS_PER_MS: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_over_threads() {
        let (mut one, mut two) = (Latency::new(), Latency::new());
        for us in 1..=500 {
            one.record(Duration::from_micros(us));
            two.record(Duration::from_micros(500 + us));
        }
        one.add(&two);
        assert_eq!(one.count(), 1000);
        for (share, ms) in [(0.5, 0.5), (0.99, 0.99), (0.999, 0.999), (1.0, 1.0)] {
            assert!((one.quantile_ms(share) - ms).abs() < 0.002, "{share}: {}", one.quantile_ms(share));
        }
        let mut figures = Figures::default();
        one.put("ack", &mut figures);
        assert!((figures.get("ack_mean_ms").unwrap() - 0.5005).abs() < 0.002);
        assert!(figures.get("ack_p999_ms").is_some());
    }

    #[test]
    fn the_ends_of_the_range() {
        let mut latency = Latency::new();
        latency.record(Duration::ZERO);
        latency.record(Duration::from_secs(100_000));
        assert_eq!(latency.count(), 2);
        assert!((latency.quantile_ms(1.0) / 600_000.0 - 1.0).abs() < 0.001);
        let mut figures = Figures::default();
        Latency::new().put("none", &mut figures);
        assert_eq!(figures, Figures::default());
    }
}
