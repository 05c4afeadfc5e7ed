//! The same scripted session against Slipring and against Apache Kafka, compared field by field.

mod batches;
mod diff;
mod intended;
mod normal;
mod session;
mod steps;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::time::Instant;

use crate::say;
use crate::target::{Launcher, Running, TargetKind};
use diff::Difference;
use session::{Session, Step};
use steps::Script;

/// What to compare.
pub(crate) struct Settings {
    pub(crate) launcher: Launcher,
    /// Slipring, or Kafka itself to see that two runs of it agree.
    pub(crate) left: TargetKind,
    /// Only sections whose name begins with this.
    pub(crate) only: Option<String>,
    /// Prints every difference, not one line for each kind.
    pub(crate) shows_all: bool,
}

/// Runs the session on both sides; true when every difference is a listed one.
///
/// # Errors
/// When a broker does not start.
pub(crate) fn run(settings: &Settings) -> io::Result<bool> {
    let left = trace(settings, settings.left, "left")?;
    let right = trace(settings, TargetKind::Kafka, "right")?;
    let (differences, fields) = diff::compare(&left, &right);
    let list = intended::load();
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = Vec::new();
    for difference in &differences {
        match list.iter().position(|intended| intended.covers(difference)) {
            Some(index) => *counts.entry(index).or_default() += 1,
            None => open.push(difference),
        }
    }
    if settings.shows_all {
        tell_all(&open)
    } else {
        tell_kinds(&open)
    }
    for (index, intended) in list.iter().enumerate() {
        match counts.get(&index) {
            Some(count) => {
                say(format_args!("intended, {count} fields: {} ({})", intended.pattern(), intended.reason))
            }
            None if settings.only.is_none() && settings.left == TargetKind::Slipring => {
                say(format_args!("stale, no difference any more: {}", intended.pattern()));
            }
            None => {}
        }
    }
    let listed: usize = counts.values().sum();
    let (steps, others) = (right.len(), open.len());
    say(format_args!(
        "differential: {steps} steps, {fields} fields, {listed} listed differences, {others} others"
    ));
    Ok(open.is_empty())
}

fn tell_all(differences: &[&Difference]) {
    let mut last_step = "";
    for difference in differences {
        if last_step != difference.step {
            say(format_args!("{}", difference.step));
            last_step = &difference.step;
        }
        say(format_args!("    {}: {}  kafka: {}", difference.path, difference.left, difference.right));
    }
}

/// One line for all differences of a section at the same field with the same values.
fn tell_kinds(differences: &[&Difference]) {
    let mut kinds: BTreeMap<(&str, String, String, String), Vec<&str>> = BTreeMap::new();
    for difference in differences {
        let section = difference.step.split('/').next().unwrap_or_default();
        let parts = difference.path.split('[');
        let path: String = parts.map(|part| part.split_once(']').map_or(part, |label| label.1)).collect();
        let kind = (section, path, without_content(&difference.left), without_content(&difference.right));
        kinds.entry(kind).or_default().push(&difference.step);
    }
    for ((section, path, left, right), steps) in kinds {
        say(format_args!("{section}: {path}: {left}  kafka: {right}"));
        for step in steps.iter().take(EXAMPLES_MAX) {
            say(format_args!("    {step}"));
        }
        if steps.len() > EXAMPLES_MAX {
            say(format_args!("    and {} more", steps.len() - EXAMPLES_MAX));
        }
    }
}

/// Of a whole structure on one side only it counts that it is there.
fn without_content(value: &str) -> String {
    if value.starts_with('{') { "(present)".to_owned() } else { value.to_owned() }
}

const EXAMPLES_MAX: usize = 4;

fn trace(settings: &Settings, kind: TargetKind, name: &str) -> io::Result<Vec<Step>> {
    let broker = settings.launcher.start(kind, name, REFEREES_SETTINGS)?;
    let mut session = Session::new(broker.address, &settings.launcher.work.join(name));
    play(settings, &mut session, steps::SECTIONS, &broker)?;
    broker.stop();
    let broker = settings.launcher.restart(kind, name, REFEREES_SETTINGS)?;
    session.move_to(broker.address);
    play(settings, &mut session, steps::AFTER_RESTART, &broker)?;
    broker.stop();
    let steps = session.finish();
    let mut text = String::new();
    for step in &steps {
        writeln!(text, "{}\t{}", step.name, step.tree).map_err(io::Error::other)?;
    }
    fs::write(settings.launcher.work.join(format!("{name}.trace")), text)?;
    Ok(steps)
}

fn play(
    settings: &Settings,
    session: &mut Session,
    scripts: &'static [(&str, Script)],
    broker: &Running,
) -> io::Result<()> {
    for (name, script) in scripts {
        if settings.only.as_ref().is_some_and(|only| !name.starts_with(only.as_str())) {
            continue;
        }
        let start = Instant::now();
        session.section(name);
        script(session);
        let seconds = start.elapsed().as_secs_f64();
        say(format_args!("{name}: {} steps so far, {seconds:.1} s", session.steps()));
        if broker.has_ended() {
            return Err(io::Error::other(format!("the broker is gone in section {name}")));
        }
    }
    Ok(())
}

/// What `scripts/referee` sets for one node, so that both brokers tell the same settings.
const REFEREES_SETTINGS: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
];
