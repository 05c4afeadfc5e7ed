//! One thread of the generator: polls its connections until the window is over and everything is answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::connection::{Connection, Output};
use crate::answer::ProduceAnswer;
use crate::error::{Doing, PerfError};
use crate::latency::Latency;
use crate::poll::{Interest, Poller};
use crate::request::ProduceTemplate;

/// When requests are started, and when answers count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Answers count from here.
    pub(crate) from: Instant,
    /// To here; no request is started after it.
    pub(crate) until: Instant,
}

impl Window {
    /// Counts after a warm-up.
    pub(crate) fn starting_now(warm_up_seconds: u64, seconds: u64) -> Self {
        let from = Instant::now() + Duration::from_secs(warm_up_seconds);
        Self { from, until: from + Duration::from_secs(seconds) }
    }

    /// For connections that stop at a limit.
    pub(crate) fn endless() -> Self {
        let from = Instant::now();
        Self { from, until: from + Duration::from_hours(24) }
    }

    fn holds(&self, moment: Instant) -> bool {
        self.from <= moment && moment < self.until
    }
}

/// What one thread saw.
#[derive(Debug)]
pub(super) struct Tally {
    /// Requests answered within the window.
    pub(super) requests: u64,
    /// Requests answered at all.
    pub(super) acknowledged_requests: u64,
    /// Latencies of those within the window.
    pub(super) latency: Latency,
}

impl Default for Tally {
    fn default() -> Self {
        Self { requests: 0, acknowledged_requests: 0, latency: Latency::new() }
    }
}

impl Tally {
    /// Adds what another thread saw.
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.acknowledged_requests += other.acknowledged_requests;
        self.latency.add(&other.latency);
    }
}

/// Drives some connections to their end.
///
/// # Errors
/// The first error of any of them, or none of them getting an answer for [`STALL`].
pub(super) fn drive(
    connections: Vec<Connection>,
    template: &ProduceTemplate,
    answer: &ProduceAnswer,
    window: Window,
    acknowledged: &AtomicU64,
) -> Result<Tally, PerfError> {
    let poller = Poller::new().doing("create an epoll set")?;
    let mut thread = Thread {
        interests: vec![Interest::Input; connections.len()],
        connections,
        template,
        answer,
        window,
        tally: Tally::default(),
    };
    thread.run(poller, acknowledged)?;
    thread.tally.acknowledged_requests = thread.connections.iter().map(Connection::answered).sum();
    Ok(thread.tally)
}

struct Thread<'a> {
    connections: Vec<Connection>,
    interests: Vec<Interest>,
    template: &'a ProduceTemplate,
    answer: &'a ProduceAnswer,
    window: Window,
    tally: Tally,
}

impl Thread<'_> {
    fn run(&mut self, mut poller: Poller, acknowledged: &AtomicU64) -> Result<(), PerfError> {
        let mut last_answer = Instant::now();
        for token in 0..self.connections.len() {
            poller.add(self.connections[token].stream(), token).doing("watch a connection")?;
            self.send(token, last_answer, &poller)?;
        }
        let mut ready = Vec::new();
        while !self.is_over() {
            ready.clear();
            ready.extend(poller.wait(TURN).doing("wait for answers")?);
            let mut answered = 0;
            for &token in &ready {
                answered += self.turn(token, &poller)?;
            }
            if answered > 0 {
                last_answer = Instant::now();
                acknowledged.fetch_add(answered, Ordering::Relaxed);
            } else if last_answer.elapsed() > STALL {
                return Err(PerfError::Stalled(STALL.as_secs()));
            }
        }
        Ok(())
    }

    /// Whether everything is answered and nothing more will be started.
    fn is_over(&self) -> bool {
        let late = Instant::now() >= self.window.until;
        self.connections.iter().all(|one| one.outstanding() == 0 && (late || one.is_spent()))
    }

    /// Takes the answers of one connection and sends the next requests; how many were answered.
    fn turn(&mut self, token: usize, poller: &Poller) -> Result<u64, PerfError> {
        let connection = &mut self.connections[token];
        let (latency, window) = (&mut self.tally.latency, self.window);
        let before = connection.answered();
        let mut received = None;
        connection.receive(self.answer, |begun| {
            let now = *received.get_or_insert_with(Instant::now);
            if window.holds(now) {
                latency.record(now - begun);
            }
        })?;
        let now = received.unwrap_or_else(Instant::now);
        self.send(token, now, poller)?;
        let answered = self.connections[token].answered() - before;
        if window.holds(now) {
            self.tally.requests += answered;
        }
        Ok(answered)
    }

    fn send(&mut self, token: usize, now: Instant, poller: &Poller) -> Result<(), PerfError> {
        let connection = &mut self.connections[token];
        let output = connection.send(self.template, now, now < self.window.until).doing("send a request")?;
        let interest = match output {
            Output::Flushed => Interest::Input,
            Output::Blocked => Interest::InputAndOutput,
        };
        if self.interests[token] != interest {
            poller.set(connection.stream(), token, interest).doing("watch a connection")?;
            self.interests[token] = interest;
        }
        Ok(())
    }
}

/// Longest wait before the clock is looked at.
const TURN: Duration = Duration::from_millis(50);
/// Without any answer for so long a run is given up.
const STALL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_between_its_ends() {
        let window = Window::starting_now(10, 5);
        let at = |seconds| window.from + Duration::from_secs(seconds);
        assert!(!window.holds(window.from - Duration::from_nanos(1)));
        assert!(window.holds(window.from) && window.holds(at(4)));
        assert!(!window.holds(at(5)));
        assert_eq!(window.until, at(5));
    }

    #[test]
    fn tallies_add_up() {
        let mut sum = Tally::default();
        for requests in [2, 3] {
            let mut tally = Tally { requests, acknowledged_requests: requests + 1, ..Tally::default() };
            tally.latency.record(Duration::from_millis(requests));
            sum.add(&tally);
        }
        assert_eq!((sum.requests, sum.acknowledged_requests, sum.latency.count()), (5, 7, 2));
    }
}
