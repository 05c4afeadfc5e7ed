//! What must outlive every crash besides the records: cluster id, topic ids, and leader epochs that only rise.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::TOPICS;
use crate::session::connection::Connection;

/// What a broker says of itself and its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    cluster_id: String,
    /// Topic ids in the order of [`TOPICS`].
    topic_ids: Vec<String>,
    /// Leader epoch by topic and partition.
    epochs: Vec<(String, i64, i64)>,
}

impl Facts {
    /// Asks the broker.
    ///
    /// # Errors
    /// When a topic is not there, or a partition has no leader.
    pub(crate) fn ask(address: SocketAddr) -> Result<Self, String> {
        let topics: Vec<Value> = TOPICS.iter().map(|(name, _)| json!({ "name": name })).collect();
        let request = json!({ "topics": topics, "allow_auto_topic_creation": false });
        let answer = Connection::new(address).call("Metadata", 12, &request).answer();
        let text =
            |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("Metadata: {answer}"));
        let mut facts =
            Self { cluster_id: text(&answer["cluster_id"])?, topic_ids: Vec::new(), epochs: Vec::new() };
        for (name, partitions) in TOPICS {
            let list = answer["topics"].as_array().map(Vec::as_slice).unwrap_or_default();
            let topic = list.iter().find(|topic| topic["name"] == *name);
            let topic = topic.ok_or_else(|| format!("topic {name} is gone: {answer}"))?;
            facts.topic_ids.push(text(&topic["topic_id"]).map_err(|why| format!("{name}: {why}"))?);
            facts.read_epochs(name, *partitions, topic)?;
        }
        Ok(facts)
    }

    /// Holds these facts against those before a restart.
    ///
    /// # Errors
    /// Says what changed that must not, or did not rise.
    pub(crate) fn follow(&self, before: &Self) -> Result<(), String> {
        if (&self.cluster_id, &self.topic_ids) != (&before.cluster_id, &before.topic_ids) {
            return Err(format!("cluster or topic ids changed: {before:?}, now {self:?}"));
        }
        for ((topic, partition, epoch), (_, _, old)) in self.epochs.iter().zip(&before.epochs) {
            if epoch <= old {
                return Err(format!(
                    "{topic}-{partition}: leader epoch {epoch} after {old} before the restart"
                ));
            }
        }
        Ok(())
    }

    fn read_epochs(&mut self, name: &str, partitions: i32, topic: &Value) -> Result<(), String> {
        let list = topic["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
        for index in 0..i64::from(partitions) {
            let found = list.iter().find(|partition| partition["partition_index"] == index);
            let epoch =
                found.and_then(|partition| partition["leader_epoch"].as_i64()).filter(|epoch| *epoch >= 0);
            let epoch = epoch.ok_or_else(|| format!("{name}-{index} has no leader: {topic}"))?;
            self.epochs.push((name.to_owned(), index, epoch));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_must_rise_and_ids_stay() {
        let facts = |id: &str, epoch| Facts {
            cluster_id: id.to_owned(),
            topic_ids: vec!["t".to_owned()],
            epochs: vec![("one".to_owned(), 0, epoch)],
        };
        assert_eq!(facts("a", 2).follow(&facts("a", 1)), Ok(()));
        assert!(facts("a", 1).follow(&facts("a", 1)).is_err());
        assert!(facts("b", 2).follow(&facts("a", 1)).is_err());
    }
}
