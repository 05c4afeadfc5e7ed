//! The table is consistent in itself.

use std::collections::HashSet;

use super::*;
use crate::config::key::{DefaultValue, Effect, Update};
use crate::config::value::Value;

fn rows() -> impl Iterator<Item = &'static ConfigKey> {
    CHAPTERS.iter().flat_map(|chapter| chapter.rows)
}

#[test]
fn every_key_is_declared_once_in_its_scope() {
    let mut seen = HashSet::new();
    for row in rows() {
        assert!(seen.insert((std::mem::discriminant(&row.scope), row.name)), "{} twice", row.name);
    }
    let indexed = [BROKER.len(), TOPIC.len(), GROUP.len(), CLIENT_METRICS.len()];
    assert_eq!(indexed.iter().sum::<usize>(), rows().count());
}

#[test]
fn every_default_passes_its_own_check() {
    for row in rows() {
        let kafka = match row.default {
            DefaultValue::Ours { kafka, .. } => kafka,
            DefaultValue::Is(_) | DefaultValue::Null => None,
        };
        for default in row.default.value().into_iter().chain(kafka) {
            let value = Value::parse(row, default).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(value.to_string(), default, "{} is not printed as declared", row.name);
        }
    }
}

#[test]
fn synonyms_are_declared_and_of_a_type_that_converts() {
    for row in rows() {
        for synonym in row.broker_synonyms() {
            let key = broker_key(synonym.name).unwrap_or_else(|| panic!("{} is missing", synonym.name));
            assert!(synonym.factor == 1 || row.kind == crate::config::key::ConfigType::Long);
            assert_ne!(key.update, Update::PerBroker, "{} concerns all brokers", key.name);
        }
        // Where nothing is converted, nobody may see two defaults for one thing.
        if let [synonym] = row.broker_synonyms() {
            let key = broker_key(synonym.name).unwrap();
            assert_eq!(
                (row.kind, row.default, row.check),
                (key.kind, key.default, key.check),
                "{}",
                row.name
            );
        }
        if let Scope::Group(Some(name)) = row.scope {
            let key = broker_key(name).unwrap();
            assert_eq!((row.kind, row.default), (key.kind, key.default), "{}", row.name);
        }
    }
}

#[test]
fn every_row_is_documented_in_a_sentence() {
    for row in rows() {
        assert!(row.doc.ends_with('.') && row.doc.len() > 10, "{}: {:?}", row.name, row.doc);
        match row.effect {
            Effect::Acts => {}
            Effect::NoEffect(why) | Effect::Refused(why) => {
                assert!(why.ends_with('.') && why.len() > 10, "{}: {why:?}", row.name);
            }
        }
    }
}
