//! Makes answers of two brokers comparable: what is drawn or told by each broker for itself (ids, addresses, times, texts) becomes
//! a stand-in; a topic's id becomes `<id of its name>`, the first producer id that a broker gives `<producer id 1>`, and so on.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::session::{FOREIGN_ID, NO_ID};

/// The stand-ins given so far.
pub(crate) struct Normaliser {
    /// Every id seen and the name of its topic; a name that comes again with another id was created anew.
    topic_ids: Vec<(String, String)>,
    session_ids: Vec<i64>,
    producer_ids: Vec<i64>,
    member_ids: Vec<String>,
    /// Whether error messages are compared word by word.
    keeps_texts: bool,
    /// Texts that stand for the broker's own place, and their stand-ins.
    own: Vec<(String, &'static str)>,
}

impl Normaliser {
    pub(crate) const fn new() -> Self {
        Self {
            topic_ids: Vec::new(),
            session_ids: Vec::new(),
            producer_ids: Vec::new(),
            member_ids: Vec::new(),
            keeps_texts: false,
            own: Vec::new(),
        }
    }

    /// Learns where the broker is: its port (the next one is the referee's controller) and, once, its directory.
    pub(crate) fn learn_place(&mut self, port: u16, directory: &str) {
        self.own.push((port.to_string(), "<port>"));
        self.own.push(((port + 1).to_string(), "<controller's port>"));
        if !directory.is_empty() {
            self.own.push((directory.to_owned(), "<directory>"));
        }
    }

    /// From now on error messages are compared word by word, or not.
    pub(crate) const fn keep_texts(&mut self, keeps: bool) {
        self.keeps_texts = keeps;
    }

    /// Replaces what cannot be equal.
    pub(crate) fn normalise(&mut self, tree: &mut Value) {
        match tree {
            Value::Array(items) => items.iter_mut().for_each(|item| self.normalise(item)),
            Value::Object(fields) => {
                self.normalise_crc(fields);
                if let (Some(Value::String(name)), Some(Value::String(id))) =
                    (fields.get("name"), fields.get("topic_id"))
                {
                    self.name_topic(name, id);
                }
                for (name, value) in fields {
                    match value {
                        Value::Array(_) | Value::Object(_) => self.normalise(value),
                        Value::Null => {}
                        _ => {
                            if let Some(stand_in) = self.stand_in(name, value) {
                                *value = stand_in.into();
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Learns which topic an id belongs to.
    pub(crate) fn name_topic(&mut self, name: &str, id: &str) {
        if id != NO_ID && !self.topic_ids.iter().any(|(known, _)| known == id) {
            self.topic_ids.push((id.to_owned(), name.to_owned()));
        }
    }

    /// A batch with a time or a producer id of the broker's own has a checksum of its own.
    fn normalise_crc(&self, fields: &mut Map<String, Value>) {
        let number = |name| fields.get(name).and_then(Value::as_i64);
        let is_timed = ["max_timestamp", "base_timestamp"].into_iter().filter_map(number).any(is_about_now);
        let is_produced = number("producer_id").is_some_and(is_given_out);
        if (is_timed || is_produced) && fields.contains_key("crc") {
            fields.insert("crc".to_owned(), "<crc>".into());
        }
    }

    fn topic_stand_in(&self, id: &str) -> String {
        let Some(at) = self.topic_ids.iter().position(|(known, _)| known == id) else {
            return "<id of an unknown topic>".to_owned();
        };
        let name = &self.topic_ids[at].1;
        let earlier = self.topic_ids[..at].iter().filter(|(_, other)| other == name).count();
        format!("<id {} of {name}>", earlier + 1)
    }

    fn stand_in(&mut self, name: &str, value: &Value) -> Option<String> {
        match name {
            "topic_id" => {
                let id = value.as_str()?;
                (id != NO_ID && id != FOREIGN_ID).then(|| self.topic_stand_in(id))
            }
            "session_id" => {
                let id = value.as_i64().filter(|id| *id > 0)?;
                Some(numbered("session", &mut self.session_ids, id))
            }
            "producer_id" => {
                let id = value.as_i64().filter(|id| is_given_out(*id))?;
                Some(numbered("producer id", &mut self.producer_ids, id))
            }
            "member_id" | "leader" => {
                let id = value.as_str().filter(|id| is_drawn(id))?;
                Some(numbered("member", &mut self.member_ids, id.to_owned()))
            }
            "cluster_id" => Some("<cluster id>".to_owned()),
            "host" => value.as_str().filter(|host| !host.is_empty()).map(|_| "<host>".to_owned()),
            "port" => value.as_i64().filter(|port| *port != 0).map(|_| "<port>".to_owned()),
            "error_message" if self.keeps_texts => None,
            "error_message" | "batch_index_error_message" | "documentation" => Some("<text>".to_owned()),
            "finalized_features_epoch" => {
                value.as_i64().filter(|epoch| *epoch >= 0).map(|_| "<epoch>".to_owned())
            }
            "log_append_time_ms" | "timestamp" | "max_timestamp" | "base_timestamp" => {
                is_about_now(value.as_i64()?).then(|| "<now>".to_owned())
            }
            "value" => {
                let mut text = value.as_str()?.to_owned();
                for (own, stand_in) in &self.own {
                    text = text.replace(own, stand_in);
                }
                Some(text)
            }
            _ => None,
        }
    }
}

fn numbered<T: PartialEq>(what: &str, known: &mut Vec<T>, id: T) -> String {
    let number = known.iter().position(|other| *other == id).unwrap_or_else(|| {
        known.push(id);
        known.len() - 1
    });
    format!("<{what} {}>", number + 1)
}

/// Producer ids that scripts make up are far above those that brokers give out.
fn is_given_out(producer_id: i64) -> bool {
    (0..1_000_000).contains(&producer_id)
}

/// Member ids that brokers give out end in a random id.
fn is_drawn(member_id: &str) -> bool {
    member_id.len() > 36 && member_id.bytes().rev().take(36).filter(|byte| *byte == b'-').count() == 4
}

fn is_about_now(time_ms: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    (now - 1_800_000..now + 1_800_000).contains(&time_ms)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_numbered_as_they_come() {
        let mut normaliser = Normaliser::new();
        let mut tree = json!([
            { "name": "a", "topic_id": "aa", "session_id": 0, "producer_id": -1 },
            { "name": "a", "topic_id": "bb", "session_id": 77, "producer_id": 3 },
            { "topic_id": "aa", "session_id": 78, "producer_id": 5_000_000, "error_message": "a", "host": "" },
            { "topic_id": "cc", "error_message": null, "log_append_time_ms": -1 },
            { "topic_id": NO_ID },
        ]);
        normaliser.normalise(&mut tree);
        let wanted = json!([
            { "name": "a", "topic_id": "<id 1 of a>", "session_id": 0, "producer_id": -1 },
            { "name": "a", "topic_id": "<id 2 of a>", "session_id": "<session 1>", "producer_id": "<producer id 1>" },
            { "topic_id": "<id 1 of a>", "session_id": "<session 2>", "producer_id": 5_000_000,
              "error_message": "<text>", "host": "" },
            { "topic_id": "<id of an unknown topic>", "error_message": null, "log_append_time_ms": -1 },
            { "topic_id": NO_ID },
        ]);
        assert_eq!(tree, wanted);
    }
}
