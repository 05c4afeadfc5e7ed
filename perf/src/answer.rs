//! Reading answers without an allocation. Good answers to one template all have one shape, so they are checked field by field
//! at known places; whatever looks different goes through the full decoder, which says what is wrong.

use bytes::Bytes;
use slipring_protocol::api::ApiKey;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::header::parse_response;
use slipring_protocol::ids::{PartitionIndex, TopicId};
use slipring_protocol::produce::{ProducePartitionResponse, ProduceResponse, ProduceTopicResponse};
use slipring_protocol::wire::WireError;

use crate::error::{PerfError, check_code};
use crate::request::{PRODUCE_VERSION, correlation_id};

/// The shape of good answers to a produce template.
#[derive(Clone, Debug)]
pub(crate) struct ProduceAnswer {
    /// What comes before the first partition: topic id and counts.
    head: Vec<u8>,
    /// Length of the whole frame, its own length left out.
    frame_bytes: usize,
    partitions: usize,
}

impl ProduceAnswer {
    /// The shape for so many partitions of a topic.
    ///
    /// # Errors
    /// When the codec refuses it.
    pub(crate) fn new(topic: TopicId, partitions: usize) -> Result<Self, WireError> {
        let good = |index| ProducePartitionResponse::failed(PartitionIndex(index), ErrorCode::None);
        let topic = ProduceTopicResponse {
            topic_id: topic,
            partitions: (0..partitions as i32).map(good).collect(),
            ..ProduceTopicResponse::default()
        };
        let answer = ProduceResponse { topics: [topic].into_iter().collect(), ..ProduceResponse::default() };
        let mut body = Vec::new();
        answer.encode(PRODUCE_VERSION, &mut body)?;
        let first = body.len() - TAIL_BYTES - partitions * PARTITION_BYTES;
        Ok(Self { head: body[..first].to_vec(), frame_bytes: HEADER_BYTES + body.len(), partitions })
    }

    /// Bytes of a good answer, the length in front included.
    pub(crate) const fn frame_bytes(&self) -> usize {
        self.frame_bytes + slipring_protocol::frame::LENGTH_BYTES
    }

    /// Checks an answer (a frame without its length) to a connection's n-th request, and gives index and base offset of each
    /// partition to `each`.
    ///
    /// # Errors
    /// An error code of the broker, or an answer to something else.
    pub(crate) fn check(
        &self,
        number: u64,
        frame: &[u8],
        mut each: impl FnMut(i32, i64) -> Result<(), PerfError>,
    ) -> Result<(), PerfError> {
        let Some(partitions) = self.good(number, frame) else { return Err(self.explain(number, frame)) };
        for partition in partitions.chunks_exact(PARTITION_BYTES) {
            let (index, error) = (i32_at(partition, 0), i16_at(partition, 4));
            if error != 0 {
                return Err(self.explain(number, frame));
            }
            each(index, i64_at(partition, 6))?;
        }
        Ok(())
    }

    /// The partitions of an answer of the right shape.
    fn good<'a>(&self, number: u64, frame: &'a [u8]) -> Option<&'a [u8]> {
        if frame.len() != self.frame_bytes || i32_at(frame, 0) != correlation_id(number) {
            return None;
        }
        let partitions = frame[HEADER_BYTES..].strip_prefix(self.head.as_slice())?;
        Some(&partitions[..self.partitions * PARTITION_BYTES])
    }

    /// Why an answer is not good.
    fn explain(&self, number: u64, frame: &[u8]) -> PerfError {
        let bytes = Bytes::copy_from_slice(frame);
        let answer = parse_response(ApiKey::Produce, PRODUCE_VERSION, &bytes)
            .and_then(|(id, body)| Ok((id, ProduceResponse::decode(PRODUCE_VERSION, body)?)));
        let (id, answer) = match answer {
            Ok(answer) => answer,
            Err(error) => return PerfError::Wrong(format!("produce answer cannot be read: {error}")),
        };
        if id != correlation_id(number) {
            return PerfError::Wrong(format!("answer {id} came for request {}", correlation_id(number)));
        }
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        match partitions.clone().find(|partition| partition.error != ErrorCode::None) {
            Some(partition) => PerfError::Broker {
                doing: format!("produce to partition {}", partition.index.0),
                error: partition.error,
            },
            None => PerfError::Wrong(format!("produce answer of another form: {answer:?}")),
        }
    }
}

/// What stands before the records in the answer to a fetch of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchHead {
    /// Number of the answer.
    pub(crate) correlation_id: i32,
    /// End of what may be read.
    pub(crate) high_watermark: i64,
    /// Bytes of the records.
    pub(crate) records_bytes: usize,
    /// Where they begin in the frame, its length left out.
    pub(crate) records_at: usize,
}

impl FetchHead {
    /// Reads the first bytes of a frame without its length; none when it does not hold the whole head or exactly one
    /// partition (which is so when the whole request failed).
    ///
    /// # Errors
    /// An error code of the broker.
    pub(crate) fn read(frame: &[u8]) -> Result<Option<Self>, PerfError> {
        let mut cursor = Cursor { rest: frame };
        let Some((correlation_id, request_error)) = cursor.request() else { return Ok(None) };
        check_code(request_error, "fetch")?;
        let Some((partition_error, high_watermark)) = cursor.partition() else { return Ok(None) };
        check_code(partition_error, "fetch")?;
        let Some(records) = cursor.records() else { return Ok(None) };
        let records_at = frame.len() - cursor.rest.len();
        Ok(Some(Self { correlation_id, high_watermark, records_bytes: records, records_at }))
    }
}

/// More than a head ever takes.
pub(crate) const FETCH_HEAD_BYTES: usize = 128;

struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    /// Correlation id and error of the request; tags, throttle time and session are passed over.
    fn request(&mut self) -> Option<(i32, i16)> {
        let id = i32::from_be_bytes(self.take()?);
        self.take::<1>()?;
        self.take::<4>()?;
        let error = i16::from_be_bytes(self.take()?);
        self.take::<4>()?;
        Some((id, error))
    }

    /// Error and high watermark of the one partition of the one topic.
    fn partition(&mut self) -> Option<(i16, i64)> {
        let [topics] = self.take()?;
        self.take::<16>()?;
        let [partitions] = self.take()?;
        if (topics, partitions) != (ONE, ONE) {
            return None;
        }
        self.take::<4>()?;
        let error = i16::from_be_bytes(self.take()?);
        Some((error, i64::from_be_bytes(self.take()?)))
    }

    /// Length of the records; last stable offset, log start, aborted transactions (none) and preferred replica come first.
    fn records(&mut self) -> Option<usize> {
        self.take::<16>()?;
        let [aborted] = self.take()?;
        if aborted > ONE - 1 {
            return None;
        }
        self.take::<4>()?;
        let (mut value, mut shift) = (0_usize, 0);
        loop {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                // One more than the length, and 0 for null.
                return Some(value.saturating_sub(1));
            }
            if shift > 28 {
                return None;
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from(i32_at(bytes, at)) << 32 | i64::from(i32_at(bytes, at + 4) as u32)
}

/// Correlation id and empty tags.
const HEADER_BYTES: usize = 4 + 1;
/// Index, error, base offset, append time, log start; no record errors, no message, no tags.
const PARTITION_BYTES: usize = 4 + 2 + 8 + 8 + 8 + 1 + 1 + 1;
/// Tags of the topic, throttle time, tags of the answer.
const TAIL_BYTES: usize = 1 + 4 + 1;
/// A compact count of one.
const ONE: u8 = 2;

#[cfg(test)]
mod tests {
    use slipring_protocol::fetch::{FetchPartitionHead, FetchResponseEncoder, FetchResponseHead, Piece};
    use slipring_protocol::frame;
    use slipring_protocol::header::begin_response;
    use slipring_protocol::ids::Offset;

    use super::*;
    use crate::request::FETCH_VERSION;

    const TOPIC: TopicId = TopicId::CLUSTER_METADATA;

    fn answer(number: i32, partitions: &[(i32, ErrorCode, i64)]) -> Vec<u8> {
        let partition = |&(index, error, base)| ProducePartitionResponse {
            base_offset: Offset(base),
            log_start_offset: Offset(0),
            ..ProducePartitionResponse::failed(PartitionIndex(index), error)
        };
        let topic = ProduceTopicResponse {
            topic_id: TOPIC,
            partitions: partitions.iter().map(partition).collect(),
            ..ProduceTopicResponse::default()
        };
        let response =
            ProduceResponse { topics: [topic].into_iter().collect(), ..ProduceResponse::default() };
        let mut out = Vec::new();
        let start = begin_response(ApiKey::Produce, PRODUCE_VERSION, number, &mut out);
        response.encode(PRODUCE_VERSION, &mut out).unwrap();
        frame::finish(&mut out, start, 0);
        out
    }

    fn check(shape: &ProduceAnswer, number: u64, frame: &[u8]) -> Result<Vec<(i32, i64)>, PerfError> {
        let mut seen = Vec::new();
        shape.check(number, &frame[frame::LENGTH_BYTES..], |index, base| {
            seen.push((index, base));
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn good_answers_give_their_offsets() {
        for count in [1, 3, 200] {
            let shape = ProduceAnswer::new(TOPIC, count).unwrap();
            let rows: Vec<_> =
                (0..count as i32).map(|index| (index, ErrorCode::None, i64::from(index) << 33)).collect();
            let frame = answer(9, &rows);
            assert_eq!(frame.len(), shape.frame_bytes());
            let expected: Vec<_> = rows.iter().map(|&(index, _, base)| (index, base)).collect();
            assert_eq!(check(&shape, 9, &frame).unwrap(), expected);
        }
    }

    #[test]
    fn bad_answers_are_explained() {
        let shape = ProduceAnswer::new(TOPIC, 2).unwrap();
        let good = [(0, ErrorCode::None, 5), (1, ErrorCode::None, 6)];
        let failed = [(0, ErrorCode::None, 5), (1, ErrorCode::KafkaStorageError, -1)];
        let cases = [
            (answer(9, &failed), "partition 1: the broker answers KafkaStorageError (56)"),
            (answer(8, &good), "answer 8 came for request 9"),
            (answer(9, &good[..1]), "another form"),
        ];
        for (frame, text) in cases {
            let error = check(&shape, 9, &frame).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        let frame = answer(9, &good);
        assert!(check(&shape, 9, &frame[..frame.len() - 9]).is_err());
        assert!(check(&shape, 9, &[0; 4]).is_err());
    }

    fn fetched(request_error: ErrorCode, head: &FetchPartitionHead, records: usize) -> Vec<u8> {
        let head_of_all = FetchResponseHead { error: request_error, ..FetchResponseHead::default() };
        let topics = usize::from(request_error == ErrorCode::None);
        let mut encoder = FetchResponseEncoder::framed(FETCH_VERSION, 77, head_of_all, topics).unwrap();
        if topics > 0 {
            encoder.begin_topic("", TOPIC, 1);
            encoder.partition(head, records);
            encoder.records(vec![7_u8; records], records);
        }
        let mut out = Vec::new();
        for piece in encoder.finish(&[]).pieces {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(&bytes),
                Piece::Records(records) => out.extend_from_slice(&records),
            }
        }
        out
    }

    #[test]
    fn heads_of_fetch_answers() {
        let head = FetchPartitionHead {
            error: ErrorCode::None,
            high_watermark: Offset(1 << 40),
            ..FetchPartitionHead::failed(PartitionIndex(3), ErrorCode::None)
        };
        for records in [0, 1, 126, 127, 300, 70_000, 3 << 20] {
            let frame = fetched(ErrorCode::None, &head, records);
            let frame = &frame[frame::LENGTH_BYTES..];
            let read = FetchHead::read(&frame[..FETCH_HEAD_BYTES.min(frame.len())]).unwrap().unwrap();
            assert_eq!((read.correlation_id, read.high_watermark), (77, 1 << 40));
            assert_eq!(read.records_bytes, records);
            assert!(read.records_at < FETCH_HEAD_BYTES);
            assert!(frame[read.records_at..read.records_at + records].iter().all(|&byte| byte == 7));
            for cut in 0..read.records_at {
                assert_eq!(FetchHead::read(&frame[..cut]).unwrap(), None);
            }
        }
    }

    #[test]
    fn errors_of_fetch_answers() {
        let good = FetchPartitionHead::failed(PartitionIndex(3), ErrorCode::None);
        let frame = fetched(ErrorCode::FetchSessionIdNotFound, &good, 0);
        assert!(FetchHead::read(&frame[frame::LENGTH_BYTES..]).is_err());
        let failed = FetchPartitionHead::failed(PartitionIndex(3), ErrorCode::OffsetOutOfRange);
        let frame = fetched(ErrorCode::None, &failed, 0);
        let error = FetchHead::read(&frame[frame::LENGTH_BYTES..]).unwrap_err().to_string();
        assert!(error.contains("OffsetOutOfRange"), "{error}");
    }
}
