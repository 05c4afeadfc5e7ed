//! A broker that stores nothing, on one thread: it answers produce requests with offsets that go up and lets the kernel drop
//! the records. What the generator reaches against it is the generator's own limit on this machine.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, ListOffsetsRequest, ListOffsetsResponse,
};
use slipring_protocol::api::ApiKey;
use slipring_protocol::batch::BatchHeader;
use slipring_protocol::bounds;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::frame;
use slipring_protocol::header::RequestHeader;
use slipring_protocol::ids::{Offset, PartitionIndex, TopicId};
use slipring_protocol::produce::{ProducePartitionResponse, ProduceResponse, ProduceTopicResponse};

use crate::error::{Doing, PerfError};
use crate::poll::{Poller, discard};

/// Serves until it is killed. One topic, and requests of one partition.
///
/// # Errors
/// When the port cannot be had. What a client does wrong costs that client its connection.
pub(crate) fn serve(port: u16) -> Result<(), PerfError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).doing(&format!("listen on port {port}"))?;
    listener.set_nonblocking(true).doing("set up the listener")?;
    let mut poller = Poller::new().doing("create an epoll set")?;
    poller.add(&listener, LISTENER).doing("watch the listener")?;
    let mut log = Log::default();
    let mut clients: Vec<Option<Client>> = Vec::new();
    loop {
        let ready: Vec<usize> = poller.wait(Duration::from_secs(1)).doing("wait for requests")?.collect();
        for token in ready {
            if token == LISTENER {
                let Ok((stream, _)) = listener.accept() else { continue };
                let client = Client::new(stream).doing("set up a connection")?;
                poller.add(&client.stream, clients.len()).doing("watch a connection")?;
                clients.push(Some(client));
            } else if let Some(client) = &mut clients[token]
                && client.turn(&mut log).is_err()
            {
                clients[token] = None;
            }
        }
    }
}

/// The ends of the one topic.
#[derive(Debug, Default)]
struct Log {
    ends: Vec<i64>,
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    /// Bytes of the current request that are still to be dropped.
    dropping: usize,
    output: Vec<u8>,
}

impl Client {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: vec![0; INPUT_BYTES], filled: 0, dropping: 0, output: Vec::new() })
    }

    /// Reads once, and answers what has begun to arrive; an error ends the connection.
    fn turn(&mut self, log: &mut Log) -> io::Result<()> {
        if self.dropping > 0 {
            match discard(&self.stream, self.dropping) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(dropped) => self.dropping -= dropped,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        } else {
            match (&self.stream).read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => self.filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            self.take_requests(log)?;
        }
        // A request is answered once all of it is here.
        if self.dropping == 0 && !self.output.is_empty() {
            (&self.stream).write_all(&self.output)?;
            self.output.clear();
        }
        Ok(())
    }

    fn take_requests(&mut self, log: &mut Log) -> io::Result<()> {
        let mut at = 0;
        while let Some((length, _)) = self.input[at..self.filled].split_first_chunk::<4>() {
            let end = at + frame::LENGTH_BYTES + u32::from_be_bytes(*length) as usize;
            let shown = end.min(self.filled);
            if shown < end && shown - at < HEAD_BYTES {
                break;
            }
            let request = &self.input[at + frame::LENGTH_BYTES..shown];
            answer(request, log, &mut self.output).ok_or(io::ErrorKind::InvalidData)?;
            self.dropping = end - shown;
            at = shown;
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}

/// Answers a request of which at least the first bytes are here; none for one that is not understood.
fn answer(request: &[u8], log: &mut Log, out: &mut Vec<u8>) -> Option<()> {
    // The first two bytes are the key.
    let shown =
        if request.starts_with(&ApiKey::Produce.code().to_be_bytes()) { HEAD_BYTES } else { usize::MAX };
    let (header, body) =
        RequestHeader::parse(&Bytes::copy_from_slice(&request[..request.len().min(shown)])).ok()?;
    let start = header.begin_response(out);
    match header.api.key {
        ApiKey::Produce => produce(&header, &body, log, out)?,
        ApiKey::ApiVersions => {
            let api = |&key: &ApiKey| {
                let info = key.info();
                ApiVersion::default()
                    .with_api_key(key.code())
                    .with_min_version(info.min)
                    .with_max_version(info.max)
            };
            let keys = [ApiKey::Produce, ApiKey::ListOffsets, ApiKey::ApiVersions, ApiKey::CreateTopics];
            let answer = ApiVersionsResponse::default().with_api_keys(keys.iter().map(api).collect());
            bounds::encode(header.api.key, header.version, &answer, out).ok()?;
        }
        ApiKey::CreateTopics => {
            let request: CreateTopicsRequest = bounds::decode(header.version, body).ok()?;
            let topic = request.topics.first()?;
            log.ends = vec![0; usize::try_from(topic.num_partitions).ok()?];
            let made = CreatableTopicResult::default().with_name(topic.name.clone()).with_topic_id(TOPIC.0);
            let answer = CreateTopicsResponse::default().with_topics(vec![made]);
            bounds::encode(header.api.key, header.version, &answer, out).ok()?;
        }
        ApiKey::ListOffsets => {
            let request: ListOffsetsRequest = bounds::decode(header.version, body).ok()?;
            let end = |(index, &end): (usize, &i64)| {
                ListOffsetsPartitionResponse::default().with_partition_index(index as i32).with_offset(end)
            };
            let topic = ListOffsetsTopicResponse::default()
                .with_name(request.topics.first()?.name.clone())
                .with_partitions(log.ends.iter().enumerate().map(end).collect());
            let answer = ListOffsetsResponse::default().with_topics(vec![topic]);
            bounds::encode(header.api.key, header.version, &answer, out).ok()?;
        }
        _ => return None,
    }
    frame::finish(out, start, 0);
    Some(())
}

/// Reads a produce request of one partition as far as its batch header.
fn produce(header: &RequestHeader, body: &[u8], log: &mut Log, out: &mut Vec<u8>) -> Option<()> {
    // No transactional id, acks and timeout, one topic, its id, one partition.
    let rest = body.strip_prefix(&[0])?.get(2 + 4..)?.strip_prefix(&[2])?;
    let (index, rest) = rest.get(16..)?.strip_prefix(&[2])?.split_first_chunk::<4>()?;
    let length_bytes = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let batch = BatchHeader::parse(rest.get(length_bytes..)?).ok()?;
    let index = i32::from_be_bytes(*index);
    let end = log.ends.get_mut(usize::try_from(index).ok()?)?;
    let partition = ProducePartitionResponse {
        base_offset: Offset(*end),
        log_start_offset: Offset(0),
        ..ProducePartitionResponse::failed(PartitionIndex(index), ErrorCode::None)
    };
    *end += i64::from(batch.record_count);
    let topic = ProduceTopicResponse {
        topic_id: TOPIC,
        partitions: [partition].into_iter().collect(),
        ..ProduceTopicResponse::default()
    };
    let answer = ProduceResponse { topics: [topic].into_iter().collect(), ..ProduceResponse::default() };
    answer.encode(header.version, out).ok()
}

/// The id of the one topic, whichever it is.
const TOPIC: TopicId = TopicId::CLUSTER_METADATA;
const LISTENER: usize = usize::MAX;
const INPUT_BYTES: usize = 16 << 10;
/// A produce request is understood from so many bytes: its header, and that of its batch.
const HEAD_BYTES: usize = 192;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::admin::Admin;
    use crate::batch::BatchSpec;
    use crate::produce::{self, ProduceSpec};
    use crate::target::Target;

    /// A sink that ends with the test process.
    fn started() -> Target {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        thread::spawn(move || serve(port));
        let broker = (Ipv4Addr::LOCALHOST, port).into();
        while TcpStream::connect(broker).is_err() {
            thread::yield_now();
        }
        Target { broker, broker_pid: None, quiet: true }
    }

    fn spec(batch: BatchSpec, acks: i16) -> ProduceSpec {
        ProduceSpec {
            batch,
            partitions: 5,
            partitions_per_request: 1,
            connections: 3,
            in_flight: 4,
            acks,
            seconds: 0,
            warm_up_seconds: 0,
            threads: 2,
        }
    }

    #[test]
    fn a_whole_closed_loop_with_its_counts() {
        let target = started();
        for batch in [BatchSpec::single(20), BatchSpec::filled(1024, 300_000)] {
            let topic = Admin::connect(target.broker).unwrap().create_topic("filled", 5).unwrap();
            let (records, bytes) = produce::fill(&target, &topic, &batch, 3_000_000).unwrap();
            let batches = 3_000_000_u64.div_ceil(bytes as u64) * 5;
            let ends =
                Admin::connect(target.broker).unwrap().offsets(&topic, crate::admin::End::Latest).unwrap();
            assert_eq!(ends.iter().sum::<i64>() as u64, batches * u64::from(records));
        }
        let outcome = produce::run(&target, &spec(BatchSpec::single(20), -1)).unwrap();
        assert!(outcome.figures.get("acknowledged_records").is_some());
    }

    #[test]
    fn nonsense_ends_the_connection_only() {
        let target = started();
        let mut stream = TcpStream::connect(target.broker).unwrap();
        stream.write_all(&[0, 0, 0, 8, 0, 99, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        assert!(Admin::connect(target.broker).is_ok());
    }
}
