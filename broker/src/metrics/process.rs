//! The process and its threads as the kernel sees them, read from /proc when somebody asks: memory, descriptors, and for
//! each thread how long it ran and how long it waited for a processor. Runs on the thread of the metrics endpoint.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, Gauge, IntGauge, Opts};

const NANOS_PER_SECOND: f64 = 1e9;

/// Series that are read when they are gathered.
#[derive(Clone)]
pub(super) struct ProcessSeries {
    cpu: Gauge,
    resident: IntGauge,
    virtual_memory: IntGauge,
    open_files: IntGauge,
    open_files_max: IntGauge,
    started: Gauge,
    threads: IntGauge,
    thread_cpu: CounterVec,
    thread_wait: CounterVec,
}

impl ProcessSeries {
    /// The names are those that Prometheus' client libraries agree on, except for those of threads.
    pub(super) fn new() -> prometheus::Result<Self> {
        let thread = |name: &str, help: &str| CounterVec::new(Opts::new(name, help), &["thread"]);
        let series = Self {
            cpu: Gauge::new("process_cpu_seconds_total", "User and system time of the process.")?,
            resident: IntGauge::new("process_resident_memory_bytes", "Resident memory.")?,
            virtual_memory: IntGauge::new("process_virtual_memory_bytes", "Virtual memory.")?,
            open_files: IntGauge::new("process_open_fds", "Open file descriptors.")?,
            open_files_max: IntGauge::new("process_max_fds", "Limit of open file descriptors.")?,
            started: Gauge::new("process_start_time_seconds", "Start of the process since the Unix epoch.")?,
            threads: IntGauge::new("process_threads", "Threads of the process.")?,
            thread_cpu: thread(
                "slipring_thread_cpu_seconds_total",
                "Time that a thread ran; the rate of core-N is the utilisation of core N.",
            )?,
            thread_wait: thread(
                "slipring_thread_wait_seconds_total",
                "Time that a thread was ready to run and had to wait for a processor.",
            )?,
        };
        if let Some(started) = start_time() {
            series.started.set(started);
        }
        Ok(series)
    }

    fn parts(&self) -> [&dyn Collector; 9] {
        [
            &self.cpu,
            &self.resident,
            &self.virtual_memory,
            &self.open_files,
            &self.open_files_max,
            &self.started,
            &self.threads,
            &self.thread_cpu,
            &self.thread_wait,
        ]
    }

    /// What can't be read keeps its last value.
    fn read(&self) {
        let threads = threads();
        self.threads.set(count(threads.len()));
        let mut by_name: HashMap<String, Run> = HashMap::new();
        for (name, run) in threads {
            let sum = by_name.entry(name).or_default();
            sum.ran += run.ran;
            sum.waited += run.waited;
        }
        for (name, run) in by_name {
            raise(&self.thread_cpu, &name, run.ran);
            raise(&self.thread_wait, &name, run.waited);
        }
        if let Some(seconds) = cpu_seconds() {
            self.cpu.set(seconds);
        }
        if let Some((size, resident)) = memory_pages() {
            self.virtual_memory.set(size.saturating_mul(page_bytes()));
            self.resident.set(resident.saturating_mul(page_bytes()));
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // Without the one that lists them.
            self.open_files.set(count(open.count().saturating_sub(1)));
        }
        if let Some(limit) = open_files_limit() {
            self.open_files_max.set(limit);
        }
    }
}

impl Collector for ProcessSeries {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        let mut families: Vec<_> = self.parts().into_iter().flat_map(Collector::collect).collect();
        // It only grows; the library's gauge is what can be set.
        for family in &mut families {
            if family.name() == "process_cpu_seconds_total" {
                family.set_field_type(prometheus::proto::MetricType::COUNTER);
                for metric in family.mut_metric() {
                    let mut counter = prometheus::proto::Counter::default();
                    counter.set_value(self.cpu.get());
                    metric.set_counter(counter);
                }
            }
        }
        families
    }
}

#[derive(Clone, Copy, Default)]
struct Run {
    ran: f64,
    waited: f64,
}

/// Lifts a counter to what the kernel counted; threads of the same name that ended may leave it higher.
fn raise(counters: &CounterVec, thread: &str, seconds: f64) {
    let counter = counters.with_label_values(&[thread]);
    let more = seconds - counter.get();
    if more > 0.0 {
        counter.inc_by(more);
    }
}

/// Every thread's name, and what the scheduler says of it.
fn threads() -> Vec<(String, Run)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks.filter_map(|task| thread(&task.ok()?.path())).collect()
}

fn thread(task: &Path) -> Option<(String, Run)> {
    let name = fs::read_to_string(task.join("comm")).ok()?.trim().to_owned();
    let run = fs::read_to_string(task.join("schedstat")).ok().and_then(|text| parse_schedstat(&text));
    Some((name, run.unwrap_or_default()))
}

/// Nanoseconds on a processor, nanoseconds of waiting for one, time slices.
fn parse_schedstat(text: &str) -> Option<Run> {
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Run { ran: ran / NANOS_PER_SECOND, waited: waited / NANOS_PER_SECOND })
}

fn cpu_seconds() -> Option<f64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills in the struct.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    (outcome == 0).then(|| time.tv_sec as f64 + time.tv_nsec as f64 / NANOS_PER_SECOND)
}

/// Virtual and resident size in pages.
fn memory_pages() -> Option<(i64, i64)> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn page_bytes() -> i64 {
    // SAFETY: sysconf has no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }
}

fn open_files_limit() -> Option<i64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills in the struct.
    let outcome = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (outcome == 0).then(|| i64::try_from(limit.rlim_cur).unwrap_or(i64::MAX))
}

/// Since the Unix epoch, to a hundredth of a second: boot time plus the process' start after it.
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: f64 = start_ticks(&stat)?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    // SAFETY: sysconf has no preconditions.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Some(boot + ticks / per_second as f64)
}

/// Field 22 of /proc/PID/stat; the name before it may hold anything.
fn start_ticks(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(19)?.parse().ok()
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let run = parse_schedstat("2000000000 500000000 17\n").unwrap();
        assert_eq!((run.ran, run.waited), (2.0, 0.5));
        assert!(parse_schedstat("").is_none());
        let stat = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        assert_eq!(start_ticks(stat), Some(4711.0));
    }

    #[test]
    fn this_process_is_seen() {
        let series = ProcessSeries::new().unwrap();
        series.read();
        assert!(series.resident.get() > 1 << 20);
        assert!(series.threads.get() >= 1 && series.open_files.get() >= 3);
        assert!(series.started.get() > 1e9 && series.cpu.get() > 0.0);
    }
}
