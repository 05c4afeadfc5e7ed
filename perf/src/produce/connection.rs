//! One producing connection: what is in flight, what of it is on the wire, and what the answers must say. Never waits:
//! its thread polls.

use std::io::{self, IoSlice, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::ProduceSpec;
use crate::answer::ProduceAnswer;
use crate::error::PerfError;
use crate::frames::FrameReader;
use crate::request::ProduceTemplate;

/// A connection and its requests, numbered from 0: answered <= sent <= started.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    images: Vec<Vec<u8>>,
    begun: Vec<Instant>,
    started: u64,
    sent: u64,
    /// Bytes on the wire of the request after those that are sent.
    written: usize,
    answered: u64,
    limit: u64,
    cursor: usize,
    expected: Expected,
    answers: bool,
    input: FrameReader,
}

/// What the base offsets in the answers must be.
#[derive(Debug)]
pub(super) struct Expected {
    partitions: Vec<i32>,
    /// By index; none where this connection does not write.
    next: Vec<Option<i64>>,
    /// Nobody else writes these partitions, so that offsets are dense.
    sole: bool,
    records: i64,
}

/// Whether all that was to be sent is in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Flushed,
    Blocked,
}

impl Connection {
    /// Connects.
    pub(super) fn open(
        broker: SocketAddr,
        spec: &ProduceSpec,
        template: &ProduceTemplate,
        answer: &ProduceAnswer,
        expected: Expected,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            images: (0..spec.in_flight).map(|_| template.image()).collect(),
            begun: vec![Instant::now(); spec.in_flight],
            started: 0,
            sent: 0,
            written: 0,
            answered: 0,
            limit: u64::MAX,
            cursor: 0,
            expected,
            answers: spec.acks != 0,
            input: FrameReader::new(INPUT_BYTES.max(2 * answer.frame_bytes())),
        })
    }

    /// Stops after so many requests.
    pub(super) const fn limit(&mut self, requests: u64) {
        self.limit = requests;
    }

    /// How many partitions it writes to.
    pub(super) const fn partitions(&self) -> usize {
        self.expected.partitions.len()
    }

    pub(super) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Requests that wait for their answer.
    pub(super) const fn outstanding(&self) -> u64 {
        self.started - self.answered
    }

    /// Whether another request will be started.
    pub(super) const fn is_spent(&self) -> bool {
        self.started >= self.limit
    }

    /// Starts what there is room for, and sends what the socket takes.
    pub(super) fn send(
        &mut self,
        template: &ProduceTemplate,
        now: Instant,
        more: bool,
    ) -> io::Result<Output> {
        loop {
            if more {
                self.start(template, now);
            }
            if self.sent == self.started {
                return Ok(Output::Flushed);
            }
            let wanted = self.write(template)?;
            self.advance(template);
            if !wanted {
                return Ok(Output::Blocked);
            }
            if !self.answers {
                // Nothing will be answered: it counts as soon as it is sent. One round at a time keeps others alive.
                self.answered = self.sent;
                return Ok(Output::Blocked);
            }
        }
    }

    fn start(&mut self, template: &ProduceTemplate, now: Instant) {
        let room = self.images.len() as u64;
        while self.started - self.answered < room && self.started < self.limit {
            let slot = (self.started % room) as usize;
            let partitions = &self.expected.partitions;
            let cursor = self.cursor;
            let chosen =
                (0..template.partitions()).map(|step| partitions[(cursor + step) % partitions.len()]);
            template.address(&mut self.images[slot], self.started, chosen);
            self.cursor = (cursor + template.partitions()) % partitions.len();
            self.begun[slot] = now;
            self.started += 1;
        }
    }

    /// Hands all unsent requests to the kernel, gathered into one call as far as they go. Whether it took them all.
    fn write(&mut self, template: &ProduceTemplate) -> io::Result<bool> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (mut count, mut bytes, mut skip) = (0, 0, self.written);
        'gather: for number in self.sent..self.started {
            let image = &self.images[(number % self.images.len() as u64) as usize];
            for piece in template.pieces(image) {
                if skip >= piece.len() {
                    skip -= piece.len();
                    continue;
                }
                if count == SLICES_MAX {
                    break 'gather;
                }
                slices[count] = IoSlice::new(&piece[skip..]);
                bytes += piece.len() - skip;
                skip = 0;
                count += 1;
            }
        }
        match (&self.stream).write_vectored(&slices[..count]) {
            Ok(written) => {
                self.written += written;
                Ok(written == bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn advance(&mut self, template: &ProduceTemplate) {
        let frame = template.frame_bytes();
        self.sent += (self.written / frame) as u64;
        self.written %= frame;
    }

    /// Reads once, and checks every whole answer. `each` gets the moment when an answered request was started.
    pub(super) fn receive(
        &mut self,
        answer: &ProduceAnswer,
        mut each: impl FnMut(Instant),
    ) -> Result<(), PerfError> {
        self.input.fill(&self.stream)?;
        while let Some(frame) = self.input.next()? {
            if self.answered == self.sent {
                return Err(PerfError::Wrong("an answer to no request".to_owned()));
            }
            let expected = &mut self.expected;
            answer.check(self.answered, frame, |index, base| expected.check(index, base))?;
            each(self.begun[(self.answered % self.begun.len() as u64) as usize]);
            self.answered += 1;
        }
        Ok(())
    }

    pub(super) const fn answered(&self) -> u64 {
        self.answered
    }
}

impl Expected {
    /// `ends` holds the log end of every partition of the topic; this connection writes `partitions`, alone when `sole`.
    pub(super) fn new(partitions: Vec<i32>, ends: &[i64], sole: bool, records: u32) -> Self {
        let mut next = vec![None; ends.len()];
        for &index in &partitions {
            next[index as usize] = Some(ends[index as usize]);
        }
        Self { partitions, next, sole, records: i64::from(records) }
    }

    /// Holds an acknowledged base offset against those before it.
    fn check(&mut self, index: i32, base: i64) -> Result<(), PerfError> {
        let Some(Some(next)) = usize::try_from(index).ok().and_then(|index| self.next.get_mut(index)) else {
            return Err(PerfError::Wrong(format!("partition {index} was not written to")));
        };
        if base < *next || (self.sole && base != *next) {
            let text = format!("partition {index} acknowledges offset {base} where {next} is due");
            return Err(PerfError::Wrong(text));
        }
        *next = base + self.records;
        Ok(())
    }
}

/// Answers read at a time.
const INPUT_BYTES: usize = 64 << 10;
/// Pieces handed to the kernel at a time.
const SLICES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_offsets_are_dense_for_the_only_writer() {
        let mut sole = Expected::new(vec![1, 3], &[0, 10, 0, 0], true, 5);
        assert!(sole.check(1, 10).is_ok());
        assert!(sole.check(3, 0).is_ok());
        assert!(sole.check(1, 15).is_ok());
        assert!(sole.check(3, 10).unwrap_err().to_string().contains("offset 10 where 5 is due"));
        for stranger in [0, -1, 4] {
            assert!(sole.check(stranger, 0).is_err());
        }
        let mut shared = Expected::new(vec![0], &[7], false, 5);
        assert!(shared.check(0, 12).is_ok());
        assert!(shared.check(0, 16).is_err());
        assert!(shared.check(0, 17).is_ok());
    }
}
