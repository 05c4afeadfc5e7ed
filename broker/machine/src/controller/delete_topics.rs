//! DeleteTopics (Kafka's `ControllerApis.deleteTopics`). Whether topics may be deleted at all (`delete.topic.enable`) and by
//! whom is the handler's to say.

use std::collections::{BTreeMap, BTreeSet};

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::TopicId;
use slipring_protocol::metadata_records::RemoveTopic;

use super::{ApiError, Controller, Decision, RECORDS_PER_OPERATION_MAX};

/// Topics to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteTopics {
    /// The topics, as the request lists them.
    pub topics: Vec<TopicSelector>,
}

/// A topic by name or by id; naming both, or neither, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSelector {
    /// Its name.
    pub name: Option<String>,
    /// Its id; none with a name.
    pub id: TopicId,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteResult {
    /// Its name, where it is known.
    pub name: Option<String>,
    /// Its id, where it is known.
    pub id: TopicId,
    /// Deleted, or why not.
    pub result: Result<(), ApiError>,
}

impl Controller {
    /// Deletes topics. Results: first what is wrong with the request itself, then the topics as they were named (Kafka
    /// shuffles its results).
    pub fn delete_topics(&self, command: &DeleteTopics) -> Decision<Result<Vec<DeleteResult>, ApiError>> {
        let mut deletion = Deletion::default();
        deletion.read(&command.topics);
        for id in std::mem::take(&mut deletion.ids) {
            match self.image.topic_by_id(id) {
                Some(topic) => _ = deletion.found.insert(id, topic.name.to_string()),
                None => {
                    let error = ApiError::new(ErrorCode::UnknownTopicId, NO_SUCH_ID);
                    deletion.refuse(None, id, error);
                }
            }
        }
        for name in std::mem::take(&mut deletion.names) {
            match self.image.topic(&name) {
                Some(topic) => deletion.find_by_name(name, topic.id),
                None => {
                    let error = ApiError::new(ErrorCode::UnknownTopicOrPartition, NO_SUCH_NAME);
                    deletion.refuse(Some(name), TopicId::NONE, error);
                }
            }
        }
        if deletion.found.len() > RECORDS_PER_OPERATION_MAX {
            return Decision::nothing(Err(ApiError::too_large()));
        }
        let records = deletion.found.keys().map(|&id| RemoveTopic { id }.into()).collect();
        let deleted = |(id, name)| DeleteResult { name: Some(name), id, result: Ok(()) };
        deletion.results.extend(deletion.found.into_iter().map(deleted));
        Decision::atomic(records, Ok(deletion.results))
    }
}

/// A request on its way through.
#[derive(Default)]
struct Deletion {
    results: Vec<DeleteResult>,
    names: BTreeSet<String>,
    ids: BTreeSet<TopicId>,
    /// Ids that stand in the request twice, in whatever form.
    ids_twice: BTreeSet<TopicId>,
    /// Topics to delete.
    found: BTreeMap<TopicId, String>,
}

impl Deletion {
    fn refuse(&mut self, name: Option<String>, id: TopicId, error: ApiError) {
        self.results.push(DeleteResult { name, id, result: Err(error) });
    }

    fn read(&mut self, topics: &[TopicSelector]) {
        let invalid = |message| ApiError::new(ErrorCode::InvalidRequest, message);
        let mut names_twice = BTreeSet::new();
        for TopicSelector { name, id } in topics {
            match (name, id.is_none()) {
                (None, true) => {
                    self.refuse(None, TopicId::NONE, invalid("Neither topic name nor id were specified."));
                }
                (None, false) => {
                    if !self.ids.insert(*id) {
                        self.ids_twice.insert(*id);
                    }
                }
                (Some(name), true) => {
                    if !self.names.insert(name.clone()) {
                        names_twice.insert(name.clone());
                    }
                }
                (Some(name), false) => {
                    let error = invalid("You may not specify both topic name and topic id.");
                    self.refuse(Some(name.clone()), *id, error);
                }
            }
        }
        for name in names_twice {
            self.names.remove(&name);
            self.refuse(Some(name), TopicId::NONE, invalid("Duplicate topic name."));
        }
        for id in self.ids_twice.clone() {
            self.ids.remove(&id);
            self.refuse(None, id, invalid("Duplicate topic id."));
        }
    }

    /// A name may lead to a topic that the request also names by id. Then neither counts.
    fn find_by_name(&mut self, name: String, id: TopicId) {
        let is_twice = self.ids_twice.contains(&id) || self.found.insert(id, name.clone()).is_some();
        if is_twice {
            self.found.remove(&id);
            self.ids_twice.insert(id);
            let message = "The provided topic name maps to an ID that was already supplied.";
            self.refuse(Some(name), id, ApiError::new(ErrorCode::InvalidRequest, message));
        }
    }
}

/// What Kafka's clients know `UNKNOWN_TOPIC_ID` by.
const NO_SUCH_ID: &str = "This server does not host this topic ID.";
/// What Kafka's clients know `UNKNOWN_TOPIC_OR_PARTITION` by.
const NO_SUCH_NAME: &str = "This server does not host this topic-partition.";
