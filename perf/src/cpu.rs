//! Processor time of the broker, of the generator and of everything else, from `/proc`.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use crate::error::{Doing, PerfError};

/// A moment, and the processor time used up to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    generator: Duration,
    broker: Option<Duration>,
    busy: Duration,
}

/// What two samples are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Time by the clock.
    pub(crate) wall: Duration,
    /// Processor time of this process.
    pub(crate) generator: Duration,
    /// Processor time of the broker with all its threads; none where its process is not known.
    pub(crate) broker: Option<Duration>,
    /// Processor time of neither, which should be next to nothing; none where the broker's is not known.
    pub(crate) other: Option<Duration>,
}

impl Sample {
    /// Reads the counters now.
    ///
    /// # Errors
    /// When `/proc` cannot be read: the broker is gone.
    pub(crate) fn take(broker_pid: Option<u32>) -> Result<Self, PerfError> {
        let generator = process_time("self").doing("read the generator's processor time")?;
        let broker =
            broker_pid.map(|pid| process_time(&pid.to_string()).doing("read the broker's processor time"));
        let stat = fs::read_to_string("/proc/stat").doing("read /proc/stat")?;
        let busy = parse_busy(&stat).ok_or_else(|| malformed("/proc/stat")).doing("read /proc/stat")?;
        Ok(Self { at: Instant::now(), generator, broker: broker.transpose()?, busy: ticks(busy) })
    }

    /// What happened from `self` to `later`.
    pub(crate) fn until(&self, later: &Self) -> Usage {
        let generator = later.generator.saturating_sub(self.generator);
        let broker = later.broker.zip(self.broker).map(|(later, sooner)| later.saturating_sub(sooner));
        let busy = later.busy.saturating_sub(self.busy);
        Usage {
            wall: later.at - self.at,
            generator,
            broker,
            other: broker.map(|broker| busy.saturating_sub(broker + generator)),
        }
    }
}

/// Peak memory of a process in bytes; none when it is gone.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    parse_peak(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// User and system time of a process: of all its threads, also those that have ended, io_uring's workers among them.
fn process_time(pid: &str) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_process(&stat).map(ticks).ok_or_else(|| malformed(pid))
}

/// utime and stime are fields 14 and 15; the name in field 2 may hold anything, also blanks and parentheses.
fn parse_process(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// user, nice, system, irq, softirq and steal of the line for all processors; idle and iowait are left out, guests
/// count as user already.
fn parse_busy(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].iter().map(|&index| fields.get(index).copied());
    busy.sum()
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: not as proc(5) says"))
}

/// `/proc` counts in hundredths of a second on every architecture (`USER_HZ`).
const fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc() {
        let stat = "77 (a ) b (c) S 1 2 3 4 5 6 7 8 9 10 1234 66 9 9 20 0";
        assert_eq!(parse_process(stat), Some(1300));
        assert_eq!(parse_process("77 (a"), None);
        let stat = "cpu  100 10 50 9999 8888 5 4 3 50 0\ncpu0 1 1 1 1\n";
        assert_eq!(parse_busy(stat), Some(172));
        assert_eq!(parse_busy("cpu  100 10"), None);
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t  12 kB\n"), Some(12 * 1024));
        assert_eq!(ticks(150), Duration::from_millis(1500));
    }

    #[test]
    fn this_process_uses_time() {
        let pid = std::process::id();
        let before = Sample::take(Some(pid)).unwrap();
        let spin = Instant::now();
        while spin.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        let usage = before.until(&Sample::take(Some(pid)).unwrap());
        assert!(usage.wall >= Duration::from_millis(60));
        assert!(usage.broker.unwrap() >= usage.generator.saturating_sub(Duration::from_millis(10)));
        assert!(peak_memory(pid).unwrap() > 1 << 20);
    }
}
