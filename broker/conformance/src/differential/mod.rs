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
use crate::target::{Launcher, TargetKind};
use session::{Session, Step};

/// What to compare.
pub(crate) struct Settings {
    pub(crate) launcher: Launcher,
    /// Slipring, or Kafka itself to see that two runs of it agree.
    pub(crate) left: TargetKind,
    /// Only sections whose name begins with this.
    pub(crate) only: Option<String>,
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
    let mut open = 0;
    let mut last_step = "";
    for difference in &differences {
        if let Some(index) = list.iter().position(|intended| intended.covers(difference)) {
            *counts.entry(index).or_default() += 1;
            continue;
        }
        open += 1;
        if last_step != difference.step {
            say(format_args!("{}", difference.step));
            last_step = &difference.step;
        }
        say(format_args!("    {}: {}  kafka: {}", difference.path, difference.left, difference.right));
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
    let steps = right.len();
    say(format_args!(
        "differential: {steps} steps, {fields} fields, {listed} listed differences, {open} others"
    ));
    Ok(open == 0)
}

fn trace(settings: &Settings, kind: TargetKind, name: &str) -> io::Result<Vec<Step>> {
    let broker = settings.launcher.start(kind, name, &[])?;
    let mut session = Session::new(broker.address, &settings.launcher.work.join(name));
    for (name, script) in steps::SECTIONS {
        if settings.only.as_ref().is_none_or(|only| name.starts_with(only.as_str())) {
            let start = Instant::now();
            session.section(name);
            script(&mut session);
            let seconds = start.elapsed().as_secs_f64();
            say(format_args!("{kind:?} {name}: {} steps so far, {seconds:.1} s", session.steps()));
            if broker.has_ended() {
                return Err(io::Error::other(format!("{kind:?} is gone in section {name}")));
            }
        }
    }
    broker.stop();
    let steps = session.finish();
    let mut text = String::new();
    for step in &steps {
        writeln!(text, "{}\t{}", step.name, step.tree).map_err(io::Error::other)?;
    }
    fs::write(settings.launcher.work.join(format!("{name}.trace")), text)?;
    Ok(steps)
}
