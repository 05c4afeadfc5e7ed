//! AlterConfigs.

use std::collections::BTreeMap;

use super::*;
use crate::image::{ConfigKind, ConfigResource};

/// Lists are keys that begin so, and their default is `x`; the value `bad` fits nowhere.
const LIST: &str = "list.";

struct TestRules;

impl ConfigRules for TestRules {
    fn list(&self, _: ConfigKind, key: &str, _: ListChange) -> Result<String, ApiError> {
        match key.starts_with(LIST) {
            true => Ok("x".to_owned()),
            false => Err(ApiError::new(ErrorCode::InvalidConfig, "no list")),
        }
    }

    fn check(&self, _: &ConfigResource, configs: &BTreeMap<String, String>) -> Result<(), ApiError> {
        match configs.values().any(|value| value == "bad") {
            true => Err(ApiError::new(ErrorCode::InvalidConfig, "bad")),
            false => Ok(()),
        }
    }
}

fn of_topic(name: &str) -> ConfigResource {
    ConfigResource::topic(name.into())
}

fn of_broker(name: &str) -> ConfigResource {
    ConfigResource { kind: ConfigKind::BROKER, name: name.into() }
}

fn some(resource: ConfigResource, changes: &[(&str, ConfigOperation)]) -> ConfigAlteration {
    let changes = changes.iter().map(|(name, change)| ((*name).to_owned(), change.clone())).collect();
    ConfigAlteration { resource, change: ConfigChange::Some(changes) }
}

fn all(resource: ConfigResource, configs: &[(&str, &str)]) -> ConfigAlteration {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ConfigAlteration { resource, change: ConfigChange::All(configs) }
}

fn set(value: &str) -> ConfigOperation {
    ConfigOperation::Set(value.to_owned())
}

fn run(
    bench: &mut Bench,
    resources: Vec<ConfigAlteration>,
    validate_only: bool,
) -> Vec<Result<(), ApiError>> {
    let command = AlterConfigs { resources, validate_only, rules: Rules(Arc::new(TestRules)) };
    match bench.run(Command::AlterConfigs(command)) {
        Reply::AlterConfigs(Ok(results)) => results.into_iter().map(|result| result.result).collect(),
        other => panic!("{other:?}"),
    }
}

fn configs(bench: &Bench, resource: &ConfigResource) -> Vec<(String, String)> {
    let set = bench.controller.image().configs(resource);
    let pairs = set.into_iter().flat_map(|set| set.iter());
    pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn bench() -> Bench {
    let mut bench = Bench::with_brokers(&[1]);
    bench.create(vec![topic("t")]);
    bench
}

#[test]
fn keys_are_set_and_removed_and_others_stay() {
    let mut bench = bench();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let changes = [("a", set("1")), ("b", set("2"))];
    assert_eq!(run(&mut bench, vec![some(of_topic("t"), &changes)], false), [Ok(())]);
    let changes = [("a", ConfigOperation::Delete), ("c", set("3")), ("d", ConfigOperation::Delete)];
    assert_eq!(run(&mut bench, vec![some(of_topic("t"), &changes)], false), [Ok(())]);
    assert_eq!(configs(&bench, &of_topic("t")), [pair("b", "2"), pair("c", "3")]);
    assert_eq!(run(&mut bench, vec![all(of_topic("t"), &[("c", "4"), ("e", "5")])], false), [Ok(())]);
    assert_eq!(configs(&bench, &of_topic("t")), [pair("c", "4"), pair("e", "5")]);
    let written = bench.log.len();
    assert_eq!(run(&mut bench, vec![all(of_topic("t"), &[("c", "4"), ("e", "5")])], false), [Ok(())]);
    assert_eq!(bench.log.len(), written, "what is so already is not written again");
    assert_eq!(run(&mut bench, vec![all(of_topic("t"), &[])], false), [Ok(())]);
    assert!(configs(&bench, &of_topic("t")).is_empty());
}

#[test]
fn entries_join_and_leave_lists() {
    let mut bench = bench();
    let append = |entries: &str| ConfigOperation::Append(entries.to_owned());
    let subtract = |entries: &str| ConfigOperation::Subtract(entries.to_owned());
    let steps = [
        (append("y"), "x,y"),
        (append("z,x,y"), "x,y,z"),
        (subtract("y,w"), "x,z"),
        (subtract("x,z"), ""),
        (append("v,,"), "v"),
        (subtract("v"), ""),
    ];
    for (change, wanted) in steps {
        assert_eq!(run(&mut bench, vec![some(of_topic("t"), &[("list.a", change)])], false), [Ok(())]);
        assert_eq!(configs(&bench, &of_topic("t")), [("list.a".to_owned(), wanted.to_owned())]);
    }
    let refused = run(&mut bench, vec![some(of_topic("t"), &[("a", append("x"))])], false);
    assert_eq!(told(refused[0].clone().unwrap_err()), (ErrorCode::InvalidConfig, "no list".to_owned()));
}

#[test]
fn a_resource_changes_as_a_whole_and_each_by_itself() {
    let mut bench = bench();
    let resources = vec![
        some(of_topic("t"), &[("a", set("1")), ("b", set("bad"))]),
        some(of_broker(""), &[("a", set("1"))]),
        some(of_topic("none"), &[("a", set("1"))]),
        some(of_topic("none"), &[("a", set("bad"))]),
    ];
    let before = bench.controller.clone();
    for validate_only in [true, false] {
        let results = run(&mut bench, resources.clone(), validate_only);
        assert_eq!(results[1], Ok(()));
        let errors: Vec<_> = [0, 2, 3].map(|at| told(results[at].clone().unwrap_err())).into();
        let unknown = "The topic 'none' does not exist.".to_owned();
        let bad = || (ErrorCode::InvalidConfig, "bad".to_owned());
        assert_eq!(errors, [bad(), (ErrorCode::UnknownTopicOrPartition, unknown), bad()]);
        if validate_only {
            assert_eq!(bench.controller, before);
        }
    }
    assert!(configs(&bench, &of_topic("t")).is_empty());
    assert_eq!(configs(&bench, &of_broker("")), [("a".to_owned(), "1".to_owned())]);
}

#[test]
fn too_many_changes_at_once_are_refused() {
    let mut bench = bench();
    let configs: BTreeMap<String, String> =
        (0..=RECORDS_PER_OPERATION_MAX).map(|key| (key.to_string(), String::new())).collect();
    let alteration = ConfigAlteration { resource: of_topic("t"), change: ConfigChange::All(configs) };
    let rules = Rules(Arc::new(TestRules));
    let command = AlterConfigs { resources: vec![alteration], validate_only: false, rules };
    let reply = bench.run(Command::AlterConfigs(command));
    assert_eq!(reply, Reply::AlterConfigs(Err(ApiError::too_large())));
}
