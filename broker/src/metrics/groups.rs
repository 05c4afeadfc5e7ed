//! Series of consumer groups: how many in which state, rebalances, and how far each group is behind in each partition. Who
//! makes up groups does not make up series: there are at most so many of the latter, over all cores.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use slipring_machine::group::Tally;
use slipring_protocol::ids::PartitionIndex;

use super::register;
use crate::coordinator::lag::Lag;

/// The series of all cores.
#[derive(Clone)]
pub(super) struct GroupSeries {
    groups: IntGaugeVec,
    offsets: IntGaugeVec,
    rebalances: IntCounterVec,
    lag: IntGaugeVec,
    lag_left_out: IntGaugeVec,
    /// Lags with a series, over all cores.
    lags: Arc<AtomicUsize>,
}

impl GroupSeries {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let rebalances =
            Opts::new("slipring_group_rebalances_total", "Rebalances that gave members an assignment.");
        Self {
            groups: gauge(
                "slipring_groups",
                "Groups, by protocol and state.",
                &["core", "protocol", "state"],
            ),
            offsets: gauge("slipring_group_offsets", "Offsets that groups have committed.", &["core"]),
            rebalances: register(registry, IntCounterVec::new(rebalances, &["core", "protocol"])),
            lag: gauge(
                "slipring_group_lag",
                "Records between a group's committed offset and the high watermark.",
                &["core", "group", "topic", "partition"],
            ),
            lag_left_out: gauge(
                "slipring_group_lag_left_out",
                "Committed offsets without a series of their lag: see slipring.metrics.lag.series.",
                &["core"],
            ),
            lags: Arc::default(),
        }
    }

    pub(super) fn of_core(&self, core: &str) -> CoreGroups {
        CoreGroups {
            offsets: self.offsets.with_label_values(&[core]),
            rebalances: self.rebalances.with_label_values(&[core, "classic"]),
            lag_left_out: self.lag_left_out.with_label_values(&[core]),
            states: RefCell::default(),
            lags: RefCell::default(),
            all: self.clone(),
            core: core.to_owned(),
        }
    }
}

type LagKey = (Arc<str>, Arc<str>, PartitionIndex);

/// The series of one core's groups.
pub struct CoreGroups {
    offsets: IntGauge,
    rebalances: IntCounter,
    lag_left_out: IntGauge,
    states: RefCell<BTreeMap<(&'static str, &'static str), IntGauge>>,
    lags: RefCell<BTreeMap<LagKey, IntGauge>>,
    all: GroupSeries,
    core: String,
}

impl CoreGroups {
    /// Notes what groups this core has.
    pub fn tallied(&self, tally: &Tally) {
        let mut states = self.states.borrow_mut();
        for (protocol, state) in tally.groups.keys() {
            let labels = [self.core.as_str(), protocol, state];
            states.entry((*protocol, *state)).or_insert_with(|| self.all.groups.with_label_values(&labels));
        }
        for (key, gauge) in states.iter() {
            gauge.set(level(tally.groups.get(key).copied().unwrap_or(0)));
        }
        self.offsets.set(level(tally.offsets));
        self.rebalances.inc_by(tally.rebalances);
    }

    /// Notes all lags of this core's groups. Where all cores together have `series_max` series, new ones are left out.
    pub fn lagged(&self, lags: &[Lag], series_max: usize) {
        let key = |lag: &Lag| {
            let committed = &lag.committed;
            (committed.group.clone(), committed.topic.clone(), committed.partition)
        };
        let mut series = self.lags.borrow_mut();
        let present: BTreeSet<LagKey> = lags.iter().map(key).collect();
        series.retain(|key, _| present.contains(key) || self.forget(key));
        for lag in lags {
            let key = key(lag);
            if !series.contains_key(&key) {
                if !self.take_room(series_max) {
                    continue;
                }
                series.insert(key.clone(), self.all.lag.with_label_values(&self.labels(&key)));
            }
            series[&key].set(lag.offsets);
        }
        self.lag_left_out.set(self.offsets.get() - level(series.len() as u64));
    }

    fn take_room(&self, series_max: usize) -> bool {
        let one_more = |taken| (taken < series_max).then_some(taken + 1);
        self.all.lags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Always false: the series is not to be kept.
    fn forget(&self, key: &LagKey) -> bool {
        // It is there: only this core makes and removes it.
        _ = self.all.lag.remove_label_values(&self.labels(key));
        self.all.lags.fetch_sub(1, Ordering::Relaxed);
        false
    }

    fn labels(&self, (group, topic, partition): &LagKey) -> [String; 4] {
        [self.core.clone(), group.to_string(), topic.to_string(), partition.0.to_string()]
    }
}

fn level(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
