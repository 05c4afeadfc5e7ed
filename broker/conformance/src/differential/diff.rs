//! Compares two traces field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::session::Step;

/// A field that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) step: String,
    pub(crate) path: String,
    pub(crate) left: String,
    pub(crate) right: String,
}

/// Every difference, and how many fields were compared.
pub(crate) fn compare(left: &[Step], right: &[Step]) -> (Vec<Difference>, usize) {
    let mut comparison = Comparison { step: String::new(), differences: Vec::new(), fields: 0 };
    let on_right: BTreeMap<&str, &Value> =
        right.iter().map(|step| (step.name.as_str(), &step.tree)).collect();
    let on_left: BTreeSet<&str> = left.iter().map(|step| step.name.as_str()).collect();
    for step in left {
        comparison.step.clone_from(&step.name);
        comparison.values("", Some(&step.tree), on_right.get(step.name.as_str()).copied());
    }
    for step in right.iter().filter(|step| !on_left.contains(step.name.as_str())) {
        comparison.step.clone_from(&step.name);
        comparison.values("", None, Some(&step.tree));
    }
    (comparison.differences, comparison.fields)
}

struct Comparison {
    step: String,
    differences: Vec<Difference>,
    fields: usize,
}

impl Comparison {
    fn values(&mut self, path: &str, left: Option<&Value>, right: Option<&Value>) {
        match (left, right) {
            (Some(Value::Object(left)), Some(Value::Object(right))) => {
                let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
                for name in names {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.values(&path, left.get(name), right.get(name));
                }
            }
            (Some(Value::Array(left)), Some(Value::Array(right))) => {
                let (left, right) = (labelled(left), labelled(right));
                let labels: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
                for label in labels {
                    let path = format!("{path}[{label}]");
                    self.values(&path, left.get(label).copied(), right.get(label).copied());
                }
                self.fields += 1;
            }
            _ => {
                self.fields += 1;
                if left != right {
                    self.differences.push(Difference {
                        step: self.step.clone(),
                        path: path.to_owned(),
                        left: show(left),
                        right: show(right),
                    });
                }
            }
        }
    }
}

/// Items by what identifies them, so that their order does not matter where Kafka's has no meaning; by position
/// otherwise.
fn labelled(items: &[Value]) -> BTreeMap<String, &Value> {
    let mut labels = BTreeMap::new();
    for (position, item) in items.iter().enumerate() {
        let identity = IDENTITIES.iter().find_map(|name| match item.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        });
        let label = identity.unwrap_or_else(|| format!("{position:03}"));
        let again = if labels.contains_key(&label) { format!("{label}#{position}") } else { label };
        labels.insert(again, item);
    }
    labels
}

fn show(value: Option<&Value>) -> String {
    let Some(value) = value else { return "(absent)".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Fields that name an item of a list, the first one counts.
const IDENTITIES: [&str; 10] = [
    "api_key",
    "name",
    "topic",
    "topic_id",
    "partition_index",
    "partition",
    "index",
    "resource_name",
    "broker_id",
    "group_id",
];

const SHOWN_CHARS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trace(tree: Value) -> Vec<Step> {
        vec![Step { name: "s/one".to_owned(), tree }]
    }

    #[test]
    fn order_matters_only_without_names() {
        let left =
            trace(json!({ "topics": [{ "name": "a", "x": 1 }, { "name": "b", "x": 2 }], "isr": [1, 2] }));
        let right =
            trace(json!({ "topics": [{ "name": "b", "x": 2 }, { "name": "a", "x": 3 }], "isr": [2, 1] }));
        let (differences, fields) = compare(&left, &right);
        let paths: Vec<_> = differences.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["isr[000]", "isr[001]", "topics[a].x"]);
        assert_eq!(fields, 8);
    }

    #[test]
    fn what_is_missing_is_a_difference() {
        let left = trace(json!({ "list": [{ "name": "a" }], "only": null }));
        let right = trace(json!({ "list": [] }));
        let (differences, _) = compare(&left, &right);
        assert_eq!(differences.len(), 2);
        assert_eq!(differences[0].right, "(absent)");
        let (differences, _) = compare(&left, &[]);
        assert_eq!(differences.len(), 1);
    }
}
