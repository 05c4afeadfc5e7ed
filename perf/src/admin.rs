//! What a run needs from the broker besides its load: topics, and the offsets that tell whether every acknowledgement was
//! true. Blocking, one request at a time, never while anything is measured.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::api::ApiKey;
use slipring_protocol::client::Client;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::TopicId;

use crate::error::{Doing, PerfError, check_code};
use crate::request::{CLIENT_ID, FETCH_VERSION, PRODUCE_VERSION};

/// A connection for such requests.
#[derive(Debug)]
pub(crate) struct Admin {
    client: Client,
}

/// A topic made for one run.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: String,
    /// Its id.
    pub(crate) id: TopicId,
    /// Its partitions.
    pub(crate) partitions: usize,
}

/// Which end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Where it begins.
    Earliest,
    /// One past the last record that may be read.
    Latest,
}

impl Admin {
    /// Connects, and checks that the broker speaks the versions that are sent.
    ///
    /// # Errors
    /// When it does not, or cannot be reached.
    pub(crate) fn connect(broker: SocketAddr) -> Result<Self, PerfError> {
        let mut client = Client::connect(broker, CLIENT_ID).doing(&format!("connect to {broker}"))?;
        let answer = client.call(0, &ApiVersionsRequest::default()).doing("ask for versions")?;
        check_code(answer.error_code, "ask for versions")?;
        for (key, version) in [(ApiKey::Produce, PRODUCE_VERSION), (ApiKey::Fetch, FETCH_VERSION)] {
            let served = answer.api_keys.iter().any(|api| {
                api.api_key == key.code() && (api.min_version..=api.max_version).contains(&version)
            });
            // A broker that stores nothing need not serve Fetch; whoever fetches finds out.
            if !served && key == ApiKey::Produce {
                return Err(PerfError::Unfit(format!("the broker does not serve {key:?} version {version}")));
            }
        }
        Ok(Self { client })
    }

    /// Creates a topic and waits until every partition can be used.
    ///
    /// # Errors
    /// When the broker refuses, or a partition has no leader after a minute.
    pub(crate) fn create_topic(&mut self, name: &str, partitions: usize) -> Result<Topic, PerfError> {
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions as i32)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let answer = self.client.call(7, &request).doing("create the topic")?;
        let Some(made) = answer.topics.first() else {
            return Err(PerfError::Wrong("CreateTopics answers for no topic".to_owned()));
        };
        check_code(made.error_code, "create the topic")?;
        let topic = Topic { name: name.to_owned(), id: TopicId(made.topic_id), partitions };
        self.await_leaders(&topic)?;
        Ok(topic)
    }

    /// Kafka names a leader before that broker has taken the partition, so what counts is that it answers for it.
    fn await_leaders(&mut self, topic: &Topic) -> Result<(), PerfError> {
        let start = Instant::now();
        loop {
            match self.offsets(topic, End::Latest) {
                Ok(_) => return Ok(()),
                Err(PerfError::Broker { error, .. })
                    if retried(error) && start.elapsed() < LEADERS_WITHIN =>
                {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// When the broker refuses.
    pub(crate) fn delete_topic(&mut self, topic: &Topic) -> Result<(), PerfError> {
        let state = DeleteTopicState::default().with_name(Some(topic_name(&topic.name)));
        let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(30_000);
        let answer = self.client.call(6, &request).doing("delete the topic")?;
        answer.responses.iter().try_for_each(|topic| check_code(topic.error_code, "delete the topic"))
    }

    /// The offset at one end of every partition, by index.
    ///
    /// # Errors
    /// The first error code among the partitions, or a partition that is missing.
    pub(crate) fn offsets(&mut self, topic: &Topic, end: End) -> Result<Vec<i64>, PerfError> {
        let timestamp = match end {
            End::Latest => -1,
            End::Earliest => -2,
        };
        let partition =
            |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(timestamp);
        let asked = ListOffsetsTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions((0..topic.partitions as i32).map(partition).collect());
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
        let answer = self.client.call(7, &request).doing("list offsets")?;
        let mut offsets = vec![None; topic.partitions];
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            check_code(partition.error_code, "list offsets")?;
            if let Some(offset) = offsets.get_mut(partition.partition_index as usize) {
                *offset = Some(partition.offset);
            }
        }
        let whole: Option<Vec<i64>> = offsets.into_iter().collect();
        whole.ok_or_else(|| PerfError::Wrong("ListOffsets leaves partitions out".to_owned()))
    }
}

fn retried(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::LeaderNotAvailable | ErrorCode::NotLeaderOrFollower
    )
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

const LEADERS_WITHIN: Duration = Duration::from_mins(1);
