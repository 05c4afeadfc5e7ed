//! What operators watch. Every core counts into its own series (label `core`), so that no counter is shared between cores;
//! the endpoint adds nothing up, Prometheus does.

pub mod gauges;
pub mod groups;
pub mod http;
mod process;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use slipring_protocol::api::ApiKey;
use slipring_protocol::batch::BatchHeader;

use self::groups::{CoreGroups, GroupSeries};
use self::process::ProcessSeries;
use crate::runtime::mailbox::ShardId;

/// Topics with series of their own; records of further ones are counted under `other`, so that a client that makes up
/// topics does not make up series.
const TOPIC_SERIES_MAX: usize = 2_000;
const OTHER_TOPICS: &str = "other";

/// Commit latencies from 50 us to 1.6 s.
const COMMIT_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
    0.5, 1.6,
];

/// Request latencies, from the first byte handled to the answer handed to the socket.
const REQUEST_BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How late a core came to a wake-up. Up to 10 ms is what the broker aims at.
const HELD_BUCKETS: [f64; 11] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];

/// All series of the process.
pub struct Metrics {
    registry: Registry,
    connections: IntGaugeVec,
    connections_accepted: IntCounterVec,
    connections_moved: IntCounterVec,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    protocol_errors: IntCounterVec,
    commit_seconds: HistogramVec,
    messages_in: IntCounterVec,
    bytes_in: IntCounterVec,
    bytes_out: IntCounterVec,
    duplicates: IntCounterVec,
    invalid_batches: IntCounterVec,
    partitions: IntGaugeVec,
    fenced_logs: IntCounterVec,
    held_seconds: HistogramVec,
    mail_batches: IntCounterVec,
    mail_messages: IntCounterVec,
    log_bytes: IntGaugeVec,
    levels: LevelSeries,
    groups: GroupSeries,
    /// Connections that a limit refused.
    pub connections_refused: IntCounter,
    /// How long the start took, in seconds.
    pub start_seconds: Gauge,
    /// 1 once the broker serves requests.
    pub ready: IntGauge,
}

impl Metrics {
    /// Registers all series.
    ///
    /// # Panics
    /// When two series share a name: a mistake in this file.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let per_core = |name: &str, help: &str| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), &["core"]))
        };
        let per_topic = |name: &str, help: &str| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), &["core", "topic"]))
        };
        let gauge =
            |name: &str, help: &str| register(&registry, IntGaugeVec::new(Opts::new(name, help), &["core"]));
        let held = HistogramOpts::new(
            "slipring_core_held_seconds",
            "How late a core came to a wake-up that was due every 2 ms: tasks that ran long, or no processor.",
        );
        let build =
            IntGaugeVec::new(Opts::new("slipring_build_info", "1; the labels tell the build."), &["version"]);
        register(&registry, build).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        register(&registry, ProcessSeries::new());
        let refused =
            IntCounter::new("slipring_connections_refused_total", "Connections that a limit refused.");
        let start =
            Gauge::new("slipring_start_seconds", "How long the start took, until requests were served.");
        let ready = IntGauge::new("slipring_ready", "1 once the broker serves requests.");
        let commit =
            HistogramOpts::new("slipring_commit_seconds", "Duration of a group commit, until it is durable.");
        let request = HistogramOpts::new(
            "slipring_request_seconds",
            "Time from a request's arrival to its answer, by API.",
        );
        let requests = Opts::new("slipring_requests_total", "Requests received, by API.");
        Arc::new(Self {
            connections: gauge("slipring_connections", "Open client connections."),
            connections_accepted: per_core("slipring_connections_accepted_total", "Connections taken."),
            connections_moved: per_core(
                "slipring_connections_moved_total",
                "Connections that went on to the core that owns their partitions.",
            ),
            connections_refused: register(&registry, refused),
            start_seconds: register(&registry, start),
            requests: register(&registry, IntCounterVec::new(requests, &["core", "api"])),
            request_seconds: register(
                &registry,
                HistogramVec::new(request.buckets(REQUEST_BUCKETS.to_vec()), &["core", "api"]),
            ),
            protocol_errors: per_core(
                "slipring_protocol_errors_total",
                "Connections closed for malformed requests.",
            ),
            commit_seconds: register(
                &registry,
                HistogramVec::new(commit.buckets(COMMIT_BUCKETS.to_vec()), &["core"]),
            ),
            messages_in: per_topic("slipring_topic_messages_in_total", "Records appended by producers."),
            bytes_in: per_topic("slipring_topic_bytes_in_total", "Bytes of batches appended by producers."),
            bytes_out: per_topic("slipring_topic_bytes_out_total", "Bytes of batches sent to consumers."),
            duplicates: per_topic(
                "slipring_topic_duplicates_total",
                "Retried batches of idempotent producers.",
            ),
            invalid_batches: per_topic(
                "slipring_topic_invalid_batches_total",
                "Batches that failed validation.",
            ),
            partitions: gauge("slipring_partitions", "Partitions that the core owns."),
            fenced_logs: per_core("slipring_fenced_logs_total", "Logs fenced after a failed write or flush."),
            held_seconds: register(
                &registry,
                HistogramVec::new(held.buckets(HELD_BUCKETS.to_vec()), &["core"]),
            ),
            mail_batches: per_core("slipring_mail_batches_total", "Batches of messages from other cores."),
            mail_messages: per_core("slipring_mail_messages_total", "Messages from other cores."),
            log_bytes: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new("slipring_topic_log_bytes", "Size of the logs' segments."),
                    &["core", "topic"],
                ),
            ),
            levels: LevelSeries::new(gauge),
            groups: GroupSeries::new(&registry),
            ready: register(&registry, ready),
            registry,
        })
    }

    /// The text of the endpoint.
    ///
    /// # Errors
    /// When a series can't be written as text.
    pub fn render(&self) -> prometheus::Result<String> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// The counters of one core, to be looked up on it.
    #[must_use]
    pub fn of_shard_later(self: &Arc<Self>, shard: ShardId) -> ShardMetricsSeed {
        ShardMetricsSeed { metrics: self.clone(), shard }
    }

    /// The counters of one core.
    #[must_use]
    pub fn of_shard(self: &Arc<Self>, shard: ShardId) -> ShardMetrics {
        let core = shard.0.to_string();
        let labels = [core.as_str()];
        ShardMetrics {
            connections: self.connections.with_label_values(&labels),
            protocol_errors: self.protocol_errors.with_label_values(&labels),
            commit_seconds: self.commit_seconds.with_label_values(&labels),
            partitions: self.partitions.with_label_values(&labels),
            fenced_logs: self.fenced_logs.with_label_values(&labels),
            connections_accepted: self.connections_accepted.with_label_values(&labels),
            connections_moved: self.connections_moved.with_label_values(&labels),
            held_seconds: self.held_seconds.with_label_values(&labels),
            mail_batches: self.mail_batches.with_label_values(&labels),
            mail_messages: self.mail_messages.with_label_values(&labels),
            levels: self.levels.of_core(&core),
            groups: self.groups.of_core(&core),
            apis: RefCell::default(),
            topics: RefCell::default(),
            all: self.clone(),
            core,
        }
    }
}

/// The levels of all cores.
struct LevelSeries(Levels<IntGaugeVec>);

/// What a core holds at the moment.
pub struct Levels<G> {
    /// Appended bytes that no commit has taken.
    pub staged_bytes: G,
    /// Bytes of chunks that hold the tails.
    pub tail_bytes: G,
    /// Bytes of the journal that something still needs.
    pub journal_used_bytes: G,
    /// Bytes of the journal.
    pub journal_bytes: G,
    /// Open descriptors of segments.
    pub segment_files: G,
    /// Fetches that wait for more bytes.
    pub fetches_waiting: G,
    /// Produces that wait for their commit.
    pub produces_waiting: G,
}

impl LevelSeries {
    fn new(gauge: impl Fn(&str, &str) -> IntGaugeVec) -> Self {
        Self(Levels {
            staged_bytes: gauge("slipring_staged_bytes", "Appended bytes that no commit has taken."),
            tail_bytes: gauge("slipring_tail_bytes", "Memory that holds the ends of logs."),
            journal_used_bytes: gauge(
                "slipring_journal_used_bytes",
                "Bytes of the journals that are still needed.",
            ),
            journal_bytes: gauge("slipring_journal_bytes", "Size of the journals."),
            segment_files: gauge("slipring_segment_files", "Open descriptors of segments."),
            fetches_waiting: gauge("slipring_fetches_waiting", "Fetches that wait for more bytes."),
            produces_waiting: gauge("slipring_produces_waiting", "Produces that wait for their commit."),
        })
    }

    fn of_core(&self, core: &str) -> Levels<IntGauge> {
        let of = |gauge: &IntGaugeVec| gauge.with_label_values(&[core]);
        Levels {
            staged_bytes: of(&self.0.staged_bytes),
            tail_bytes: of(&self.0.tail_bytes),
            journal_used_bytes: of(&self.0.journal_used_bytes),
            journal_bytes: of(&self.0.journal_bytes),
            segment_files: of(&self.0.segment_files),
            fetches_waiting: of(&self.0.fetches_waiting),
            produces_waiting: of(&self.0.produces_waiting),
        }
    }
}

/// What a core needs to look up its counters.
pub struct ShardMetricsSeed {
    metrics: Arc<Metrics>,
    shard: ShardId,
}

impl ShardMetricsSeed {
    /// Looks them up.
    #[must_use]
    pub fn on_shard(&self) -> ShardMetrics {
        self.metrics.of_shard(self.shard)
    }
}

/// One core's counters, looked up once.
pub struct ShardMetrics {
    /// Open connections.
    pub connections: IntGauge,
    /// Connections closed for malformed requests.
    pub protocol_errors: IntCounter,
    /// Durations of group commits.
    pub commit_seconds: Histogram,
    /// Partitions owned.
    pub partitions: IntGauge,
    /// Logs fenced.
    pub fenced_logs: IntCounter,
    /// Connections taken.
    pub connections_accepted: IntCounter,
    /// Connections that moved to another core.
    pub connections_moved: IntCounter,
    /// How late the core came to its wake-ups.
    pub held_seconds: Histogram,
    /// Batches of messages from other cores.
    pub mail_batches: IntCounter,
    /// Messages from other cores.
    pub mail_messages: IntCounter,
    /// What it holds at the moment.
    pub levels: Levels<IntGauge>,
    /// Groups whose partitions it owns.
    pub groups: CoreGroups,
    apis: RefCell<HashMap<ApiKey, (IntCounter, Histogram)>>,
    topics: RefCell<HashMap<Arc<str>, TopicSeries>>,
    all: Arc<Metrics>,
    core: String,
}

#[derive(Clone)]
struct TopicSeries {
    messages_in: IntCounter,
    bytes_in: IntCounter,
    bytes_out: IntCounter,
    duplicates: IntCounter,
    invalid_batches: IntCounter,
    log_bytes: IntGauge,
}

impl ShardMetrics {
    /// Counts a request.
    pub fn request(&self, api: ApiKey) {
        self.with_api(api, |(requests, _)| requests.inc());
    }

    /// Notes how long a request took, in seconds.
    pub fn answered(&self, api: ApiKey, seconds: f64) {
        self.with_api(api, |(_, latency)| latency.observe(seconds));
    }

    fn with_api(&self, api: ApiKey, observe: impl FnOnce(&(IntCounter, Histogram))) {
        let mut apis = self.apis.borrow_mut();
        observe(apis.entry(api).or_insert_with(|| {
            let labels = [self.core.as_str(), api.info().name];
            (
                self.all.requests.with_label_values(&labels),
                self.all.request_seconds.with_label_values(&labels),
            )
        }));
    }

    /// Counts an appended batch.
    pub fn appended(&self, topic: &Arc<str>, batch: &BatchHeader, duplicate: bool) {
        self.with_topic(topic, |series| {
            if duplicate {
                series.duplicates.inc();
            } else {
                series.messages_in.inc_by(u64::from(batch.record_count.unsigned_abs()));
                series.bytes_in.inc_by(batch.size() as u64);
            }
        });
    }

    /// Counts bytes on their way to a consumer.
    pub fn fetched(&self, topic: &Arc<str>, bytes: usize) {
        self.with_topic(topic, |series| series.bytes_out.inc_by(bytes as u64));
    }

    /// Counts a batch that failed validation.
    pub fn invalid_batch(&self, topic: &Arc<str>) {
        self.with_topic(topic, |series| series.invalid_batches.inc());
    }

    /// Notes the sizes of this core's logs, by topic.
    pub fn log_sizes(&self, topics: &HashMap<Arc<str>, u64>) {
        let mut others = 0;
        for (topic, bytes) in topics {
            let bytes = i64::try_from(*bytes).unwrap_or(i64::MAX);
            self.with_topic(topic, |series| series.log_bytes.set(bytes));
            if !self.topics.borrow().contains_key(topic) {
                others += bytes;
            }
        }
        if others > 0 {
            self.with_topic(&Arc::from(OTHER_TOPICS), |series| series.log_bytes.set(others));
        }
    }

    fn with_topic(&self, topic: &Arc<str>, count: impl FnOnce(&TopicSeries)) {
        let mut topics = self.topics.borrow_mut();
        if let Some(series) = topics.get(topic) {
            return count(series);
        }
        let label: Arc<str> =
            if topics.len() < TOPIC_SERIES_MAX { topic.clone() } else { Arc::from(OTHER_TOPICS) };
        let labels = [self.core.as_str(), &label];
        let series = TopicSeries {
            messages_in: self.all.messages_in.with_label_values(&labels),
            bytes_in: self.all.bytes_in.with_label_values(&labels),
            bytes_out: self.all.bytes_out.with_label_values(&labels),
            duplicates: self.all.duplicates.with_label_values(&labels),
            invalid_batches: self.all.invalid_batches.with_label_values(&labels),
            log_bytes: self.all.log_bytes.with_label_values(&labels),
        };
        count(&series);
        topics.insert(label, series);
    }

    /// Forgets a deleted topic's series.
    pub fn forget_topic(&self, topic: &str) {
        if self.topics.borrow_mut().remove(topic).is_none() {
            return;
        }
        let labels = [self.core.as_str(), topic];
        let all = &self.all;
        for series in [&all.messages_in, &all.bytes_in, &all.bytes_out, &all.duplicates, &all.invalid_batches]
        {
            // Absent already when another partition's removal came first.
            _ = series.remove_label_values(&labels);
        }
        _ = all.log_bytes.remove_label_values(&labels);
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("names and labels of this file are valid");
    registry.register(Box::new(collector.clone())).expect("names of this file are unique");
    collector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_deleted_topic_go() {
        let metrics = Metrics::new();
        let shard = metrics.of_shard(ShardId(1));
        let topic: Arc<str> = Arc::from("orders");
        shard.fetched(&topic, 10);
        let line = r#"slipring_topic_bytes_out_total{core="1",topic="orders"} 10"#;
        assert!(metrics.render().unwrap().contains(line));
        shard.forget_topic("orders");
        assert!(!metrics.render().unwrap().contains("orders"));
    }

    #[test]
    fn made_up_topics_share_a_series() {
        let metrics = Metrics::new();
        let shard = metrics.of_shard(ShardId(0));
        for number in 0..TOPIC_SERIES_MAX + 10 {
            shard.fetched(&Arc::from(format!("t{number}")), 1);
        }
        let text = metrics.render().unwrap();
        assert!(text.contains(r#"slipring_topic_bytes_out_total{core="0",topic="other"} 10"#));
    }
}
