//! Records streamed out of a compressed area through a fixed window: only what validation and look-ups need of each,
//! never a key or a value. Stops whenever its budget of inflated bytes is spent and goes on where it stopped.

use super::compression::Compression;
use super::decompress::{CodecError, Decompressor};
use super::records::RecordError;
use super::varint::{VARLONG_BYTES_MAX, take_varint, take_varlong};

/// Records of one area, in order.
pub(super) struct RecordStream<I: AsRef<[u8]>> {
    source: Decompressor<I>,
    window: Box<[u8]>,
    /// The window's unread part.
    start: usize,
    end: usize,
    source_ended: bool,
    walk: Walk,
}

/// What is told of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) has_key: bool,
    /// Whether the record's fields fill the length it claims. Kafka's validation of compressed records does not look at
    /// that length, its consumers do; callers decide.
    pub(super) length_ok: bool,
    /// Bytes before the key: the length, attributes, timestamp and offset delta.
    pub(super) head_bytes: usize,
    /// What the claimed length leaves for key, value and headers.
    pub(super) rest_length: i32,
}

/// What asking for more came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    Ready(T),
    /// The budget is spent; ask again.
    Spent,
}

/// Why records could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The codec cannot read the area.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// What was inflated is no record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Where inside a record we are.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    step: Step,
    /// The length that the record claims, and the bytes that takes.
    length: i32,
    length_bytes: usize,
    /// Bytes that the record's body has left by its claimed length; below zero when its fields take more.
    body_left: i64,
    /// Bytes of a key, value or header to pass over first.
    skip: usize,
    headers_left: usize,
    head: RecordHead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Length,
    Attributes,
    TimestampDelta,
    OffsetDelta,
    Key,
    Value,
    HeaderCount,
    HeaderName,
    HeaderValue,
    End,
}

impl<I: AsRef<[u8]>> RecordStream<I> {
    pub(super) fn new(codec: Compression, area: I) -> Result<Self, CodecError> {
        Ok(Self {
            source: Decompressor::new(codec, area)?,
            window: vec![0; WINDOW_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            source_ended: false,
            walk: Walk::default(),
        })
    }

    /// The next record. `budget` falls by the bytes inflated; with some left there is always progress.
    pub(super) fn next(&mut self, budget: &mut usize) -> Result<Next<RecordHead>, RecordsError> {
        self.next_with(budget, |_, _| {})
    }

    /// The same, and hands every byte on that is passed: never of two records at once, and with the record's head once
    /// all that stands before its key has been passed.
    #[inline]
    pub(super) fn next_with(
        &mut self,
        budget: &mut usize,
        mut passed: impl FnMut(&[u8], Option<&RecordHead>),
    ) -> Result<Next<RecordHead>, RecordsError> {
        loop {
            // A whole varint must be in the window, or all that is left.
            if self.end - self.start < VARLONG_BYTES_MAX && !self.source_ended {
                if *budget == 0 {
                    return Ok(Next::Spent);
                }
                self.refill(budget)?;
                continue;
            }
            let mut bytes = &self.window[self.start..self.end];
            let done = self.walk.run(&mut bytes, self.source_ended)?;
            let before = self.start;
            self.start = self.end - bytes.len();
            if self.start > before {
                passed(&self.window[before..self.start], self.walk.complete_head());
            }
            if done {
                return Ok(Next::Ready(self.walk.head));
            }
        }
    }

    /// Whether nothing follows the records taken so far (`RecordIterator.ensureNoneRemaining`).
    pub(super) fn at_end(&mut self, budget: &mut usize) -> Result<Next<bool>, RecordsError> {
        while self.start == self.end && !self.source_ended {
            if *budget == 0 {
                return Ok(Next::Spent);
            }
            self.refill(budget)?;
        }
        Ok(Next::Ready(self.start == self.end))
    }

    fn refill(&mut self, budget: &mut usize) -> Result<(), CodecError> {
        self.window.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let read = self.source.fill(&mut self.window[self.end..])?;
        self.end += read;
        self.source_ended = read == 0;
        *budget = budget.saturating_sub(read);
        Ok(())
    }
}

impl Walk {
    /// The head of the record in hand, once all that stands before its key has been passed.
    fn complete_head(&self) -> Option<&RecordHead> {
        (self.head.head_bytes > 0).then_some(&self.head)
    }

    /// Walks on in `bytes` until a record is complete (true) or the bytes may not hold the next field (false).
    fn run(&mut self, bytes: &mut &[u8], last: bool) -> Result<bool, RecordError> {
        loop {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                *bytes = &bytes[passed..];
                self.skip -= passed;
                if self.skip > 0 {
                    return if last { Err(RecordError::Short) } else { Ok(false) };
                }
            }
            if self.step == Step::End {
                self.step = Step::Length;
                self.head.length_ok = self.body_left == 0;
                return Ok(true);
            }
            if bytes.len() < VARLONG_BYTES_MAX && !last {
                return Ok(false);
            }
            self.field(bytes)?;
        }
    }

    /// Takes the field that `step` names.
    fn field(&mut self, bytes: &mut &[u8]) -> Result<(), RecordError> {
        let before = bytes.len();
        if self.step == Step::Length {
            self.length = take_varint(bytes)?;
            self.length_bytes = before - bytes.len();
            self.body_left = self.length.into();
            (self.head, self.step) = (RecordHead::default(), Step::Attributes);
            return Ok(());
        }
        let mut field_bytes = 0;
        self.step = match self.step {
            Step::Attributes => {
                *bytes = bytes.get(1..).ok_or(RecordError::Short)?;
                Step::TimestampDelta
            }
            Step::TimestampDelta => {
                self.head.timestamp_delta = take_varlong(bytes)?;
                Step::OffsetDelta
            }
            Step::OffsetDelta => {
                self.head.offset_delta = take_varint(bytes)?;
                Step::Key
            }
            Step::Key => {
                let length = take_varint(bytes)?;
                self.head.has_key = length >= 0;
                field_bytes = nullable(length);
                Step::Value
            }
            Step::Value => {
                field_bytes = nullable(take_varint(bytes)?);
                Step::HeaderCount
            }
            Step::HeaderCount => {
                let count = take_varint(bytes)?;
                self.headers_left = usize::try_from(count).map_err(|_| RecordError::HeaderCount(count))?;
                self.next_header()
            }
            Step::HeaderName => {
                let length = take_varint(bytes)?;
                field_bytes = usize::try_from(length).map_err(|_| RecordError::HeaderName)?;
                Step::HeaderValue
            }
            Step::HeaderValue => {
                field_bytes = nullable(take_varint(bytes)?);
                self.headers_left -= 1;
                self.next_header()
            }
            Step::Length | Step::End => self.step,
        };
        let walked = before - bytes.len() + field_bytes;
        self.skip = field_bytes;
        self.body_left -= walked as i64;
        if self.step == Step::Key {
            // A head is some twenty bytes, so what is left of an i32 is one, even of a record that lies.
            let head = i64::from(self.length) - self.body_left;
            self.head.head_bytes = self.length_bytes + head as usize;
            self.head.rest_length = self.body_left as i32;
        }
        Ok(())
    }

    fn next_header(&self) -> Step {
        if self.headers_left > 0 { Step::HeaderName } else { Step::End }
    }
}

/// Any negative length is null.
fn nullable(length: i32) -> usize {
    usize::try_from(length).unwrap_or(0)
}

/// All that is ever held of inflated records; Kafka's windows are 2 to 16 KiB.
const WINDOW_BYTES: usize = 16 << 10;

const _: () = assert!(WINDOW_BYTES <= 64 << 10 && WINDOW_BYTES > VARLONG_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::super::compression::compress;
    use super::super::{BatchBuilder, RecordSpec};
    use super::*;
    use crate::ids::TimestampMs;

    fn walk_all(
        codec: Compression,
        area: &[u8],
        count: usize,
        step: usize,
    ) -> Result<Vec<RecordHead>, RecordsError> {
        let mut stream = RecordStream::new(codec, area)?;
        let mut heads = Vec::new();
        while heads.len() < count {
            if let Next::Ready(head) = stream.next(&mut step.clone())? {
                heads.push(head);
            }
        }
        while stream.at_end(&mut step.clone())? == Next::Spent {}
        assert_eq!(stream.at_end(&mut 1), Ok(Next::Ready(true)));
        Ok(heads)
    }

    #[test]
    fn records_larger_than_the_window_and_headers() {
        let big = vec![9; 3 * WINDOW_BYTES + 5];
        let mut builder = BatchBuilder::new();
        let headers = [(&b"name"[..], Some(&big[..])), (b"", None)];
        for (key, timestamp) in [(None, 50), (Some(&big[..]), 40), (Some(&b""[..]), 60)] {
            let timestamp = TimestampMs(timestamp);
            builder.append_record(&RecordSpec { timestamp, key, headers: &headers, ..RecordSpec::default() });
            builder.append(timestamp, key, Some(&big));
        }
        for codec in Compression::ALL {
            let area = compress(codec, builder.area());
            for step in [1, 1_000, usize::MAX] {
                let heads = walk_all(codec, &area, 6, step).unwrap();
                let seen: Vec<_> = heads.iter().map(|head| (head.timestamp_delta, head.has_key)).collect();
                let expected = [(0, false), (0, false), (-10, true), (-10, true), (10, true), (10, true)];
                assert_eq!(seen, expected, "{codec:?}");
                assert!(heads.iter().zip(0..).all(|(head, delta)| head.offset_delta == delta));
            }
        }
    }

    #[test]
    fn agrees_with_the_slice_iterator_on_every_flipped_byte() {
        let mut builder = BatchBuilder::new();
        builder.append_record(&RecordSpec {
            key: Some(b"k"),
            headers: &[(b"h", Some(b"v"))],
            ..RecordSpec::default()
        });
        builder.append(TimestampMs(-3), None, Some(b"value"));
        let area = builder.area().to_vec();
        for at in 0..area.len() {
            for flip in 0..=255u8 {
                let mut area = area.clone();
                area[at] ^= flip;
                let whole: Result<Vec<_>, _> = super::super::Records::new(&area, 2).collect();
                let mut stream = RecordStream::new(Compression::None, &area[..]).unwrap();
                let streamed = (0..2)
                    .map(|_| stream.next(&mut usize::MAX.clone()))
                    .collect::<Result<Vec<_>, _>>()
                    .and_then(|heads| Ok((heads, stream.at_end(&mut usize::MAX.clone())?)));
                let length_ok = |head: &Next<RecordHead>| matches!(head, Next::Ready(head) if head.length_ok);
                let good = matches!(&streamed, Ok((heads, Next::Ready(true))) if heads.iter().all(length_ok));
                assert_eq!(good, whole.is_ok(), "byte {at} ^ {flip}: {streamed:?} {whole:?}");
            }
        }
    }
}
