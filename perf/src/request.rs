//! Requests that are encoded once. A produce request is an image of everything but the batches, and between its parts stands
//! the one shared batch: sending takes no copy, and only the correlation id and the partition are written anew.

use bytes::Bytes;
use slipring_protocol::api::ApiKey;
use slipring_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use slipring_protocol::frame;
use slipring_protocol::header::{RequestHeader, encode_request_header};
use slipring_protocol::ids::{Offset, PartitionIndex, TopicId};
use slipring_protocol::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use slipring_protocol::wire::WireError;

use crate::batch::EncodedBatch;

/// Version of produce requests: that of Kafka 4's own clients, with topic ids.
pub(crate) const PRODUCE_VERSION: i16 = 13;
/// Version of fetch requests, likewise.
pub(crate) const FETCH_VERSION: i16 = 18;
/// What the generator calls itself.
pub(crate) const CLIENT_ID: &str = "slipring-perf";

/// A produce request of one topic, for any correlation id and partitions.
#[derive(Debug)]
pub(crate) struct ProduceTemplate {
    image: Vec<u8>,
    batch: EncodedBatch,
    places: Vec<Place>,
}

/// Where a partition stands in the image.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its index, four bytes.
    index_at: usize,
    /// What follows the batch.
    after: usize,
}

impl ProduceTemplate {
    /// Encodes a request that sends `batch` to so many partitions.
    ///
    /// # Errors
    /// When the codec refuses it.
    pub(crate) fn new(
        topic: TopicId,
        acks: i16,
        partitions: usize,
        batch: EncodedBatch,
    ) -> Result<Self, WireError> {
        let shared = Bytes::copy_from_slice(&batch.bytes);
        let partition =
            |index| ProducePartition { index: PartitionIndex(index), records: Some(shared.clone()) };
        let topic = ProduceTopic {
            topic_id: topic,
            partitions: (0..partitions as i32).map(partition).collect(),
            ..ProduceTopic::default()
        };
        let request = ProduceRequest {
            acks,
            timeout_ms: TIMEOUT_MS,
            topics: [topic].into_iter().collect(),
            ..ProduceRequest::default()
        };
        let whole = encode(ApiKey::Produce, PRODUCE_VERSION, |out| request.encode(PRODUCE_VERSION, out))?;
        Self::cut(&whole, batch)
    }

    /// Takes the batches out of a whole frame.
    fn cut(whole: &Bytes, batch: EncodedBatch) -> Result<Self, WireError> {
        let (_, body) = RequestHeader::parse(&whole.slice(frame::LENGTH_BYTES..))?;
        let request = ProduceRequest::decode(PRODUCE_VERSION, body)?;
        let (mut image, mut places, mut copied) = (Vec::new(), Vec::new(), 0);
        for records in request.topics[0].partitions.iter().filter_map(|partition| partition.records.as_ref())
        {
            // The decoder hands out slices of the frame itself.
            let batch_at = records.as_ptr().addr() - whole.as_ptr().addr();
            image.extend_from_slice(&whole[copied..batch_at]);
            let index_at = image.len() - uvarint_bytes(batch.bytes.len() + 1) - size_of::<i32>();
            places.push(Place { index_at, after: image.len() });
            copied = batch_at + records.len();
        }
        image.extend_from_slice(&whole[copied..]);
        Ok(Self { image, batch, places })
    }

    /// A copy of the image, for one request in flight.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.image.clone()
    }

    /// Makes an image the request of this number to these partitions.
    pub(crate) fn address(&self, image: &mut [u8], number: u64, partitions: impl Iterator<Item = i32>) {
        set_correlation_id(image, number);
        for (place, partition) in self.places.iter().zip(partitions) {
            image[place.index_at..place.index_at + 4].copy_from_slice(&partition.to_be_bytes());
        }
    }

    /// The whole frame of an image, in the pieces to send.
    pub(crate) fn pieces<'a>(&'a self, image: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut from = 0;
        let middle = self.places.iter().flat_map(move |place| {
            let head = &image[from..place.after];
            from = place.after;
            [head, self.batch.bytes.as_slice()]
        });
        let tail = self.places.last().map_or(0, |place| place.after);
        middle.chain([&image[tail..]])
    }

    /// The batch that every request sends.
    pub(crate) const fn batch(&self) -> &EncodedBatch {
        &self.batch
    }

    /// The same, to write a number into it.
    pub(crate) const fn batch_mut(&mut self) -> &mut EncodedBatch {
        &mut self.batch
    }

    /// Bytes of a whole frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.image.len() + self.places.len() * self.batch.bytes.len()
    }

    /// Bytes of the batches in a request.
    pub(crate) fn batch_bytes(&self) -> usize {
        self.places.len() * self.batch.bytes.len()
    }

    /// Partitions in a request.
    pub(crate) fn partitions(&self) -> usize {
        self.places.len()
    }
}

/// A fetch request of one partition without a session, for any correlation id and offset.
#[derive(Clone, Debug)]
pub(crate) struct FetchTemplate {
    frame: Vec<u8>,
    offset_at: usize,
}

/// How much to fetch, and how long to wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchLimits {
    /// Longest wait for the first byte, in milliseconds.
    pub(crate) max_wait_ms: i32,
    /// Bytes to stop at.
    pub(crate) max_bytes: i32,
}

impl FetchTemplate {
    /// Encodes a request.
    ///
    /// # Errors
    /// When the codec refuses it.
    pub(crate) fn new(topic: TopicId, partition: i32, limits: FetchLimits) -> Result<Self, WireError> {
        let partition = FetchPartition::new(PartitionIndex(partition), Offset(OFFSET_MARK), limits.max_bytes);
        let topic = FetchTopic { topic_id: topic, partitions: vec![partition], ..FetchTopic::default() };
        let request = FetchRequest {
            max_wait_ms: limits.max_wait_ms,
            min_bytes: 1,
            max_bytes: limits.max_bytes,
            topics: vec![topic],
            ..FetchRequest::default()
        };
        let frame = encode(ApiKey::Fetch, FETCH_VERSION, |out| request.encode(FETCH_VERSION, out))?;
        let mark = OFFSET_MARK.to_be_bytes();
        let offset_at = frame.windows(mark.len()).position(|window| window == mark);
        Ok(Self { frame: frame.to_vec(), offset_at: offset_at.expect("the offset was just written") })
    }

    /// The frame of the request of this number from this offset.
    pub(crate) fn frame(&mut self, number: u64, offset: i64) -> &[u8] {
        set_correlation_id(&mut self.frame, number);
        self.frame[self.offset_at..self.offset_at + 8].copy_from_slice(&offset.to_be_bytes());
        &self.frame
    }
}

/// The correlation id of a connection's n-th request.
pub(crate) const fn correlation_id(number: u64) -> i32 {
    (number & 0x7fff_ffff) as i32
}

fn set_correlation_id(frame: &mut [u8], number: u64) {
    frame[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation_id(number).to_be_bytes());
}

fn encode(
    key: ApiKey,
    version: i16,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
) -> Result<Bytes, WireError> {
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    encode_request_header(key, version, 0, Some(CLIENT_ID), &mut out);
    body(&mut out)?;
    frame::finish(&mut out, start, 0);
    Ok(Bytes::from(out))
}

/// Bytes that an unsigned variable-length integer takes.
const fn uvarint_bytes(value: usize) -> usize {
    let bits = (usize::BITS - value.leading_zeros()) as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Length of the frame, key and version come before it.
const CORRELATION_AT: usize = frame::LENGTH_BYTES + 2 + 2;
/// How long the broker may wait for replicas.
const TIMEOUT_MS: i32 = 30_000;
/// Stands where the offset goes, and nowhere else in a request.
const OFFSET_MARK: i64 = 0x1357_9BDF_2468_ACE0;

#[cfg(test)]
mod tests {
    use slipring_protocol::batch::crc_ok;
    use slipring_protocol::ids::TimestampMs;

    use super::*;
    use crate::batch::BatchSpec;

    const TOPIC: TopicId = TopicId::CLUSTER_METADATA;

    fn whole(template: &ProduceTemplate, image: &[u8]) -> Bytes {
        let frame: Vec<u8> = template.pieces(image).flatten().copied().collect();
        assert_eq!(frame.len(), template.frame_bytes());
        Bytes::from(frame)
    }

    fn parse(frame: &Bytes) -> (RequestHeader, Bytes) {
        let length = i32::from_be_bytes(*frame.first_chunk().unwrap()) as usize;
        assert_eq!(frame.len(), frame::LENGTH_BYTES + length);
        RequestHeader::parse(&frame.slice(frame::LENGTH_BYTES..)).unwrap()
    }

    #[test]
    fn an_addressed_produce_request_decodes_back() {
        for (spec, partitions) in
            [(BatchSpec::single(8), 1), (BatchSpec::single(1024), 50), (BatchSpec::filled(1024, 65_536), 3)]
        {
            let encoded = spec.encode(TimestampMs(1));
            let batch = encoded.bytes.clone();
            let template = ProduceTemplate::new(TOPIC, -1, partitions, encoded).unwrap();
            assert_eq!(
                (template.partitions(), template.batch_bytes()),
                (partitions, partitions * batch.len())
            );
            let mut image = template.image();
            let indexes = |from: i32| from..from + partitions as i32;
            for number in [0_u64, 7, 1 << 31] {
                template.address(&mut image, number, indexes(900));
                let (header, body) = parse(&whole(&template, &image));
                assert_eq!((header.api.key, header.version), (ApiKey::Produce, PRODUCE_VERSION));
                assert_eq!(header.correlation_id, correlation_id(number));
                let request = ProduceRequest::decode(PRODUCE_VERSION, body).unwrap();
                assert_eq!((request.acks, request.topics[0].topic_id), (-1, TOPIC));
                let found: Vec<i32> =
                    request.topics[0].partitions.iter().map(|partition| partition.index.0).collect();
                assert_eq!(found, indexes(900).collect::<Vec<_>>());
                for partition in &request.topics[0].partitions {
                    assert_eq!(partition.records.as_deref(), Some(batch.as_slice()));
                    assert!(crc_ok(partition.records.as_deref().unwrap()));
                }
            }
        }
    }

    #[test]
    fn a_changed_batch_is_what_goes_out() {
        let batch = BatchSpec::single(100).encode(TimestampMs(1));
        let mut template = ProduceTemplate::new(TOPIC, 1, 1, batch).unwrap();
        template.batch_mut().set_number(5);
        let (_, body) = parse(&whole(&template, &template.image()));
        let request = ProduceRequest::decode(PRODUCE_VERSION, body).unwrap();
        assert_eq!(
            template.batch().number_of(request.topics[0].partitions[0].records.as_ref().unwrap()),
            Some(5)
        );
    }

    #[test]
    fn a_fetch_request_decodes_back() {
        let limits = FetchLimits { max_wait_ms: 500, max_bytes: 1 << 20 };
        let mut template = FetchTemplate::new(TOPIC, 3, limits).unwrap();
        for (number, offset) in [(0, 0), (9, 1 << 40)] {
            let (header, body) = parse(&Bytes::copy_from_slice(template.frame(number, offset)));
            assert_eq!(header.correlation_id, correlation_id(number));
            let request = FetchRequest::decode(FETCH_VERSION, body).unwrap();
            assert_eq!((request.session_id, request.session_epoch), (0, -1));
            assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes), (500, 1, 1 << 20));
            let partition = request.topics[0].partitions[0];
            assert_eq!((partition.partition.0, partition.fetch_offset.0), (3, offset));
            assert_eq!((partition.max_bytes, request.topics[0].topic_id), (1 << 20, TOPIC));
        }
    }

    #[test]
    fn lengths_of_variable_integers() {
        for (value, bytes) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (1 << 21, 4)] {
            assert_eq!(uvarint_bytes(value), bytes, "{value}");
        }
    }
}
